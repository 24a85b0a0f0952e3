import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import anyio
import pytest

from loom import END, START, Graph, NodeError, State, append, node
from loom.runs.app import CompiledGraph

pytestmark = pytest.mark.anyio


class Items(State):
    items: list[int]
    done: Annotated[list[int], append] = []


def for_each(work: Callable[[int], Awaitable[None]], at_once: int) -> CompiledGraph[Items]:
    @node(writes="done")
    async def do(item: int) -> list[int]:
        await work(item)
        return [item]

    graph = Graph("items", Items)
    graph.node("do", do)
    graph.each(START, "do", over="items", bind="item", max_concurrency=at_once)
    graph.edge("do", END)
    return graph.compile()


@pytest.mark.parametrize("count", [2, 3, 300])
async def test_as_many_are_at_work_at_once_as_may_be(count: int) -> None:
    at_work, met = 0, anyio.Event()

    async def meet(_item: int) -> None:
        nonlocal at_work
        at_work += 1
        if at_work == count:
            met.set()
        await met.wait()

    with anyio.fail_after(20):
        result = await for_each(meet, count).run({"items": list(range(count))})
    assert result.state.done == list(range(count))


async def test_a_branch_that_waits_for_a_later_one_holds_nobody_up() -> None:
    last_is_over = anyio.Event()

    async def work(item: int) -> None:
        if item == 99:
            last_is_over.set()
        elif item % 10 == 0:
            await last_is_over.wait()

    with anyio.fail_after(20):
        result = await for_each(work, 1000).run({"items": list(range(100))})
    assert result.state.done == list(range(100))


async def test_steps_that_await_nothing_take_no_tasks_of_their_own() -> None:
    most = 0

    async def look(_item: int) -> None:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))

    before = len(asyncio.all_tasks())
    await for_each(look, 1000).run({"items": list(range(1000))})
    assert most <= before + 2


async def test_a_failure_lets_nothing_that_waits_begin() -> None:
    begun: list[int] = []

    async def work(item: int) -> None:
        begun.append(item)
        if item == 3:
            raise ValueError("three")
        await anyio.sleep(0 if item < 3 else 30)

    with anyio.fail_after(20), pytest.raises(NodeError, match="three"):
        await for_each(work, 2).run({"items": list(range(1000))})
    assert max(begun) <= 4


async def test_a_cancelled_run_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()

    async def work(_item: int) -> None:
        await anyio.sleep(30)

    run = for_each(work, 100).start({"items": list(range(100))})
    await anyio.sleep(0.05)
    run.cancel()
    assert (await run.wait()).status == "cancelled"
    assert asyncio.all_tasks() == before
