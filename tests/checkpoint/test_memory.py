from typing import Any, cast

import pytest

from loom import ConfigError, MemoryCheckpointer, RunNotFoundError
from loom.core.journal import Checkpointer
from loom.testing.checkpointer_suite import CheckpointerSuite, begun, lines, stored

pytestmark = pytest.mark.anyio

# Any, in this module: what no type checker would let pass.


class TestMemory(CheckpointerSuite):
    lives_in_one_process = True

    @pytest.fixture
    def store(self) -> MemoryCheckpointer:
        return MemoryCheckpointer()


def test_it_is_a_checkpointer() -> None:
    assert isinstance(MemoryCheckpointer(), Checkpointer)


async def test_only_the_newest_finished_runs_are_kept_and_all_unfinished_ones() -> None:
    store = MemoryCheckpointer(keep_finished=2)
    await begun(store, "open")
    await store.append(await begun(store, "failed"), lines(1), "failed")
    for number in range(5):
        await store.append(await begun(store, f"r{number}"), lines(1), "completed")
    assert [run.run_id for run in await store.runs()] == ["r4", "r3", "failed", "open"]
    with pytest.raises(RunNotFoundError, match='no run "r0" in memory; runs in this store: 4'):
        await store.read("r0")


@pytest.mark.parametrize("number", [-1, "3", 1.5, True])
def test_a_number_of_runs_to_keep_that_is_none_is_refused(number: Any) -> None:
    with pytest.raises(ConfigError, match=r"MemoryCheckpointer\(keep_finished=…\) must be "):
        MemoryCheckpointer(keep_finished=number)


async def test_no_finished_run_need_be_kept() -> None:
    store = MemoryCheckpointer(keep_finished=0)
    await store.append(await begun(store), lines(1), "completed")
    assert await store.runs() == []


async def test_what_runs_cannot_be_listed_by_is_refused() -> None:
    store = MemoryCheckpointer()
    await begun(store)
    with pytest.raises(ConfigError, match=r'runs\(status=…\) must be one of "cancelled", .*; got \'done\''):
        await store.runs(status=cast(Any, "done"))
    with pytest.raises(ConfigError, match=r"runs\(graph=…\) must be the name of a graph; got 5"):
        await store.runs(graph=cast(Any, 5))


async def test_a_finished_run_that_is_taken_up_again_counts_as_unfinished() -> None:
    store = MemoryCheckpointer(keep_finished=1)
    await store.append(await begun(store, "first"), lines(1), "completed")
    await store.claim("first", 2, [])
    for number in range(3):
        await store.append(await begun(store, f"r{number}"), lines(1), "completed")
    assert [run.run_id for run in await store.runs()] == ["r2", "first"]


async def test_what_was_read_does_not_change_when_the_run_goes_on() -> None:
    store = MemoryCheckpointer()
    claim = await begun(store)
    journal = await store.read("r")
    await store.append(claim, lines(1))
    assert list(journal.records) == [b"0"]
    assert len(await stored(store)) == 2
