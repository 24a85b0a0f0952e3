"""Tests of the suite's cases about claims: they find what is broken."""

from pathlib import Path

from tests.testing.broken import reported

BROKEN = """
class Fenceless(MemoryCheckpointer):
    async def append(self, claim, records, status="running", snapshot=None):
        claim.token = self._run(claim.run_id).token
        await super().append(claim, records, status, snapshot)

class Careless(MemoryCheckpointer):
    async def append(self, claim, records, status="running", snapshot=None):
        claim.head = len(self._run(claim.run_id).records)
        await super().append(claim, records, status, snapshot)

class Open(MemoryCheckpointer):
    async def claim(self, run_id, head, records):
        self._run(run_id).is_claimed = False
        return await super().claim(run_id, head, records)

class Blind(MemoryCheckpointer):
    async def claim(self, run_id, head, records):
        return await super().claim(run_id, len(self._run(run_id).records), records)

class Racing(MemoryCheckpointer):
    async def claim(self, run_id, head, records):
        is_free = not self._run(run_id).is_claimed
        await asyncio.sleep(0)
        self._run(run_id).is_claimed = not is_free
        return await super().claim(run_id, len(self._run(run_id).records), records)

class Repeating(MemoryCheckpointer):
    async def create(self, run_id, graph, header, records, *, parent=None):
        claim = await super().create(run_id, graph, header, records, parent=parent)
        claim.token = self._run(run_id).token = 1
        return claim

class Clinging(MemoryCheckpointer):
    async def release(self, claim):
        pass

class Puzzled(MemoryCheckpointer):
    async def append(self, claim, records, status="running", snapshot=None):
        self._run(claim.run_id)
        await super().append(claim, records, status, snapshot)

for Store in (Fenceless, Careless, Open, Blind, Racing, Repeating, Clinging, Puzzled):
    globals()[f"Test{Store.__name__}"] = type(f"Test{Store.__name__}", (InMemory,), {"Store": Store})
"""
FOUND_BY = {
    "TestFenceless": "test_a_claim_that_was_taken_over_adds_nothing",
    "TestCareless": "test_of_two_appends_with_one_claim_one_is_refused",
    "TestOpen": "test_a_claim_that_is_alive_keeps_others_out",
    "TestBlind": "test_a_taker_that_does_not_know_every_record_is_refused",
    "TestRacing": "test_one_of_several_takers_wins",
    "TestRepeating": "test_a_claim_on_a_run_that_was_made_anew_can_append_nothing",
    "TestClinging": "test_a_claim_that_was_given_back_is_free_at_once",
    "TestPuzzled": "test_a_run_that_was_deleted_takes_no_more",
}


def test_every_broken_claim_is_found(tmp_path: Path) -> None:
    found = reported(tmp_path, BROKEN, "-k", " or ".join(FOUND_BY.values()))
    assert found.keys() == FOUND_BY.keys()
    for store, case in FOUND_BY.items():
        assert case in found[store], store
