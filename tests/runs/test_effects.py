"""Tests of `once`: an effect that has happened is not repeated, and gives what it gave."""

import asyncio
import threading
from functools import partial
from typing import Any

import pytest

from loom import END, START, Context, EffectError, Graph, MemoryCheckpointer, NodeError, Retry, Runtime, node
from tests.core.letters import graph_of
from tests.runs.effects import Receipt, Seen, World, acting, receipt, records
from tests.runs.failures import Trouble

pytestmark = pytest.mark.anyio

# Any, in this module: what effects give and asks are answered.


async def test_a_finished_effect_is_not_repeated_when_its_step_runs_again() -> None:
    world, trouble = World(), Trouble(ValueError("after the effect"))

    async def body(ctx: Context) -> Any:
        got = await ctx.once("act", world.act, "a")
        trouble.strike()
        return got

    app = acting(body)
    with pytest.raises(NodeError, match="after the effect"):
        await app.run(run_id="r")
    result = await app.resume("r")
    assert (result.state.seen, world.calls) == ([1], ["a"])


def untyped() -> Any:
    return (1, 2)


def typed() -> tuple[int, ...]:
    return (1, 2)


@pytest.mark.parametrize(
    ("fn", "result_type", "expected"),
    [
        (untyped, None, [1, 2]),
        (typed, None, (1, 2)),
        (typed, list[int], [1, 2]),
        (typed, Any, [1, 2]),
        (receipt, None, Receipt(number=7, paid=(1, 2))),
        (receipt, Any, {"number": 7, "paid": [1, 2]}),
        (lambda: float("inf"), float, float("inf")),
        (partial(typed), None, [1, 2]),
    ],
)
async def test_the_first_call_gives_what_a_later_one_reads_back(fn: Any, result_type: Any, expected: Any) -> None:
    seen: list[Any] = []
    trouble = Trouble(ValueError("again"))

    async def body(ctx: Context) -> None:
        seen.append(await ctx.once("act", fn, result_type=result_type))
        trouble.strike()

    app = acting(body)
    with pytest.raises(NodeError):
        await app.run(run_id="r")
    await app.resume("r")
    assert seen == [expected, expected]
    assert {type(one) for one in seen} == {type(expected)}


async def test_a_plain_function_runs_in_a_thread_and_an_awaitable_is_awaited() -> None:
    def later(value: str) -> Any:
        return asyncio.sleep(0, value)

    async def body(ctx: Context) -> Any:
        thread = await ctx.once("plain", threading.get_ident)
        loop = await ctx.once("async", World().act)
        waited = await ctx.once("made", later, "slept")
        return [thread != threading.get_ident(), loop, waited]

    result = await acting(body).run()
    assert result.state.seen == [[True, 1, "slept"]]


async def test_one_key_twice_in_a_visit_is_an_error_and_an_ask_may_have_it_too() -> None:
    world = World()

    async def twice(ctx: Context) -> None:
        await ctx.once("act", world.act)
        await ctx.once("act", world.act)

    with pytest.raises(NodeError, match='uses the key "act" twice in one visit; give each once its own'):
        await acting(twice).run()
    assert len(world.calls) == 1

    async def both(ctx: Context) -> Any:
        await ctx.once("act", world.act)
        return await ctx.ask("Which?", key="act")

    assert (await acting(both).run()).status == "paused"


async def test_a_key_is_one_of_its_visit_so_a_loop_acts_each_time() -> None:
    world = World()

    @node(writes="seen", effect="write")
    async def act(ctx: Context) -> list[Any]:
        await ctx.once("act", world.act, ctx.idempotency_key("act"))
        return [ctx.visit]

    graph = Graph("loop", Seen)
    graph.node("act", act, ungated="a test")
    graph.edge(START, "act")
    graph.switch("act", {"len(seen) >= 3": END}, otherwise="act")
    result = await graph.compile().run()
    assert result.state.seen == [1, 2, 3]
    assert len(set(world.calls)) == 3


async def test_an_exception_is_a_failed_attempt_and_a_retry_calls_again_with_the_same_key() -> None:
    world, store = World(OSError("no line")), MemoryCheckpointer()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act, ctx.idempotency_key("act"))

    app = acting(body, retry=Retry(max_attempts=2, backoff_s=0))
    result = await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    assert result.state.seen == [2]
    assert len(world.calls) == 2
    assert len(set(world.calls)) == 1
    kinds = [record["kind"] for record in await records(store)]
    assert kinds == ["input", "intent", "effect", "attempt", "intent", "effect", "step", "end"]
    assert (await records(store))[2]["error"] == "OSError: no line"


async def test_a_failed_effect_is_not_in_doubt_when_the_run_is_resumed() -> None:
    world = World(OSError("no line"))

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act)

    app = acting(body)
    with pytest.raises(NodeError):
        await app.run(run_id="r")
    assert (await app.resume("r")).state.seen == [2]


@pytest.mark.parametrize(("declared", "greater"), [("pure", "read"), ("read", "model"), ("model", "write")])
async def test_an_effect_greater_than_declared_is_refused_and_never_tried_again(declared: Any, greater: Any) -> None:
    world, store = World(), MemoryCheckpointer()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act, effect=greater)

    app = acting(body, effect=declared, retry=Retry(max_attempts=3, backoff_s=0))
    with pytest.raises(NodeError) as caught:
        await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    assert isinstance(caught.value.__cause__, EffectError)
    assert f'declares the effect "{declared}", but its once("act") has "{greater}"' in str(caught.value)
    assert caught.value.attempt == 1
    assert world.calls == []
    assert [record["kind"] for record in await records(store)] == ["input", "end"]


async def test_an_effect_that_is_not_known_is_told_with_those_that_are() -> None:
    async def body(ctx: Context) -> None:
        await ctx.once("act", len, "x", effect="wirte")  # type: ignore[arg-type]  # what is seen to be refused

    with pytest.raises(NodeError) as caught:
        await graph_of((START, "a", END), bodies={"a": body}).compile().run(run_id="r")
    assert 'once("act") of node "a" has the effect \'wirte\'; expected one of "pure", "read"' in str(caught.value)


@pytest.mark.parametrize("effect", ["pure", "read", "model", "write"])
async def test_a_lesser_effect_is_fine(effect: Any) -> None:
    async def body(ctx: Context) -> Any:
        return await ctx.once("act", World().act, effect=effect)

    assert (await acting(body).run()).state.seen == [1]


async def test_a_result_type_that_cannot_be_saved_is_told_before_the_call() -> None:
    world = World()

    async def act() -> threading.Event:
        await world.act()
        return threading.Event()

    async def body(ctx: Context) -> None:
        await ctx.once("act", act)

    with pytest.raises(NodeError, match=r'once\("act"\) of node "n0" gives Event, which cannot be saved'):
        await acting(body).run()
    assert world.calls == []


async def test_a_result_that_cannot_be_saved_leaves_its_effect_in_doubt() -> None:
    async def act() -> Any:
        return threading.Event()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", act)

    app = acting(body)
    with pytest.raises(NodeError, match="say result_type=, or return plain data"):
        await app.run(run_id="r")
    result = await app.resume("r")
    assert [ask.kind for ask in result.asks] == ["in_doubt"]
    result = await app.resume("r", answers={result.asks[0].id: "done"})
    assert result.state.seen == ["done"]
