from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest

from loom import END, START, Context, Graph, Limits, MemoryCheckpointer, NodeError, Runtime, State, append, node
from loom.checkpoint.sqlite import SqliteCheckpointer
from loom.core.plan import make_plan
from loom.runs.app import CompiledGraph
from tests.core.letters import Body, Log, chain, failing, graph_of, plan_of

pytestmark = pytest.mark.anyio

# Any, in this file: payloads of events.


def slow(seconds: float) -> Body:
    async def body(ctx: Context) -> None:
        await anyio.sleep(seconds)

    return body


async def asks(ctx: Context) -> None:
    await ctx.ask("go?", answer_type=bool, key="go")


def paused_at(app: CompiledGraph[Any], *, before: Sequence[str] = (), after: Sequence[str] = ()) -> CompiledGraph[Any]:
    plan = make_plan(plan_of(app).declared, frozenset(before), frozenset(after))
    return CompiledGraph(plan)


def diamond(**bodies: Body) -> CompiledGraph[Log]:
    return graph_of((START, ["a", "b"], "j", "z", END), bodies=bodies).compile()


async def started(app: CompiledGraph[Any], runtime: Runtime | None = None) -> list[tuple[str, str]]:
    """Return node and branch of each step that was told to have started."""
    return [
        (event.payload["node"], event.payload["branch"])
        async for event in app.events("r", runtime=runtime)
        if event.type == "step.started"
    ]


# Breakpoints.


@pytest.mark.parametrize("place", ["before", "after"])
async def test_a_plain_resume_goes_past_a_breakpoint_once(place: str) -> None:
    app = paused_at(chain("abc"), **({"before": ["b"]} if place == "before" else {"after": ["a"]}))
    first = await app.run(run_id="r")
    assert (first.status, first.state.log, first.asks) == ("paused", ["a"], ())
    last = await app.resume("r")
    assert (last.status, last.state.log) == ("completed", ["a", "b", "c"])
    assert await started(app) == [("a", ""), ("b", ""), ("c", "")]


@pytest.mark.parametrize(("a", "b"), [(0.0, 0.02), (0.02, 0.0)])
async def test_a_breakpoint_after_a_branch_holds_its_join_whoever_comes_first(a: float, b: float) -> None:
    app = paused_at(diamond(a=slow(a), b=slow(b)), after=["a"])
    first = await app.run(run_id="r")
    assert (first.status, first.state.log) == ("paused", ["a", "b"])
    assert [point.node for point in await app.history("r")][1:] == (["a", "b"] if a < b else ["b", "a"])
    last = await app.resume("r")
    assert (last.status, last.state.log) == ("completed", ["a", "b", "j", "z"])


@pytest.mark.parametrize("first_plain", [False, True])
async def test_answers_pass_no_breakpoint_and_a_plain_resume_answers_no_ask(first_plain: bool) -> None:
    app = paused_at(diamond(b=asks), after=["a"])
    first = await app.run(run_id="r")
    assert (first.status, len(first.asks)) == ("paused", 1)
    answers = {first.asks[0].id: True}
    middle = await app.resume("r", answers=None if first_plain else answers)
    assert middle.status == "paused"
    assert len(middle.asks) == (1 if first_plain else 0)
    last = await app.resume("r", answers=answers if first_plain else None)
    assert (last.status, last.state.log) == ("completed", ["a", "b", "j", "z"])


async def test_a_breakpoint_holds_one_branch_and_the_others_go_on() -> None:
    graph = graph_of((START, ["a", "b"]), ("a", "c"), ("b", "d"), (["c", "d"], "j", END))
    app = graph.compile(pause_before=["c"])
    assert (await app.run(run_id="r")).status == "paused"
    assert [point.node for point in await app.history("r")] == ["START", "a", "b", "d"]
    assert (await app.resume("r")).state.log == ["a", "c", "b", "d", "j"]


async def test_a_breakpoint_that_was_reached_but_never_told_of_still_holds() -> None:
    app = paused_at(diamond(b=failing(ValueError("no"), None)), after=["a"])
    with pytest.raises(NodeError):
        await app.run(run_id="r")
    assert (await app.resume("r")).status == "paused"
    assert (await app.resume("r")).status == "completed"


async def test_each_round_of_a_loop_meets_its_breakpoint() -> None:
    class Count(State):
        rounds: int = 0

    @node(writes="rounds")
    async def again(rounds: int) -> int:
        return rounds + 1

    graph = Graph("loop", Count)
    graph.node("again", again)
    graph.edge(START, "again")
    graph.switch("again", {"rounds < 3": "again"}, otherwise=END)
    app = graph.compile(pause_before=["again"])
    assert (await app.run(run_id="r")).status == "paused"
    seen = [(await app.resume("r")).state.rounds for _ in range(3)]
    assert seen == [1, 2, 3]


async def test_a_breakpoint_holds_after_all_items_and_before_the_first() -> None:
    class Work(State):
        tasks: list[int] = [1, 2, 3]
        done: Annotated[list[int], append] = []
        last: int = 0

    @node(writes="done")
    async def one(task: int) -> list[int]:
        return [task]

    @node(writes="last")
    async def end(done: list[int]) -> int:
        return len(done)

    graph = Graph("items", Work)
    graph.node("one", one)
    graph.node("end", end)
    graph.each(START, "one", over="tasks", bind="task", max_concurrency=2)
    graph.edge("one", "end", END)
    app = graph.compile(pause_before=["one"], pause_after=["one"])
    first = await app.run(run_id="r")
    second = await app.resume("r")
    third = await app.resume("r")
    assert [(one.status, one.steps) for one in (first, second, third)] == [
        ("paused", 0), ("paused", 3), ("completed", 4),
    ]  # fmt: skip


async def test_a_breakpoint_inside_an_inner_graph_holds_and_is_passed() -> None:
    inner = chain("ab")
    graph = Graph("outer", Log)
    graph.node("x", paused_at(inner, before=["b"]).as_node(reads={}, writes={"log": "log"}))
    graph.edge(START, "x", END)
    app = graph.compile()
    first = await app.run(run_id="r")
    assert (first.status, first.steps) == ("paused", 1)
    assert await started(app) == [("x", ""), ("x/a", "")]
    last = await app.resume("r")
    assert (last.status, last.state.log) == ("completed", ["a", "b"])
    assert await started(app) == [("x", ""), ("x/a", ""), ("x", ""), ("x/b", "")]


async def test_a_breakpoint_outlives_snapshots(tmp_path: Path) -> None:
    class Big(State):
        text: str = ""
        more: str = ""

    @node(writes="text")
    async def big() -> str:
        return "x" * 20_000

    @node(writes="text")
    async def fails(text: str, ctx: Context) -> str:
        if ctx.now() == 1.0:
            raise ValueError("at one o'clock")
        return text

    @node(writes="more")
    async def small() -> str:
        return "y"

    graph = Graph("big", Big)
    graph.node("big", big)
    graph.node("fails", fails)
    graph.node("small", small)
    graph.edge(START, "big", "fails", "small", END)
    runtime = Runtime(checkpointer=SqliteCheckpointer(tmp_path / "x.db"))
    with pytest.raises(NodeError):
        await graph.compile().run(run_id="r", runtime=replace(runtime, clock=lambda: 1.0))
    app = graph.compile(pause_after=["big"])  # asked for later, and a snapshot stands after `big`
    assert (await app.resume("r", runtime=runtime)).status == "paused"
    assert (await app.resume("r", runtime=runtime)).status == "completed"


# What has started is told, and nothing else.


async def test_a_step_that_a_limit_holds_at_the_very_start_is_not_told_to_have_started() -> None:
    app, store = diamond(), MemoryCheckpointer()
    narrow = Runtime(checkpointer=store, limits=Limits(max_steps=1))
    assert (await app.run(run_id="r", runtime=narrow)).steps == 1
    assert await started(app, narrow) == [("a", "0")]
    assert (await app.resume("r", runtime=narrow)).status == "stopped"
    assert await started(app, narrow) == [("a", "0")]
    assert (await app.resume("r", runtime=Runtime(checkpointer=store))).status == "completed"
    assert await started(app, narrow) == [("a", "0"), ("b", "1"), ("j", ""), ("z", "")]


async def test_a_step_that_a_breakpoint_holds_at_the_very_start_is_not_told_to_have_started() -> None:
    app = paused_at(diamond(), before=["b"])
    await app.run(run_id="r")
    assert await started(app) == [("a", "0")]


async def test_a_step_inside_an_inner_graph_that_a_limit_holds_is_not_told_to_have_started() -> None:
    inner = graph_of((START, ["a", "b"], "j", END)).compile()
    graph = Graph("outer", Log)
    graph.node("x", inner.as_node(reads={}, writes={"log": "log"}))
    graph.edge(START, "x", END)
    app, store = graph.compile(), MemoryCheckpointer()
    for limit, told in ((1, [("x/a", "0")]), (1, []), (2, [("x/b", "1")]), (9, [("x/j", "")])):
        runtime = Runtime(checkpointer=store, limits=Limits(max_steps=limit))
        before = [] if limit == 1 and told else await started(app, runtime)
        await (app.resume("r", runtime=runtime) if before else app.run(run_id="r", runtime=runtime))
        new = (await started(app, runtime))[len(before) :]
        assert [one for one in new if one[0] != "x"] == told


async def test_a_way_that_is_chosen_on_resume_starts_only_what_may() -> None:
    class Count(State):
        number: int = 0
        log: Annotated[list[str], append] = []

    left = [1]

    def is_open(number: int) -> bool:
        if left:
            left.pop()
            raise ValueError("not yet")
        return True

    @node(writes="log")
    async def step() -> list[str]:
        return ["s"]

    graph = Graph("undecided", Count)
    graph.node("a", step)
    graph.node("b", step)
    graph.edge(START, "a")
    graph.switch("a", {is_open: "b"}, otherwise=END)
    graph.edge("b", END)
    app = graph.compile()
    store = MemoryCheckpointer()
    with pytest.raises(NodeError):
        await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    narrow = Runtime(checkpointer=store, limits=Limits(max_steps=1))
    assert (await app.resume("r", runtime=narrow)).status == "stopped"
    assert await started(app, narrow) == [("a", "")]
    assert (await app.resume("r", runtime=Runtime(checkpointer=store))).status == "completed"
