"""Tests of what a node begins and does not await: it ends when the node is over, and harms nobody."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import anyio
import pytest

from loom import (
    END,
    START,
    Context,
    Graph,
    LoomError,
    MemoryCheckpointer,
    Runtime,
    SqliteCheckpointer,
    State,
    append,
    node,
)
from loom.core.journal import decode
from loom.runs.app import CompiledGraph

pytestmark = pytest.mark.anyio


class Seen(State):
    seen: Annotated[list[str], append] = []


def acting(*bodies: Callable[[Context], Awaitable[str]]) -> CompiledGraph[Seen]:
    """Return a chain of nodes, `n0` and so on, each of which appends what its body gives."""
    graph = Graph("acting", Seen)
    for number, body in enumerate(bodies):

        @node(writes="seen", effect="write")
        async def act(ctx: Context, body: Callable[[Context], Awaitable[str]] = body) -> list[str]:
            return [await body(ctx)]

        graph.node(f"n{number}", act, ungated="a test")
    graph.edge(START, *(f"n{number}" for number in range(len(bodies))), END)
    return graph.compile()


async def waits(ctx: Context) -> str:
    await anyio.sleep(0.05)
    return "waited"


@pytest.mark.parametrize("is_durable", [False, True])
async def test_an_effect_that_outlives_its_node_is_not_taken_for_one_of_the_next(
    is_durable: bool, tmp_path: Path
) -> None:
    mailed: list[str] = []

    async def mail(text: str, seconds: float) -> str:
        await anyio.sleep(seconds)
        if text == "refused":
            raise ValueError(text)
        mailed.append(text)
        return text

    async def first(ctx: Context) -> str:
        sending = ctx.once("mail", mail, "of the first", 0.03)
        try:
            await asyncio.gather(ctx.once("pay", mail, "refused", 0.01), sending)
        except ValueError:
            return "fell back"
        return "sent"

    async def second(ctx: Context) -> str:
        await waits(ctx)
        return str(await ctx.once("mail", mail, "of the second", 0.0))

    store = SqliteCheckpointer(tmp_path / "x.db") if is_durable else MemoryCheckpointer()
    result = await acting(first, second).run(run_id="r", runtime=Runtime(checkpointer=store))
    assert result.state.seen == ["fell back", "of the second"]
    assert mailed == ["of the first", "of the second"]
    records = [decode(line, "r") for line in (await store.read("r")).records]
    effects = [(record["node"], record["key"]) for record in records if record["kind"] == "effect"]
    assert effects == [("n0", "pay"), ("n1", "mail")], "nobody noted the late result of the first"


async def test_what_a_node_left_behind_is_told_that_the_node_is_over() -> None:
    told: list[LoomError] = []
    tasks: list[asyncio.Task[None]] = []

    async def leaves(ctx: Context) -> str:
        async def late() -> None:
            await anyio.sleep(0.01)
            try:
                await ctx.once("late", waits, ctx)
            except LoomError as error:
                told.append(error)

        tasks.append(asyncio.create_task(late()))
        return "left"

    result = await acting(leaves, waits).run()
    assert result.state.seen == ["left", "waited"]
    assert [str(error) for error in told] == [
        'node "n0" has returned, and what it left behind goes on; let it await what it begins'
    ]


async def test_the_end_of_a_run_waits_for_what_a_cancelled_node_is_saving(tmp_path: Path) -> None:
    """`gather` returns at the first of its calls that is cancelled, while another may be saving its result."""
    runtime = Runtime(checkpointer=SqliteCheckpointer(tmp_path / "x.db", durability="power"))
    begun: list[str] = []
    all_begun = [anyio.Event()]

    async def slow(key: str) -> str:
        begun.append(key)
        if len(begun) == 2:
            all_begun[-1].set()
        await anyio.sleep(0.03)
        return key

    async def gathers(ctx: Context) -> str:
        return "".join(await asyncio.gather(ctx.once("x", slow, "x"), ctx.once("y", slow, "y")))

    app = acting(gathers)
    for number in range(5):
        begun.clear()
        all_begun.append(anyio.Event())
        run = app.start(run_id=f"r{number}", runtime=runtime)
        await all_begun[-1].wait()
        run.cancel()
        assert (await run.wait()).status == "cancelled"
        result = await app.resume(f"r{number}", runtime=runtime)
        while result.asks:  # what ended after the run is in doubt
            result = await app.resume(
                f"r{number}", answers={ask.id: f"{ask.payload['effect']}!" for ask in result.asks}, runtime=runtime
            )
        assert (result.status, len(result.state.seen[0].replace("!", ""))) == ("completed", 2)
        assert sorted(begun) == ["x", "y"], "neither was called again"
