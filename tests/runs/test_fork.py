"""Tests of forking a run and of walking one again."""

from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings

from loom import (
    END,
    START,
    CheckpointError,
    ConfigError,
    Context,
    Graph,
    GraphChangedError,
    Limits,
    LoomError,
    MemoryCheckpointer,
    NodeError,
    Result,
    Retry,
    RunNotFoundError,
    Runtime,
    State,
    append,
    node,
)
from loom.core.journal import decode
from loom.runs.app import CompiledGraph
from tests.core.sketches import INPUTS, Listener, Sketch, sketches, worker

pytestmark = pytest.mark.anyio

# Any, in this module: effects' results and parsed JSON.


class Count(State):
    i: int = 0


@node(writes="i")
async def step(i: int) -> int:
    return i + 1


def loop(limit: int) -> CompiledGraph[Count]:
    graph = Graph("loop", Count)
    graph.node("step", step)
    graph.edge(START, "step")
    graph.switch("step", {f"i >= {limit}": END}, otherwise="step")
    return graph.compile()


class Log(State):
    log: Annotated[list[str], append] = []
    items: list[str] = ["x", "y", "z"]
    word: str = ""


class Ran:
    """Counts who ran; no part of a fingerprint but by its name."""

    def __init__(self) -> None:
        self.nodes: list[str] = []
        self.errors: list[Exception] = []

    def note(self, name: str) -> str:
        self.nodes.append(name)
        if self.errors:
            raise self.errors.pop(0)
        return name


def writing(ran: Ran) -> Any:
    @node(writes="log")
    async def write(ctx: Context) -> list[str]:
        return [ran.note(ctx.node)]

    return write


def with_item(ran: Ran) -> Any:
    @node(writes="log")
    async def write(item: str, ctx: Context) -> list[str]:
        return [ran.note(f"{ctx.node} {item}")]

    return write


def chain(ran: Ran) -> CompiledGraph[Log]:
    graph = Graph("chain", Log)
    for name in "abc":
        graph.node(name, writing(ran))
    graph.edge(START, "a", "b", "c", END)
    return graph.compile()


def fan_out(ran: Ran) -> CompiledGraph[Log]:
    graph = Graph("fan-out", Log)
    for name in "abcdefgh":
        graph.node(name, writing(ran))
    graph.edge(START, "a", ["b", "c", "d"])
    graph.edge("b", ["e", "f"], "g")
    graph.edge(["g", "c", "d"], "h", END)
    return graph.compile()


def each(ran: Ran) -> CompiledGraph[Log]:
    graph = Graph("each", Log)
    graph.node("a", writing(ran))
    graph.node("b", with_item(ran))
    graph.node("c", writing(ran))
    graph.each("a", "b", over="items", bind="item", max_concurrency=2)
    graph.edge(START, "a")
    graph.edge("b", "c", END)
    return graph.compile()


def inner(ran: Ran) -> CompiledGraph[Log]:
    graph = Graph("outer", Log)
    graph.node("a", writing(ran))
    graph.node("in", fan_out(ran).as_node(reads={"word": "word"}, writes={"log": "log"}))
    graph.node("z", writing(ran))
    graph.edge(START, "a", "in", "z", END)
    return graph.compile()


SHAPES: list[Callable[[Ran], CompiledGraph[Log]]] = [chain, fan_out, each, inner]


async def records(store: MemoryCheckpointer, run_id: str) -> list[dict[str, Any]]:
    return [decode(line, run_id) for line in (await store.read(run_id)).records]


# Forks


@pytest.mark.parametrize("at", range(6))
async def test_a_fork_begins_at_any_step_and_ends_as_the_run_did(at: int) -> None:
    app = loop(5)
    await app.run(run_id="r")
    new = await app.fork("r", at=at)
    assert (await app.state(new)).i == at
    result = await app.resume(new)
    assert (result.status, result.state.i, result.steps) == ("completed", 5, 5)
    assert len(await app.history("r")) == 6


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_fork_at_any_step_runs_what_came_after_and_nothing_else(
    shape: Callable[[Ran], CompiledGraph[Log]],
) -> None:
    ran = Ran()
    app = shape(ran)
    whole = await app.run(run_id="r")
    first = Counter(ran.nodes)
    done = Counter[str]()
    for point in await app.history("r"):
        if point.seq and point.writes["log"] and point.node != "in":
            done[str(point.writes["log"][0])] += 1
        ran.nodes.clear()
        new = await app.fork("r", at=point.seq)
        assert ran.nodes == [], "a fork does not start"
        result = await app.resume(new)
        assert (result.status, result.state, result.steps) == ("completed", whole.state, whole.steps)
        assert Counter(ran.nodes) == first - done


@given(sketches())
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
async def test_a_fork_of_any_graph_at_any_step_ends_as_the_run_did(sketch: Sketch) -> None:
    listener = Listener()
    app = sketch.graph(lambda name, marks: worker(name, marks, listener)).compile()
    whole = await app.run(INPUTS, run_id="r")
    heard = len(listener.heard)
    assert (await app.replay("r")).same
    for at in range(0, whole.steps + 1, 3):
        listener.heard.clear()
        result = await app.resume(await app.fork("r", at=at))
        assert (result.state, result.steps, len(listener.heard)) == (whole.state, whole.steps, heard - at)


async def test_a_fork_is_a_run_of_its_own_with_a_parent_and_leaves_the_old_one_as_it_was() -> None:
    app, store = loop(3), MemoryCheckpointer()
    runtime = Runtime(checkpointer=store)
    await app.run(run_id="r", runtime=runtime)
    before = await store.read("r")
    new = await app.fork("r", at=1, runtime=runtime)
    await app.resume(new, runtime=runtime)
    assert await store.read("r") == before
    info, old = await store.runs()
    assert (info.run_id, info.parent, info.status, old.parent) == (new, "r", "completed", None)
    again = await app.fork(new, at=2, runtime=runtime)
    assert (await store.runs())[0].parent == new
    assert (await store.runs())[0].status == "stopped"
    assert [point.seq for point in await app.history(again, runtime=runtime)] == [0, 1, 2]


async def test_without_a_step_a_fork_begins_at_the_last() -> None:
    ran = Ran()
    app = chain(ran)
    ran.errors = [ValueError("once")]
    with pytest.raises(NodeError):
        await app.run(run_id="r")
    new = await app.fork("r")
    assert (await app.resume(new)).state.log == ["a", "b", "c"]
    assert (await app.resume(await app.fork(new))).steps == 3


@pytest.mark.parametrize("at", [-1, 6])
async def test_a_step_that_is_not_there_is_told(at: int) -> None:
    app, store = loop(5), MemoryCheckpointer()
    runtime = Runtime(checkpointer=store)
    await app.run(run_id="r", runtime=runtime)
    with pytest.raises(CheckpointError, match=f'run "r" has no step {at}; expected 0 to 5'):
        await app.fork("r", at=at, runtime=runtime)
    with pytest.raises(RunNotFoundError):
        await app.fork("s", at=at, runtime=runtime)
    assert len(await store.runs()) == 1, "and there is no new run"


# Fields that are set


async def test_a_fork_may_set_fields() -> None:
    app = loop(5)
    await app.run(run_id="r")
    new = await app.fork("r", at=2, set={"i": -2})
    assert (await app.state(new)).i == -2
    assert (await app.resume(new)).steps == 9
    for wrong, message in (({"j": 1}, 'has no field "j"'), ({"i": "x"}, "field \"i\": got 'x'")):
        with pytest.raises(ConfigError, match=message):
            await app.fork("r", at=2, set=wrong)


@pytest.mark.parametrize("fields", [[], "", 0, [("i", 1)]])
async def test_what_is_set_must_be_a_mapping_also_where_it_is_nothing(fields: Any) -> None:
    runtime = Runtime(checkpointer=MemoryCheckpointer())
    await loop(3).run(run_id="r", runtime=runtime)
    with pytest.raises(ConfigError, match='graph "loop" takes values by field'):
        await loop(3).fork("r", at=1, set=fields, runtime=runtime)


async def test_what_is_set_replaces_a_field_whatever_its_reducer() -> None:
    app = chain(Ran())
    await app.run(run_id="r")
    for at, expected in ((0, ["z", "a", "b", "c"]), (2, ["z", "c"]), (3, ["z"])):
        result = await app.resume(await app.fork("r", at=at, set={"log": ["z"], "word": "w"}))
        assert (result.status, result.state.log, result.state.word) == ("completed", expected, "w")


async def test_what_is_set_outlives_a_second_resume() -> None:
    ran = Ran()
    app = chain(ran)
    await app.run(run_id="r")
    new = await app.fork("r", at=1, set={"log": ["z"]})
    ran.errors = [ValueError("once")]
    with pytest.raises(NodeError):
        await app.resume(new)
    assert (await app.resume(new)).state.log == ["z", "b", "c"]


async def test_inside_a_fan_out_nothing_can_be_set_and_the_nearest_steps_are_named() -> None:
    app, store = fan_out(Ran()), MemoryCheckpointer()
    runtime = Runtime(checkpointer=store)
    await app.run(run_id="r", runtime=runtime)
    allowed = {0, 7, 8}
    for at in range(9):
        if at in allowed:
            await app.fork("r", at=at, set={"word": "w"}, runtime=runtime)
        else:
            with pytest.raises(LoomError, match=rf"at step {at}, .* nearest steps of the trunk are 0 and 7$"):
                await app.fork("r", at=at, set={"word": "w"}, runtime=runtime)
    assert len(await store.runs()) == 1 + len(allowed)


async def test_between_items_nothing_can_be_set() -> None:
    app = each(Ran())
    await app.run(run_id="r")
    for at in (1, 2, 3):
        with pytest.raises(LoomError, match=r"nearest steps of the trunk are 0 and 4$"):
            await app.fork("r", at=at, set={"word": "w"})
    result = await app.resume(await app.fork("r", at=0, set={"items": ["only"]}))
    assert result.state.log == ["a", "b only", "c"]


async def test_where_no_step_will_do_none_is_named() -> None:
    graph = Graph("ends", Log)
    for name in "ab":
        graph.node(name, writing(Ran()))
    graph.edge(START, ["a", "b"])
    graph.edge("a", END)
    graph.edge("b", END)
    app = graph.compile()
    await app.run(run_id="r")
    with pytest.raises(LoomError, match=r"nearest steps of the trunk are 2$"):
        await app.fork("r", at=0, set={"word": "w"})


async def test_what_is_set_before_an_inner_graph_is_what_it_reads() -> None:
    @node(writes="log")
    async def tell(word: str, ctx: Context) -> list[str]:
        return [f"{ctx.node} {word}"]

    def told(name: str) -> Graph[Log]:
        graph = Graph(name, Log)
        graph.node("one", tell)
        graph.node("two", tell)
        return graph

    within = told("within")
    within.edge(START, "one", "two", END)
    outer = told("outer")
    outer.node("in", within.compile().as_node(reads={"word": "word"}, writes={"log": "log"}))
    outer.edge(START, "one", "in", "two", END)
    app = outer.compile()
    await app.run({"word": "old"}, run_id="r")
    assert [point.node for point in await app.history("r")] == ["START", "one", "in/one", "in/two", "in", "two"]
    for at, inside in ((0, "new"), (1, "new"), (4, "old")):
        result = await app.resume(await app.fork("r", at=at, set={"word": "new"}))
        assert f"in/two {inside}" in result.state.log
    for at in (2, 3):
        with pytest.raises(LoomError, match=r"inside a fan-out or an inner graph at step .* are 1 and 4"):
            await app.fork("r", at=at, set={"word": "new"})
        assert (await app.resume(await app.fork("r", at=at))).state.log[-1] == "two old"


# Effects, asks and answers


class World:
    def __init__(self) -> None:
        self.keys: list[str] = []
        self.errors: list[Exception] = []

    async def act(self, key: str) -> int:
        self.keys.append(key)
        if self.errors:
            raise self.errors.pop(0)
        return len(self.keys)


class Seen(State):
    seen: Annotated[list[Any], append] = []


def acting(world: World, *, asks: bool = False, rounds: int = 1, **settings: Any) -> CompiledGraph[Seen]:
    @node(writes="seen", effect="write")
    async def act(ctx: Context) -> list[Any]:
        acted = await ctx.once("act", world.act, ctx.idempotency_key("act"), **settings)
        return [acted, await ctx.ask("Go on?", key="on") if asks else ""]

    graph = Graph("acting", Seen)
    graph.node("act", act, ungated="a test", retry=Retry(max_attempts=2, backoff_s=0))
    graph.edge(START, "act")
    graph.switch("act", {f"len(seen) >= {2 * rounds}": END}, otherwise="act")
    return graph.compile()


async def left(store: MemoryCheckpointer, count: int) -> Runtime:
    """Return a runtime with what a process leaves that dies after so many records."""
    journal, other = await store.read("r"), MemoryCheckpointer()
    await other.release(await other.create("r", "acting", journal.header, journal.records[:count]))
    return Runtime(checkpointer=other)


async def test_finished_effects_asks_and_answers_come_along() -> None:
    world = World()
    app = acting(world, asks=True)
    (ask,) = (await app.run(run_id="r")).asks
    paused = await app.resume(await app.fork("r"))
    assert (paused.status, paused.asks, len(world.keys)) == ("paused", (ask,), 1)
    assert (await app.resume(paused.run_id, answers={ask.id: "yes"})).state.seen == [1, "yes"]
    assert (await app.resume("r")).asks == (ask,), "the old run still waits"
    await app.resume("r", answers={ask.id: "no"})
    assert (await app.resume(await app.fork("r", at=0))).state.seen == [1, "no"], "answered before the cut"
    assert len(world.keys) == 1


async def test_a_fork_has_keys_of_its_own() -> None:
    world = World()
    world.errors = [OSError("no line")]
    app, store = acting(world), MemoryCheckpointer()
    runtime = Runtime(checkpointer=store)
    await app.run(run_id="r", runtime=runtime)
    assert [record["kind"] for record in await records(store, "r")] == [
        "input", "intent", "effect", "attempt", "intent", "effect", "step", "end",
    ]  # fmt: skip
    cut = await left(store, 4)
    new = await app.fork("r", runtime=cut)
    await app.resume(new, runtime=cut)
    assert world.keys[0] == world.keys[1] != world.keys[2], "also where the old run's effect had failed"


async def test_an_intent_without_a_result_is_dropped() -> None:
    world = World()
    app, store = acting(world, rounds=2), MemoryCheckpointer()
    await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    kinds = [record["kind"] for record in await records(store, "r")]
    assert kinds == ["input", "intent", "effect", "step", "intent", "effect", "step", "end"]
    for count in (2, 5):  # in doubt on the first visit, and on the second, after a result under the same key
        cut = await left(store, count)
        new = await app.fork("r", runtime=cut)
        assert isinstance(cut.checkpointer, MemoryCheckpointer)
        kept = [record["kind"] for record in await records(cut.checkpointer, new)]
        assert kept == [*kinds[: count - 1], "end"]
        result = await app.resume(new, runtime=cut)
        assert (result.status, result.asks) == ("completed", ())


async def test_an_intent_after_a_failed_attempt_is_dropped_too() -> None:
    world = World()
    world.errors = [OSError("no line")]
    app, store = acting(world), MemoryCheckpointer()
    await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    cut = await left(store, 5)
    result = await app.resume(await app.fork("r", runtime=cut), runtime=cut)
    assert result.status == "completed"


async def test_an_open_ask_about_what_is_in_doubt_is_dropped_with_it() -> None:
    world = World()
    app, store = acting(world), MemoryCheckpointer()
    await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    cut = await left(store, 2)
    assert (await app.resume("r", runtime=cut)).asks[0].kind == "in_doubt"
    result = await app.resume(await app.fork("r", runtime=cut), runtime=cut)
    assert (result.status, result.asks, len(world.keys)) == ("completed", (), 2)


@pytest.mark.parametrize(("answer", "seen", "calls"), [(Result(7), 7, 1), ("skip", None, 1), ("retry", 2, 2)])
async def test_what_was_answered_about_it_holds_in_the_fork(answer: Any, seen: Any, calls: int) -> None:
    world = World()
    app, store = acting(world, asks=True), MemoryCheckpointer()
    await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    cut = await left(store, 2)
    (doubt,) = (await app.resume("r", runtime=cut)).asks
    (ask,) = (await app.resume("r", answers={doubt.id: answer}, runtime=cut)).asks
    new = await app.fork("r", runtime=cut)
    result = await app.resume(new, answers={ask.id: "yes"}, runtime=cut)
    assert (result.state.seen, len(world.keys)) == ([seen, "yes"], calls)


async def test_attempts_are_counted_anew() -> None:
    world = World()
    world.errors = [OSError("1"), OSError("2"), OSError("3")]
    app = acting(world)
    with pytest.raises(NodeError, match="attempt 2: OSError: 2"):
        await app.run(run_id="r")
    assert (await app.resume(await app.fork("r"))).status == "completed", "after a third failure and a retry"


# Replay


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_replay_of_an_unchanged_graph_is_the_same_and_runs_nothing(
    shape: Callable[[Ran], CompiledGraph[Log]],
) -> None:
    ran = Ran()
    app = shape(ran)
    await app.run(run_id="r")
    ran.nodes.clear()
    report = await app.replay("r")
    assert (report.same, report.differences, ran.nodes) == (True, (), [])
    assert (await app.replay(await app.fork("r", at=1))).same


async def test_a_replay_tells_where_a_changed_condition_would_lead() -> None:
    runtime = Runtime(checkpointer=MemoryCheckpointer())
    await loop(5).run(run_id="r", runtime=runtime)
    report = await loop(3).replay("r", runtime=runtime)
    assert not report.same
    assert [(one.seq, one.node, one.recorded, one.now) for one in report.differences] == [
        (3, "step", ("step",), ("END",)),
        (4, "step", ("step",), ("END",)),
    ]


def switched(condition: str, *, at_start: bool = False, otherwise: bool = True) -> CompiledGraph[Log]:
    graph = Graph("switched", Log)
    for name in "ab":
        graph.node(name, writing(Ran()))
    graph.node("c", writing(Ran()))
    graph.edge(START, "c") if not at_start else graph.edge("c", END)
    ways = {condition: "a"} if otherwise else {condition: "a", "word == 'never'": "b"}
    graph.switch(START if at_start else "c", ways, otherwise="b" if otherwise else None)
    if at_start:
        graph.edge("a", "c")
        graph.edge("b", "c")
    else:
        graph.edge("a", END)
        graph.edge("b", END)
    return graph.compile()


async def test_a_replay_sees_a_switch_at_the_start() -> None:
    runtime = Runtime(checkpointer=MemoryCheckpointer())
    await switched("word == ''", at_start=True).run(run_id="r", runtime=runtime)
    report = await switched("word == 'x'", at_start=True).replay("r", runtime=runtime)
    assert [(one.seq, one.node, one.recorded, one.now) for one in report.differences] == [(0, "START", ("a",), ("b",))]


async def test_a_replay_names_the_switch_past_an_each_over_nothing() -> None:
    class Items(State):
        items: list[str] = []
        found: Annotated[list[str], append] = []

    @node(writes="found")
    async def look(item: str) -> list[str]:
        return [item]

    def looked(condition: str) -> CompiledGraph[Items]:
        graph = Graph("looks", Items)
        graph.node("look", look)
        graph.each(START, "look", over="items", bind="item")
        graph.switch("look", {condition: END})
        return graph.compile()

    runtime = Runtime(checkpointer=MemoryCheckpointer())
    await looked("found == []").run(run_id="r", runtime=runtime)
    (shut,) = (await looked("found != []").replay("r", runtime=runtime)).differences
    assert (shut.node, shut.recorded, shut.note) == ("look", (END,), "no condition holds")


async def test_a_replay_tells_of_conditions_that_raise_and_of_ways_that_are_gone() -> None:
    runtime = Runtime(checkpointer=MemoryCheckpointer())
    await switched("word == ''").run(run_id="r", runtime=runtime)
    (raised,) = (await switched("1 / len(word) > 1").replay("r", runtime=runtime)).differences
    assert (raised.seq, raised.node, raised.now) == (1, "c", ())
    assert "raised ZeroDivisionError" in raised.note
    (shut,) = (await switched("word == 'x'", otherwise=False).replay("r", runtime=runtime)).differences
    assert (shut.now, shut.note) == ((), "no condition holds")


async def test_a_replay_under_a_changed_graph_is_no_error() -> None:
    runtime = Runtime(checkpointer=MemoryCheckpointer())
    await chain(Ran()).run(run_id="r", runtime=runtime)
    graph = Graph("chain", Log)
    for name in "axc":
        graph.node(name, writing(Ran()))
    graph.edge(START, "a", "x", "c", END)
    report = await graph.compile().replay("r", runtime=runtime)
    assert [(one.seq, one.node, one.recorded, one.now) for one in report.differences] == [
        (1, "a", ("b",), ("x",)),
        (2, "", ("c",), ()),
    ]
    assert report.differences[1].note == "the node is gone"

    class Other(State):
        other: int = 0

    @node(writes="other")
    async def write(other: int) -> int:
        return 1

    strange = Graph("chain", Other)
    strange.node("a", write)
    strange.edge(START, "a", END)
    (told,) = (await strange.compile().replay("r", runtime=runtime)).differences
    assert "cannot be followed further" in told.note


async def test_a_replay_by_another_graph_is_refused() -> None:
    runtime = Runtime(checkpointer=MemoryCheckpointer())
    await chain(Ran()).run(run_id="r", runtime=runtime)
    with pytest.raises(GraphChangedError, match='run "r" belongs to graph "chain", not to "loop"'):
        await loop(1).replay("r", runtime=runtime)


async def test_a_replay_under_other_joins_is_no_error() -> None:
    runtime = Runtime(checkpointer=MemoryCheckpointer())
    await fan_out(Ran()).run(run_id="r", runtime=runtime)
    graph = Graph("fan-out", Log)
    for name in "abcdefgh":
        graph.node(name, writing(Ran()))
    graph.edge(START, *"abcdefgh", END)
    report = await graph.compile().replay("r", runtime=runtime)
    assert not report.same


async def test_a_replay_looks_into_inner_graphs() -> None:
    def outer(condition: str) -> CompiledGraph[Log]:
        graph = Graph("outer", Log)
        graph.node("in", switched(condition).as_node(reads={"word": "word"}, writes={"log": "log"}))
        graph.edge(START, "in", END)
        return graph.compile()

    runtime = Runtime(checkpointer=MemoryCheckpointer())
    await outer("word == ''").run(run_id="r", runtime=runtime)
    report = await outer("word == 'x'").replay("r", runtime=runtime)
    assert [(one.seq, one.node, one.recorded, one.now) for one in report.differences] == [(1, "in/c", ("a",), ("b",))]


async def test_an_older_state_cannot_be_set_before_it_is_migrated() -> None:
    class Newer(State, version=2):
        log: Annotated[list[str], append] = []
        items: list[str] = ["x", "y", "z"]
        word: str = ""

        @staticmethod
        def migrate(data: dict[str, Any], from_version: int) -> dict[str, Any]:
            return data | {"word": "migrated"}

    runtime = Runtime(checkpointer=MemoryCheckpointer())
    await chain(Ran()).run(run_id="r", runtime=runtime)
    graph = Graph("chain", Newer)
    for name in "abc":
        graph.node(name, writing(Ran()))
    graph.edge(START, "a", "b", "c", END)
    app = graph.compile()
    with pytest.raises(GraphChangedError, match="has an older state at step 1"):
        await app.fork("r", at=1, set={"word": "w"}, runtime=runtime)
    result = await app.resume(await app.fork("r", at=1, runtime=runtime), runtime=runtime)
    assert (result.state.log, result.state.word) == (["a", "b", "c"], "migrated")


async def test_a_replay_knows_the_new_names_inside() -> None:
    def outer(name: str) -> CompiledGraph[Log]:
        inside = Graph("inside", Log)
        inside.node("a", writing(Ran()))
        inside.node(name, writing(Ran()))
        inside.edge(START, "a", name, END)
        graph = Graph("outer", Log)
        graph.node("in", inside.compile().as_node(reads={"log": "log"}, writes={"log": "log"}))
        graph.edge(START, "in", END)
        return graph.compile()

    store = MemoryCheckpointer()
    runtime = Runtime(checkpointer=store)
    await outer("b").run(run_id="r", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=1)))
    await outer("c").resume("r", rename={"in/b": "in/c"}, runtime=runtime, on_change="continue")
    assert (await outer("c").replay("r", runtime=runtime)).differences == ()
