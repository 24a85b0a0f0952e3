# ruff: noqa: S101, S311, D102 - cases of a test suite: they assert, by chance too; their names are sentences
"""The cases of the stores' suite about claims: who may append to a run, and who may not."""

import asyncio
from collections.abc import Sequence
from random import Random

import anyio
import anyio.lowlevel
import pytest

from loom.core.journal import Checkpointer, Claim
from loom.core.result import Status
from loom.errors import RunConflictError
from loom.testing.checkpointer_crashes import HEADER


def lines(*numbers: int) -> list[bytes]:
    """Return records that can be told apart."""
    return [b'{"kind":"step","number":%d}' % number for number in numbers]


async def begun(store: Checkpointer, run_id: str = "r", records: Sequence[bytes] = (b"0",)) -> Claim:
    """Begin a run."""
    return await store.create(run_id, "graph", HEADER, records)


async def stored(store: Checkpointer, run_id: str = "r") -> list[bytes]:
    """Return the records of a run."""
    return list((await store.read(run_id)).records)


class ClaimCases:
    """The cases about claims, with the fixtures of the suite."""

    async def test_a_claim_on_a_run_that_was_made_anew_can_append_nothing(self, store: Checkpointer) -> None:
        old = await begun(store)
        await store.release(old)
        await store.delete("r")
        new = await begun(store)
        with pytest.raises(RunConflictError):
            await store.append(Claim("r", old.token, old.head), lines(1))
        await store.append(new, lines(2))
        assert await stored(store) == [b"0", *lines(2)]

    @pytest.mark.parametrize("count", [1, 3])
    @pytest.mark.parametrize("ends", [False, True])
    async def test_a_claim_that_was_taken_over_adds_nothing(
        self, store: Checkpointer, another: Checkpointer, count: int, ends: bool
    ) -> None:
        old = await begun(store)
        await store.release(old)
        new = await another.claim("r", 1, [])
        with pytest.raises(RunConflictError, match='run "r" was taken over'):
            await store.append(old, lines(*range(count)), "completed" if ends else "running")
        assert await stored(store) == [b"0"]
        assert (await store.read("r")).status == "running"
        await another.append(new, lines(7))
        assert await stored(store) == [b"0", *lines(7)]

    async def test_a_claim_that_fell_behind_adds_nothing(self, store: Checkpointer) -> None:
        claim = await begun(store)
        copy = Claim(claim.run_id, claim.token, claim.head)
        await store.append(claim, lines(1, 2))
        with pytest.raises(RunConflictError, match='run "r" was taken over'):
            await store.append(copy, lines(8))
        with pytest.raises(RunConflictError, match='run "r" was taken over'):
            await store.append(copy, lines(8, 9, 10), "completed")
        assert await stored(store) == [b"0", *lines(1, 2)]
        assert (await store.read("r")).status == "running"

    async def test_a_run_that_was_deleted_takes_no_more(self, store: Checkpointer, another: Checkpointer) -> None:
        ends: list[tuple[list[bytes], Status]] = [(lines(1), "running"), (lines(1, 2), "completed"), ([], "failed")]
        for deleting in (store, another):
            claim = await begun(store)
            await store.release(Claim("r", claim.token, claim.head))
            await deleting.delete("r")
            for records, status in ends:
                with pytest.raises(RunConflictError, match='run "r" was taken over by another owner, or deleted'):
                    await store.append(claim, records, status)
            assert await store.runs() == []

    async def test_of_two_appends_with_one_claim_one_is_refused(
        self, store: Checkpointer, another: Checkpointer
    ) -> None:
        claim = await begun(store)
        refused: list[int] = []

        async def add(number: int, by: Checkpointer) -> None:
            try:
                await by.append(Claim(claim.run_id, claim.token, claim.head), lines(number))
            except RunConflictError:
                refused.append(number)

        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(add, number, another if number % 2 else store)
        (kept,) = set(range(6)) - set(refused)
        assert await stored(store) == [b"0", *lines(kept)]

    async def test_a_claim_that_is_alive_keeps_others_out(self, store: Checkpointer, another: Checkpointer) -> None:
        claim = await begun(store)
        with pytest.raises(RunConflictError, match='run "r" is at work'):
            await another.claim("r", 1, lines(1))
        await store.append(claim, lines(1))
        assert await stored(another) == [b"0", *lines(1)]

    async def test_a_claim_that_was_given_back_is_free_at_once(
        self, store: Checkpointer, another: Checkpointer
    ) -> None:
        await store.release(await begun(store))
        assert (await store.read("r")).status == "running"
        claim = await another.claim("r", 1, lines(1, 2))
        assert claim.head == 3
        assert await stored(store) == [b"0", *lines(1, 2)]

    async def test_a_taker_that_does_not_know_every_record_is_refused(
        self, store: Checkpointer, another: Checkpointer
    ) -> None:
        claim = await begun(store)
        await store.append(claim, lines(1), "failed")
        for head in (0, 1, 3):
            with pytest.raises(RunConflictError, match='run "r" went on'):
                await another.claim("r", head, lines(9))
        assert await stored(store) == [b"0", *lines(1)]
        assert (await store.read("r")).status == "failed"

    async def test_giving_back_an_old_claim_does_not_free_the_new_one(
        self, store: Checkpointer, another: Checkpointer
    ) -> None:
        old = await begun(store)
        await store.release(old)
        new = await another.claim("r", 1, [])
        await store.release(old)
        with pytest.raises(RunConflictError, match="is at work"):
            await store.claim("r", 1, [])
        await another.append(new, lines(1))

    async def test_giving_back_a_claim_of_a_run_that_is_gone_is_no_error(self, store: Checkpointer) -> None:
        claim = await begun(store)
        await store.release(Claim("r", claim.token, claim.head))
        await store.delete("r")
        await store.release(claim)

    async def test_one_of_several_takers_wins(self, store: Checkpointer, another: Checkpointer) -> None:
        await store.release(await begun(store))
        won: list[Claim] = []
        lost: list[RunConflictError] = []

        async def take(by: Checkpointer) -> None:
            try:
                won.append(await by.claim("r", 1, lines(1)))
            except RunConflictError as error:
                lost.append(error)

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(take, another if number % 2 else store)
        assert (len(won), len(lost)) == (1, 7)
        assert await stored(store) == [b"0", *lines(1)]

    async def test_a_claim_whose_taker_was_cancelled_is_free(self, store: Checkpointer) -> None:
        chance = Random(5)
        for number in range(20):
            task = asyncio.create_task(begun(store, f"r{number}"))
            await anyio.sleep(chance.random() * 0.004)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                await store.release(task.result())
            elif f"r{number}" not in [run.run_id for run in await store.runs()]:
                continue
            taker = asyncio.create_task(store.claim(f"r{number}", 1, [b"1"]))
            await anyio.sleep(chance.random() * 0.004)
            taker.cancel()
            await asyncio.wait([taker])
            if not taker.cancelled():
                await store.release(taker.result())
            await store.claim(f"r{number}", len(await stored(store, f"r{number}")), [])

    async def test_runs_at_work_side_by_side_do_not_mix(self, store: Checkpointer, another: Checkpointer) -> None:
        async def work(number: int, by: Checkpointer) -> None:
            claim = await begun(by, f"r{number}", [])
            for step in range(10):
                await by.append(claim, [b"%d of %d" % (step, number)])
                await anyio.lowlevel.checkpoint()
            await by.append(claim, [b"end"], "completed")

        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(work, number, another if number % 2 else store)
        for number in range(40):
            expected = [*(b"%d of %d" % (step, number) for step in range(10)), b"end"]
            assert await stored(store, f"r{number}") == expected
