# ruff: noqa: S101, S311, D102 - cases of a test suite: they assert, by chance too; their names are sentences
"""What every store of runs must do: derive a class, say how the store is opened, and pytest runs it all.

    class TestMine(CheckpointerSuite):
        @pytest.fixture
        def opener(self, tmp_path: Path) -> Opener:
            return partial(MyStore, tmp_path / "runs")

`opener` is called for each handle that a case wants on the same runs, also in other processes, so it
must be one that pickle takes. Override `store` and `another` where a handle needs more than that.

A store whose runs no other process can reach says so, and the cases with several processes are skipped:

    class TestMine(CheckpointerSuite):
        lives_in_one_process = True

        @pytest.fixture
        def store(self) -> MyStore:
            return MyStore()
"""

import asyncio
from collections.abc import AsyncIterator
from random import Random

import anyio
import pytest

from loom.core.journal import Checkpointer
from loom.core.result import Status
from loom.errors import RunConflictError, RunExistsError, RunNotFoundError
from loom.testing.checkpointer_claims import ClaimCases, begun, lines, stored
from loom.testing.checkpointer_crashes import HEADER, Opener, ProcessCases

__all__ = ["HEADER", "CheckpointerSuite", "Opener", "begun", "lines", "stored"]


class CheckpointerSuite(ClaimCases, ProcessCases):
    """The conformance suite. Needs anyio's pytest plugin, which comes with Loom."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Run the cases on asyncio alone."""
        return "asyncio"

    @pytest.fixture
    async def store(self, opener: Opener) -> AsyncIterator[Checkpointer]:
        """Open a store that has no runs, and close it."""
        store = opener()
        yield store
        await store.close()

    @pytest.fixture
    async def another(self, request: pytest.FixtureRequest, store: Checkpointer) -> AsyncIterator[Checkpointer]:
        """Open a second handle on the runs of `store`, and close it."""
        if self.lives_in_one_process:
            yield store
        else:
            other: Checkpointer = request.getfixturevalue("opener")()
            yield other
            await other.close()

    # Beginning and reading.

    async def test_a_run_is_read_as_it_was_begun(self, store: Checkpointer) -> None:
        claim = await store.create("r", "graph", HEADER, lines(1, 2))
        assert (claim.run_id, claim.head) == ("r", 2)
        journal = await store.read("r")
        assert (journal.run_id, journal.header, list(journal.records)) == ("r", HEADER, lines(1, 2))
        assert (journal.status, journal.start, journal.head, journal.snapshot) == ("running", 0, 2, None)

    async def test_an_id_that_is_taken_is_refused_and_the_run_stays_as_it_was(self, store: Checkpointer) -> None:
        claim = await begun(store)
        with pytest.raises(RunExistsError, match='run "r" exists already'):
            await store.create("r", "other", b"{}", lines(1, 2, 3))
        assert await stored(store) == [b"0"]
        await store.append(claim, lines(1))
        assert (await store.runs())[0].graph == "graph"

    @pytest.mark.parametrize("run_id", ["", "a'b\"c", "ä/ø/漢", "x" * 500, "-- ; DROP", "%_", "a\nb"])
    async def test_any_text_may_be_an_id(self, store: Checkpointer, run_id: str) -> None:
        claim = await begun(store, run_id)
        await store.append(claim, [b"1"], "completed")
        assert await stored(store, run_id) == [b"0", b"1"]
        assert [run.run_id for run in await store.runs()] == [run_id]

    async def test_ids_that_differ_only_in_case_are_two(self, store: Checkpointer) -> None:
        await begun(store, "r", [b"small"])
        await begun(store, "R", [b"large"])
        assert (await stored(store, "r"), await stored(store, "R")) == ([b"small"], [b"large"])

    async def test_records_are_kept_byte_for_byte(self, store: Checkpointer) -> None:
        records = [bytes(range(256)), b"", b"\x00" * 10, "漢字".encode(), b"x" * 3_000_000]
        await store.append(await begun(store), records)
        assert await stored(store) == [b"0", *records]

    async def test_reading_from_an_index_gives_what_is_new(self, store: Checkpointer) -> None:
        claim = await begun(store, records=lines(0, 1, 2, 3))
        journal = await store.read("r", 2)
        assert (journal.start, list(journal.records), journal.head) == (2, lines(2, 3), 4)
        assert list((await store.read("r", 4)).records) == []
        await store.append(claim, lines(4), "completed")
        assert list((await store.read("r", 4)).records) == lines(4)
        assert list((await store.read("r", 5)).records) == []

    async def test_an_unknown_run_is_not_found(self, store: Checkpointer) -> None:
        await begun(store)
        with pytest.raises(RunNotFoundError, match='no run "s"'):
            await store.read("s")
        with pytest.raises(RunNotFoundError, match='no run "s"'):
            await store.claim("s", 0, [])
        with pytest.raises(RunNotFoundError, match='no run "s"'):
            await store.delete("s")

    # Appending.

    async def test_records_are_added_in_order_and_the_claim_follows(self, store: Checkpointer) -> None:
        claim = await begun(store)
        await store.append(claim, lines(1))
        await store.append(claim, lines(2, 3))
        await store.append(claim, [])
        assert claim.head == 4
        assert await stored(store) == [b"0", *lines(1, 2, 3)]

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "stopped", "paused"])
    async def test_an_end_is_seen_and_gives_the_claim_back(self, store: Checkpointer, status: Status) -> None:
        claim = await begun(store)
        await store.append(claim, lines(1), status)
        assert (await store.read("r")).status == status
        with pytest.raises(RunConflictError, match='run "r"'):
            await store.append(claim, lines(2))
        assert await stored(store) == [b"0", *lines(1)]
        await store.claim("r", 2, [])
        assert (await store.read("r")).status == "running"

    async def test_an_append_is_carried_out_though_its_caller_is_cancelled(self, store: Checkpointer) -> None:
        claim = await begun(store)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.append(claim, lines(1))
        assert (await stored(store), claim.head) == ([b"0", *lines(1)], 2)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.append(claim, lines(2), "completed")
        assert ((await store.read("r")).status, claim.head) == ("completed", 3)

    async def test_an_append_that_is_cancelled_is_done_or_not_and_the_claim_knows(self, store: Checkpointer) -> None:
        claim, chance = await begun(store), Random(3)
        for number in range(20):
            task = asyncio.create_task(store.append(claim, lines(number)))
            await anyio.sleep(chance.random() * 0.004)
            task.cancel()
            await asyncio.wait([task])
            with anyio.move_on_after(chance.random() * 0.004):
                await store.append(claim, lines(number))
            assert len(await stored(store)) == claim.head

    # Snapshots.

    async def test_reading_from_a_snapshot_gives_it_and_what_came_after(self, store: Checkpointer) -> None:
        claim = await begun(store, records=lines(0))
        assert (await store.read("r", from_snapshot=True)).snapshot is None
        await store.append(claim, lines(1), snapshot=b"old")
        await store.append(claim, lines(2, 3), snapshot=b"new")
        await store.append(claim, lines(4))
        journal = await store.read("r", from_snapshot=True)
        assert (journal.snapshot, journal.start, list(journal.records), journal.head) == (b"new", 4, lines(4), 5)
        assert await stored(store) == lines(0, 1, 2, 3, 4)

    async def test_a_snapshot_may_come_with_the_end(self, store: Checkpointer) -> None:
        await store.append(await begun(store), lines(1, 2), "stopped", b"all")
        journal = await store.read("r", from_snapshot=True)
        assert (journal.snapshot, list(journal.records), journal.head, journal.status) == (b"all", [], 3, "stopped")

    async def test_a_refused_append_leaves_the_snapshot_as_it_was(self, store: Checkpointer) -> None:
        claim = await begun(store)
        await store.append(claim, lines(1), "failed", b"kept")
        with pytest.raises(RunConflictError):
            await store.append(claim, lines(2), snapshot=b"late")
        assert (await store.read("r", from_snapshot=True)).snapshot == b"kept"

    # Lists.

    async def test_runs_are_listed_newest_first_and_filtered(self, store: Checkpointer, another: Checkpointer) -> None:
        for number in range(4):
            claim = await store.create(f"r{number}", "even" if number % 2 == 0 else "odd", HEADER, [b"0"])
            if number > 1:
                await store.append(claim, [b"1"], "completed")
        assert [run.run_id for run in await another.runs()] == ["r3", "r2", "r1", "r0"]
        assert [run.run_id for run in await another.runs(status="completed")] == ["r3", "r2"]
        assert [run.run_id for run in await another.runs(graph="even")] == ["r2", "r0"]
        assert [run.run_id for run in await another.runs(graph="even", status="running")] == ["r0"]
        assert await another.runs(status="paused") == []

    async def test_a_listed_run_has_its_times_and_its_parent(self, store: Checkpointer) -> None:
        await begun(store, "old")
        claim = await store.create("new", "graph", HEADER, [b"0"], parent="old")
        await store.append(claim, [b"1"], "failed")
        new, old = await store.runs()
        assert (new.parent, old.parent, new.status, old.status) == ("old", None, "failed", "running")
        assert 0 < old.created_at <= new.created_at <= new.updated_at

    async def test_beginning_taking_up_and_ending_a_run_count_as_changes(self, store: Checkpointer) -> None:
        async def changed_at() -> float:
            await anyio.sleep(0.01)
            (run,) = await store.runs()
            return run.updated_at

        claim = await begun(store)
        begun_at = await changed_at()
        await store.append(claim, lines(1), "failed")
        failed_at = await changed_at()
        claim = await store.claim("r", 2, [])
        taken_at = await changed_at()
        await store.release(claim)
        released_at = await changed_at()
        assert begun_at < failed_at < taken_at < released_at

    async def test_a_run_at_work_is_not_deleted(self, store: Checkpointer, another: Checkpointer) -> None:
        claim = await begun(store)
        for by in (store, another):
            with pytest.raises(RunConflictError, match='run "r" is at work'):
                await by.delete("r")
        await store.append(claim, lines(1))
        assert await stored(store) == [b"0", *lines(1)]
        await store.release(claim)
        await another.delete("r")
        assert await store.runs() == []

    async def test_a_deleted_run_is_gone_and_its_id_free(self, store: Checkpointer, another: Checkpointer) -> None:
        claim = await begun(store, "r", lines(1, 2, 3))
        await begun(store, "other")
        await store.append(claim, lines(4), "completed", b"snapshot")
        await another.delete("r")
        assert [run.run_id for run in await store.runs()] == ["other"]
        with pytest.raises(RunNotFoundError):
            await store.read("r")
        again = await store.create("r", "graph", b"{}", lines(9))
        journal = await another.read("r", from_snapshot=True)
        assert (journal.header, list(journal.records), journal.snapshot) == (b"{}", lines(9), None)
        await store.append(again, lines(10))
        assert await stored(another, "other") == [b"0"]

    async def test_a_run_made_anew_by_another_can_be_taken_up(self, store: Checkpointer, another: Checkpointer) -> None:
        await store.release(await begun(store))
        await another.delete("r")
        await another.append(await begun(another, records=lines(5)), lines(6), "failed")
        claim = await store.claim("r", 2, lines(7))
        await store.append(claim, lines(8))
        assert await stored(another) == lines(5, 6, 7, 8)
        await store.release(claim)
        await store.delete("r")
        assert await another.runs() == []

    # The end.

    async def test_closing_twice_is_no_error(self, store: Checkpointer) -> None:
        await begun(store)
        await store.close()
        await store.close()

    async def test_a_store_that_was_never_used_can_be_closed(self, store: Checkpointer) -> None:
        await store.close()
