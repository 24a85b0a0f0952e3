from collections.abc import Callable
from typing import Any

import anyio
import pytest

from loom import (
    END,
    START,
    Context,
    EffectError,
    Graph,
    Limits,
    LoomError,
    MemoryCheckpointer,
    NodeError,
    Retry,
    Runtime,
    State,
    node,
)
from loom.runs.app import CompiledGraph
from loom.types.usage import Usage
from tests.core.letters import chain, failing, fan

pytestmark = pytest.mark.anyio


class Asked(State):
    found: list[str] = []


def asking(work: Callable[[Context], object]) -> CompiledGraph[Asked]:
    """Return a graph of one node that writes to the world, calls `work`, then waits for an answer."""

    @node(writes="found", effect="write")
    async def ask(ctx: Context) -> list[str]:
        found = work(ctx)
        await ctx.ask("Go on?", key="on")
        return [str(found)]

    graph = Graph("asks", Asked)
    graph.node("ask", ask, ungated="a test")
    graph.edge(START, "ask", END)
    return graph.compile()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


async def test_a_node_that_calls_a_model_in_its_own_way_may_say_what_it_used() -> None:
    @node
    async def own_way(ctx: Context) -> None:
        ctx.usage += Usage(input_tokens=3)
        ctx.usage += Usage(output_tokens=4)

    graph = Graph("own", Asked)
    graph.node("own", own_way)
    graph.edge(START, "own", END)
    result = await graph.compile().run()
    assert result.usage == Usage(input_tokens=3, output_tokens=4)


async def test_it_tells_where_the_node_stands() -> None:
    seen: list[tuple[str, str, str, int, int]] = []

    async def look(ctx: Context) -> None:
        seen.append((ctx.run_id, ctx.node, ctx.branch, ctx.visit, ctx.attempt))

    await fan("abc", a=look, b=look, c=look).run(run_id="r")
    assert seen == [("r", "a", "0", 1, 1), ("r", "b", "1", 1, 1), ("r", "c", "", 1, 1)]


async def test_a_visit_is_counted_per_time_around_a_loop() -> None:
    class Loop(State):
        rounds: int = 0

    seen: list[int] = []

    @node(writes="rounds")
    async def work(rounds: int, ctx: Context) -> int:
        seen.append(ctx.visit)
        return rounds + 1

    graph = Graph("loop", Loop)
    graph.node("work", work)
    graph.edge(START, "work")
    graph.switch("work", {"rounds >= 3": END}, otherwise="work")
    await graph.compile().run()
    assert seen == [1, 2, 3]


async def test_the_deadline_is_that_of_the_run() -> None:
    seen: list[float | None] = []

    async def look(ctx: Context) -> None:
        seen.append(ctx.deadline)

    await chain("a", a=look).run(runtime=Runtime(limits=Limits(deadline_s=60), clock=lambda: 1000.0))
    await chain("a", a=look).run()
    assert seen == [1060.0, None]


async def test_the_tools_are_those_of_the_runtime() -> None:
    seen: list[object] = []

    async def look(ctx: Context) -> None:
        seen.append(dict(ctx.tools))

    await chain("a", a=look).run()
    assert seen == [{}]


async def test_the_resources_are_those_of_the_runtime() -> None:
    seen: list[object] = []

    async def look(ctx: Context) -> None:
        seen.append(ctx.resources["client"])

    client = object()
    await chain("a", a=look).run(runtime=Runtime(resources={"client": client}))
    assert seen == [client]


async def test_the_resources_are_the_very_objects_of_the_runtime() -> None:
    seen: list[object] = []
    client = object()

    async def look(ctx: Context) -> None:
        seen.append(ctx.resources.get("client"))

    await chain("a", a=look).run(runtime=Runtime(resources={"client": client}))
    await chain("a", a=look).run()
    assert seen == [client, None]


async def test_a_step_that_is_run_again_sees_the_same_times_and_random_numbers() -> None:
    seen: list[tuple[float, float, float]] = []

    def look(ctx: Context) -> str:
        seen.append((ctx.now(), ctx.now(), ctx.random.random()))
        return "looked"

    app, runtime = asking(look), Runtime(checkpointer=MemoryCheckpointer(), clock=Clock())
    (ask,) = (await app.run(run_id="r", runtime=runtime)).asks
    await app.resume("r", answers={ask.id: "yes"}, runtime=runtime)
    first, second = seen
    assert first == second
    assert first[0] < first[1]


async def test_random_numbers_differ_from_run_to_run_node_to_node_and_visit_to_visit() -> None:
    seen: list[float] = []

    async def look(ctx: Context) -> None:
        seen.append(ctx.random.random())

    for run_id in ("r1", "r2"):
        await fan("abc", a=look, b=look, c=look).run(run_id=run_id)
    assert len(set(seen)) == 6


async def test_an_idempotency_key_is_the_same_for_every_attempt_and_no_other_place() -> None:
    seen: dict[str, list[str]] = {"a": [], "b": []}

    async def look(ctx: Context) -> None:
        seen[ctx.node].append(ctx.idempotency_key("pay"))
        assert ctx.idempotency_key("refund") not in seen[ctx.node]
        if ctx.attempt == 1:
            raise ValueError("again")

    class One(State):
        note: str = ""

    @node(writes="note")
    async def work(ctx: Context) -> str:
        await look(ctx)
        return ""

    graph = Graph("keys", One)
    for name in seen:
        graph.node(name, work, retry=Retry(max_attempts=2, backoff_s=0))
    graph.edge(START, "a", "b", END)
    for run_id in ("r1", "r2"):
        await graph.compile().run(run_id=run_id)
    assert all(first == again for keys in seen.values() for first, again in zip(keys[::2], keys[1::2], strict=True))
    assert len({*seen["a"], *seen["b"]}) == 4


async def test_an_idempotency_key_does_not_follow_what_a_node_makes_of_its_context() -> None:
    keys: list[str] = []

    async def look(ctx: Context) -> None:
        keys.append(ctx.idempotency_key("pay"))
        ctx.run_id = ctx.node = "other"
        keys.append(ctx.idempotency_key("pay"))

    await chain("abc", b=look).run()
    assert keys[0] == keys[1]


# Effects and asks.


async def test_an_effect_is_not_repeated_after_an_answer() -> None:
    calls: list[str] = []

    @node(writes="found", effect="write")
    async def work(ctx: Context) -> list[str]:
        async def pay(amount: int) -> list[int]:
            calls.append("pay")
            return [amount]

        paid = await ctx.once("pay", pay, 7)
        return [str(paid), str(await ctx.ask("Go on?", answer_type=int, key="on"))]

    graph = Graph("pays", Asked)
    graph.node("work", work, ungated="a test")
    graph.edge(START, "work", END)
    app, runtime = graph.compile(), Runtime(checkpointer=MemoryCheckpointer())
    (ask,) = (await app.run(run_id="r", runtime=runtime)).asks
    assert (ask.kind, ask.key, ask.question, ask.node, ask.answer_type) == (
        "ask",
        "on",
        "Go on?",
        "work",
        {"type": "integer"},
    )
    result = await app.resume("r", answers={ask.id: 3}, runtime=runtime)
    assert (result.state.found, calls) == (["[7]", "3"], ["pay"])


async def test_a_plain_function_is_an_effect_too_and_gives_what_will_be_read_back() -> None:
    seen: list[object] = []

    def fetch() -> tuple[int, ...]:
        return (1, 2)

    async def untyped() -> object:
        return {"pair": (1, 2)}

    async def work(ctx: Context) -> None:
        seen.append(await ctx.once("typed", fetch, effect="pure"))
        seen.append(await ctx.once("untyped", untyped, effect="pure"))
        seen.append(await ctx.once("told", fetch, effect="pure", result_type=list[int]))

    await chain("a", a=work).run()
    assert seen == [(1, 2), {"pair": [1, 2]}, [1, 2]]


async def test_a_key_may_be_used_once_in_a_visit() -> None:
    async def work(ctx: Context) -> None:
        await ctx.once("pay", dict, effect="pure")
        await ctx.once("pay", dict, effect="pure")

    with pytest.raises(NodeError, match='node "a" uses the key "pay" twice in one visit; give each once its own'):
        await chain("a", a=work).run()


async def test_an_effect_greater_than_the_node_declares_is_refused_and_not_tried_again() -> None:
    attempts: list[int] = []

    @node(writes="found")
    async def work(ctx: Context) -> list[str]:
        attempts.append(ctx.attempt)
        return [await ctx.once("pay", str, effect="write")]

    graph = Graph("pays", Asked)
    graph.node("work", work, retry=Retry(backoff_s=0))
    graph.edge(START, "work", END)
    with pytest.raises(NodeError) as caught:
        await graph.compile().run()
    assert isinstance(caught.value.__cause__, EffectError)
    assert 'declares the effect "pure", but its once("pay") has "write"' in str(caught.value)
    assert attempts == [1]


async def test_a_result_that_cannot_be_saved_is_told() -> None:
    async def work(ctx: Context) -> None:
        await ctx.once("thing", object, effect="pure")

    with pytest.raises(NodeError, match=r'once\("thing"\) gave <object') as caught:
        await chain("a", a=work).run()
    assert isinstance(caught.value.__cause__, LoomError)


async def test_the_error_of_an_effect_is_the_nodes_and_another_attempt_calls_again() -> None:
    fetch = failing(ValueError("not now"))

    @node(writes="found", effect="read")
    async def work(ctx: Context) -> list[str]:
        await ctx.once("fetch", fetch, ctx, result_type=None)
        return [str(ctx.attempt)]

    graph = Graph("fetches", Asked)
    graph.node("work", work, retry=Retry(max_attempts=2, backoff_s=0))
    graph.edge(START, "work", END)
    assert (await graph.compile().run()).state.found == ["2"]


async def test_a_plain_node_in_a_thread_has_a_context_too() -> None:
    class Noted(State):
        note: str = ""

    @node(writes="note")
    def work(ctx: Context) -> str:
        return f"{ctx.node} {ctx.attempt} {ctx.idempotency_key('x') != ''}"

    graph = Graph("notes", Noted)
    graph.node("work", work)
    graph.edge(START, "work", END)
    with anyio.fail_after(5):
        assert (await graph.compile().run()).state.note == "work 1 True"


class Counted(State):
    most: int = 1
    counted: int = 0


@node(writes="counted")
async def count_up(counted: int, ctx: Context) -> int:
    if counted >= ctx.resources["most"]:
        ctx.stop("max_count")
    return counted + 1


def counting() -> CompiledGraph[Counted]:
    graph = Graph("counts", Counted)
    graph.node("count", count_up)
    graph.edge(START, "count")
    graph.switch("count", {"counted >= 4": END}, otherwise="count")
    return graph.compile()


async def test_a_node_may_stop_its_run_as_a_limit_does_and_a_resume_runs_it_again() -> None:
    app, store = counting(), MemoryCheckpointer()
    little, much = (Runtime(checkpointer=store, resources={"most": most}) for most in (2, 9))
    result = await app.run({}, run_id="r", runtime=little)
    assert (result.status, result.stop_reason, result.state.counted, result.steps) == ("stopped", "max_count", 2, 2)
    events = [event async for event in app.events("r", runtime=little)]
    assert (events[-1].type, events[-1].payload["reason"]) == ("run.stopped", "max_count")
    assert [run.status for run in await store.runs()] == ["stopped"]
    assert (await app.resume("r", runtime=little)).stop_reason == "max_count"
    result = await app.resume("r", runtime=much)
    assert (result.status, result.stop_reason, result.state.counted, result.steps) == ("completed", None, 4, 4)


async def test_a_stop_that_a_node_swallows_stops_the_run_all_the_same() -> None:
    @node(writes="counted")
    async def swallow(ctx: Context) -> int:
        try:
            ctx.stop("enough")
        except BaseException:  # noqa: BLE001 - what it is about
            return 1

    graph = Graph("swallows", Counted)
    graph.node("swallow", swallow)
    graph.edge(START, "swallow", END)
    result = await graph.compile().run({})
    assert (result.status, result.stop_reason, result.state.counted) == ("stopped", "enough", 0)


def stopping(reason: Any) -> CompiledGraph[Counted]:
    @node
    async def stop(ctx: Context) -> None:
        ctx.stop(reason)

    graph = Graph("stops", Counted)
    graph.node("stop", stop)
    graph.edge(START, "stop", END)
    return graph.compile()


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("", 'node "stop" stops the run without a reason'),
        (" ", 'node "stop" stops the run without a reason'),
        (5, 'the reason of a stop of node "stop" must be a text; got 5'),
        ("\ud800", 'the reason of a stop of node "stop" must be a text that can be saved'),
    ],
)
async def test_a_stop_needs_a_reason(reason: Any, said: str) -> None:
    with pytest.raises(NodeError, match=said):
        await stopping(reason).run({})


async def test_no_secret_is_told_by_the_reason_of_a_stop() -> None:
    store = MemoryCheckpointer()
    runtime = Runtime(checkpointer=store, secrets=("hunter2",))
    result = await stopping("my hunter2").run({}, run_id="r", runtime=runtime)
    assert result.stop_reason == "my [redacted]"
    assert not any(b"hunter2" in record for record in (await store.read("r")).records)


async def test_what_other_branches_have_at_work_goes_on_when_one_stops() -> None:
    @node
    async def stop(ctx: Context) -> None:
        ctx.stop("enough")

    @node(writes="counted")
    async def work() -> int:
        await anyio.sleep(0.02)
        return 3

    graph = Graph("branches", Counted)
    graph.node("stop", stop)
    graph.node("work", work)
    graph.edge(START, ["stop", "work"], END)
    result = await graph.compile().run({})
    assert (result.status, result.stop_reason, result.steps) == ("stopped", "enough", 1)
