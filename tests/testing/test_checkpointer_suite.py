"""Tests of the stores' suite: it finds what is broken. That it passes sound stores, tests/checkpoint shows."""

from pathlib import Path

from tests.programs import run_python
from tests.testing.broken import output, reported

BROKEN = """
class Forgetful(MemoryCheckpointer):
    async def append(self, claim, records, status="running", snapshot=None):
        await super().append(claim, records[:-1] if len(records) > 1 else records, status, snapshot)

class Overwriting(MemoryCheckpointer):
    async def create(self, run_id, *args, **kwargs):
        self._runs.pop(run_id, None)
        return await super().create(run_id, *args, **kwargs)

class Blurred(MemoryCheckpointer):
    async def create(self, run_id, *args, **kwargs):
        return await super().create(run_id.lower(), *args, **kwargs)

    async def read(self, run_id, *args, **kwargs):
        return await super().read(run_id.lower(), *args, **kwargs)

class Disordered(MemoryCheckpointer):
    async def runs(self, **wanted):
        return (await super().runs(**wanted))[::-1]

class Indiscriminate(MemoryCheckpointer):
    async def runs(self, *, status=None, graph=None):
        return await super().runs(graph=graph)

class Shortsighted(MemoryCheckpointer):
    async def append(self, claim, records, status="running", snapshot=None):
        await super().append(claim, records, status)

class Endless(MemoryCheckpointer):
    async def append(self, claim, records, status="running", snapshot=None):
        await super().append(claim, records, "running", snapshot)

class Ruthless(MemoryCheckpointer):
    async def delete(self, run_id):
        self._run(run_id).is_claimed = False
        await super().delete(run_id)

class Timeless(MemoryCheckpointer):
    async def runs(self, **wanted):
        return [replace(run, updated_at=run.created_at) for run in await super().runs(**wanted)]

for Store in (Forgetful, Overwriting, Blurred, Disordered, Indiscriminate, Shortsighted, Endless, Ruthless, Timeless):
    globals()[f"Test{Store.__name__}"] = type(f"Test{Store.__name__}", (InMemory,), {"Store": Store})

class TestUnsaid(CheckpointerSuite):
    pass
"""
FOUND_BY = {
    "TestForgetful": "test_records_are_added_in_order_and_the_claim_follows",
    "TestOverwriting": "test_an_id_that_is_taken_is_refused_and_the_run_stays_as_it_was",
    "TestBlurred": "test_ids_that_differ_only_in_case_are_two",
    "TestDisordered": "test_runs_are_listed_newest_first_and_filtered",
    "TestIndiscriminate": "test_runs_are_listed_newest_first_and_filtered",
    "TestShortsighted": "test_reading_from_a_snapshot_gives_it_and_what_came_after",
    "TestEndless": "test_an_end_is_seen_and_gives_the_claim_back",
    "TestRuthless": "test_a_run_at_work_is_not_deleted",
    "TestTimeless": "test_beginning_taking_up_and_ending_a_run_count_as_changes",
    "TestUnsaid": "test_a_run_is_read_as_it_was_begun",
}


def test_every_broken_store_is_found(tmp_path: Path) -> None:
    found = reported(tmp_path, BROKEN, "-k", " or ".join(FOUND_BY.values()))
    assert found.keys() == FOUND_BY.keys()
    for store, case in FOUND_BY.items():
        assert case in found[store], store


def test_the_room_is_entered_without_pytest() -> None:
    code = "import sys, loom.testing; assert 'pytest' not in sys.modules; loom.testing.CheckpointerSuite"
    run_python(code)


def test_a_case_that_fails_tells_what_it_compared(tmp_path: Path) -> None:
    said = output(tmp_path, BROKEN, "-k", "TestForgetful and in_order_and")
    assert "AssertionError: assert 3 == 4" in said
