"""Tests of effects in doubt: whether they happened is asked, and they are done as answered."""

from typing import Any

import pytest

from loom import AnswerError, Context, MemoryCheckpointer, NodeError, Result
from tests.runs.doubt import cut, in_doubt
from tests.runs.effects import Even, Receipt, World, acting, receipt
from tests.runs.failures import Trouble

pytestmark = pytest.mark.anyio

# Any, in this module: what effects give and asks are answered.


@pytest.mark.parametrize(
    ("answer", "expected", "calls"),
    [
        ("retry", 2, 2),
        ("skip", None, 1),
        (Result(7), 7, 1),
        (7, 7, 1),
        (Result("retry"), "retry", 1),
        (None, None, 1),
        ({"paid": [1]}, {"paid": [1]}, 1),
    ],
)
async def test_what_is_in_doubt_is_asked_and_done_as_answered(answer: Any, expected: Any, calls: int) -> None:
    world = World()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act, ctx.idempotency_key("act"))

    app = acting(body)
    runtime, paused = await in_doubt(app)
    (ask,) = paused.asks
    assert (paused.status, ask.kind, ask.node, ask.payload) == ("paused", "in_doubt", "n0", {"effect": "act"})
    assert len(world.calls) == 1
    result = await app.resume("r", answers={ask.id: answer}, runtime=runtime)
    assert (result.status, result.state.seen, len(world.calls)) == ("completed", [expected], calls)
    assert len(set(world.calls)) == 1, "with the same idempotency key"


async def test_an_answer_in_doubt_holds_also_when_the_step_runs_again() -> None:
    world, trouble = World(), Trouble()

    async def body(ctx: Context) -> Any:
        got = await ctx.once("act", world.act)
        trouble.strike()
        return got

    app = acting(body)
    runtime, paused = await in_doubt(app)
    trouble.__init__(ValueError("after"))  # type: ignore[misc]  # this body raises from now on
    with pytest.raises(NodeError):
        await app.resume("r", answers={paused.asks[0].id: Result("so")}, runtime=runtime)
    assert (await app.resume("r", runtime=runtime)).state.seen == ["so"]
    assert len(world.calls) == 1


async def test_what_was_tried_again_and_cut_off_again_is_asked_again() -> None:
    world = World()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act)

    app = acting(body)
    runtime, first = await in_doubt(app)
    assert isinstance(runtime.checkpointer, MemoryCheckpointer)
    await app.resume("r", answers={first.asks[0].id: "retry"}, runtime=runtime)
    again = await cut(runtime.checkpointer, "intent")
    second = await app.resume("r", runtime=again)
    assert second.asks[0].id != first.asks[0].id
    result = await app.resume("r", answers={second.asks[0].id: "skip"}, runtime=again)
    assert (result.state.seen, len(world.calls)) == ([None], 2)


@pytest.mark.parametrize(
    ("declared", "settings", "last"),
    [
        ("write", {"idempotent": True}, "intent"),
        ("write", {"effect": "read"}, "input"),  # what writes nothing has no intent
        ("read", {}, "input"),
        ("model", {}, "input"),
        ("pure", {}, "input"),
    ],
)
async def test_what_may_be_repeated_is_called_again_with_the_same_key(declared: Any, settings: Any, last: str) -> None:
    world = World()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act, ctx.idempotency_key("act"), **settings)

    _, result = await in_doubt(acting(body, effect=declared), after=last)
    assert (result.status, result.state.seen) == ("completed", [2])
    assert world.calls[0] == world.calls[1]


async def test_an_answer_in_doubt_of_the_wrong_type_is_refused_and_changes_nothing() -> None:
    async def body(ctx: Context) -> Any:
        return await ctx.once("act", receipt)

    app = acting(body)
    runtime, paused = await in_doubt(app)
    assert isinstance(runtime.checkpointer, MemoryCheckpointer)
    before = await runtime.checkpointer.read("r")
    wrongs: list[Any] = [5, Result({"number": "seven"}), {"paid": []}]
    for wrong in wrongs:
        with pytest.raises(AnswerError, match='or answer "retry" or "skip"'):
            await app.resume("r", answers={paused.asks[0].id: wrong}, runtime=runtime)
    assert await runtime.checkpointer.read("r") == before
    result = await app.resume("r", answers={paused.asks[0].id: Receipt(number=8)}, runtime=runtime)
    assert result.state.seen == [Receipt(number=8).model_dump(mode="json")]


async def test_a_result_in_doubt_that_its_type_refuses_is_asked_again() -> None:
    async def body(ctx: Context) -> Any:
        return await ctx.once("act", lambda: 2, result_type=Even)

    app = acting(body)
    runtime, paused = await in_doubt(app)
    with pytest.raises(AnswerError, match="wants int, got 3: Value error, 3 is odd; it is open again"):
        await app.resume("r", answers={paused.asks[0].id: 3}, runtime=runtime)
    assert (await app.resume("r", runtime=runtime)).asks == paused.asks
    assert (await app.resume("r", answers={paused.asks[0].id: 4}, runtime=runtime)).state.seen == [4]
