"""Tests of the suite's cases with several processes: they find what is broken."""

from pathlib import Path

import pytest

from tests.testing.broken import reported

BROKEN = """
class Lazy(SqliteCheckpointer):
    waiting = []

    async def append(self, claim, records, status="running", snapshot=None):
        if status == "running":
            self.waiting += records
            await asyncio.sleep(0.002)
        else:
            await super().append(claim, [*self.waiting, *records], status)
            self.waiting = []

class Piecemeal(SqliteCheckpointer):
    async def append(self, claim, records, status="running", snapshot=None):
        for record in records[:-1]:
            await super().append(claim, [record])
            await asyncio.sleep(0.002)
        await super().append(claim, records[-1:], status, snapshot)

class Open(SqliteCheckpointer):
    async def claim(self, run_id, head, records):
        with self._file.statement("open") as connection:
            connection.execute("UPDATE runs SET owner = NULL WHERE run_id = ?", (run_id,))
        return await super().claim(run_id, head, records)

class Eternal(SqliteCheckpointer):
    async def claim(self, run_id, head, records):
        with self._file.statement("look") as connection:
            (owner,) = connection.execute("SELECT owner FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        if owner:
            raise RunConflictError(f'run "{run_id}" is at work')
        return await super().claim(run_id, head, records)

for Store in (Lazy, Piecemeal, Open, Eternal):
    STORES[f"Test{Store.__name__}"] = Store
    globals()[f"Test{Store.__name__}"] = type(f"Test{Store.__name__}", (OnDisk,), {})
"""
FOUND_BY = {
    "TestLazy": "test_a_process_killed_while_it_commits_loses_nothing",
    "TestPiecemeal": "test_a_process_killed_while_it_commits_loses_nothing",
    "TestOpen": "test_a_run_at_work_in_a_process_is_free_once_that_is_dead",
    "TestEternal": "test_a_run_at_work_in_a_process_is_free_once_that_is_dead",
}


@pytest.mark.slow
def test_every_store_that_breaks_in_a_crash_is_found(tmp_path: Path) -> None:
    found = reported(tmp_path, BROKEN, "-k", "killed or dead")
    assert found.keys() == FOUND_BY.keys()
    for store, case in FOUND_BY.items():
        assert case in found[store], store
