from functools import partial

import anyio
import pytest

from loom import Context, NodeError
from tests.core.letters import chain, fan

pytestmark = pytest.mark.anyio


async def ask_two(ctx: Context) -> None:
    async with anyio.create_task_group() as group:
        for key in ("one", "two"):
            group.start_soon(partial(ctx.ask, "Well?", key=key))


async def test_asks_of_a_nodes_own_tasks_pause_the_run_together() -> None:
    app = chain("ab", a=ask_two)
    paused = await app.run(run_id="r")
    assert (paused.status, sorted(ask.key for ask in paused.asks)) == ("paused", ["one", "two"])
    result = await app.resume("r", answers={ask.id: "yes" for ask in paused.asks})
    assert (result.status, result.state.log) == ("completed", ["a", "b"])


async def test_a_failure_beside_an_ask_of_one_node_is_a_failure() -> None:
    async def ask_and_fail(ctx: Context) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(ctx.ask, "Well?")
            raise ValueError("no")

    with pytest.raises(NodeError) as caught:
        await chain("a", a=ask_and_fail).run()
    assert isinstance(caught.value.__cause__, ExceptionGroup | ValueError)


async def test_a_branch_that_waits_for_an_answer_holds_up_no_other() -> None:
    async def ask(ctx: Context) -> None:
        await ctx.ask("Well?")

    app = fan("abc", a=ask)
    paused = await app.run(run_id="r")
    assert [point.node for point in await app.history("r")] == ["START", "b"]
    (opened,) = paused.asks
    assert (await app.resume("r", answers={opened.id: "yes"})).state.log == ["a", "b", "c"]
