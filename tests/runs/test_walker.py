import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Annotated, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from loom import (
    END,
    START,
    CheckpointError,
    Context,
    Graph,
    LoomError,
    MemoryCheckpointer,
    ModelRef,
    Node,
    NodeError,
    NoEdgeError,
    Reducer,
    Retry,
    RunConflictError,
    Runtime,
    State,
    append,
    node,
)
from loom.runs.app import CompiledGraph
from loom.testing import ScriptedModel
from loom.types.events import Event
from loom.types.messages import Message
from tests.core.letters import Diary, Log, after_crash, chain, failing, fan, graph_of
from tests.core.reference import interpreted
from tests.core.sketches import Listener, Seen, Sketch, Trail, sketches, worker

pytestmark = pytest.mark.anyio

Shape = Callable[..., CompiledGraph[Log]]
NOW = Retry(max_attempts=3, backoff_s=0)


async def forever(ctx: Context) -> None:
    await anyio.sleep(3600)


async def soon(ctx: Context) -> None:
    await anyio.sleep(0.01)


# Schedules.


def listened(sketch: Sketch, listener: Listener) -> CompiledGraph[Trail]:
    return sketch.graph(lambda name, marks: worker(name, marks, listener)).compile()


async def lived(sketch: Sketch, chance: Random, runtime: Runtime | None = None) -> tuple[list[Seen], dict[str, Any]]:
    """Run a sketch for real, every node waiting at random; return what each step saw, and the final state."""
    listener = Listener(chance)
    result = await listened(sketch, listener).run(run_id="r", runtime=runtime)
    assert result.steps == len(listener.heard)
    return sorted(listener.heard), result.state.model_dump()


@settings(max_examples=100, derandomize=True)
@given(sketches(), st.randoms(use_true_random=False))
def test_every_schedule_gives_what_the_reference_gives(sketch: Sketch, chance: Random) -> None:
    expected = interpreted(sketch, chance.randrange)
    for _ in range(2):
        assert asyncio.run(lived(sketch, chance)) == expected


async def resumed_anywhere(sketch: Sketch, chance: Random) -> None:
    """Run a sketch, cut its journal at random, go on: nothing runs twice, nothing is lost."""
    store = MemoryCheckpointer()
    seen, final = await lived(sketch, chance, Runtime(checkpointer=store))
    left = await after_crash(store, "r", 1 + chance.randrange(len((await store.read("r")).records)))
    listener = Listener(chance)
    app = listened(sketch, listener)
    kept = [point.node for point in await app.history("r", runtime=Runtime(checkpointer=left))][1:]
    result = await app.resume("r", runtime=Runtime(checkpointer=left))
    assert result.state.model_dump() == final
    assert sorted(kept + [name for name, _, _ in listener.heard]) == sorted(name for name, _, _ in seen)
    assert set(listener.heard) <= set(seen)


@settings(max_examples=60, derandomize=True)
@given(sketches(), st.randoms(use_true_random=False))
def test_a_crash_anywhere_and_a_resume_give_what_an_uninterrupted_run_gives(sketch: Sketch, chance: Random) -> None:
    asyncio.run(resumed_anywhere(sketch, chance))


async def test_a_record_is_committed_before_its_successor_starts() -> None:
    store = MemoryCheckpointer()
    saved: list[int] = []

    async def look(ctx: Context) -> None:
        saved.append(len((await store.read(ctx.run_id)).records))

    await chain("abc", a=look, b=look, c=look).run(runtime=Runtime(checkpointer=store))
    assert saved == [1, 2, 3]


async def test_a_fast_branch_does_not_wait_for_a_slow_sibling() -> None:
    gate = anyio.Event()

    async def wait(ctx: Context) -> None:
        with anyio.fail_after(5):
            await gate.wait()

    async def open_gate(ctx: Context) -> None:
        gate.set()

    graph = graph_of((START, ["a", "b"]), ("a", "c", "d"), (["b", "d"], "j", END), bodies={"b": wait, "d": open_gate})
    assert (await graph.compile().run()).state.log == ["a", "c", "d", "b", "j"]


# Values.


class Item(BaseModel):
    tags: list[str] = []


class Nested(State):
    items: list[Item] = []
    table: dict[str, list[int]] = {}
    seen: Annotated[list[str], append] = []


@node(writes="seen")
async def spoil(items: list[Item], table: dict[str, list[int]]) -> list[str]:
    items[0].tags.append("spoiled")
    items.append(Item())
    table["x"].append(0)
    table["y"] = []
    return ["spoiled"]


@node(writes="seen")
async def look(items: list[Item], table: dict[str, list[int]]) -> list[str]:
    return [f"{items} {table}"]


@pytest.mark.parametrize("fans_out", [False, True])
async def test_mutating_an_input_changes_nothing_anyone_else_sees(fans_out: bool) -> None:
    graph = Graph("g", Nested)
    for name, given_node in [("spoil", spoil), ("look", look), ("end", look)]:
        graph.node(name, given_node)
    if fans_out:
        graph.edge(START, ["spoil", "look"], "end", END)
    else:
        graph.edge(START, "spoil", "look", "end", END)
    given = {"items": [Item(tags=["a"])], "table": {"x": [1]}}
    result = await graph.compile().run(given)
    assert result.state.items == [Item(tags=["a"])]
    assert result.state.table == {"x": [1]}
    assert set(result.state.seen) == {"spoiled", "[Item(tags=['a'])] {'x': [1]}"}
    assert given == {"items": [Item(tags=["a"])], "table": {"x": [1]}}


async def test_mutating_what_a_node_returned_changes_nothing() -> None:
    kept: list[str] = ["a"]

    @node(writes="log")
    async def give() -> list[str]:
        return kept

    async def spoil_it(ctx: Context) -> None:
        kept.append("spoiled")

    app = graph_of((START, "a", "b", "c", END), nodes={"a": give}, bodies={"b": spoil_it}).compile()
    assert (await app.run()).state.log == ["a", "b", "c"]


async def test_an_output_of_the_wrong_type_fails_the_node_and_leaves_no_write() -> None:
    @node(writes="log")
    async def wrong() -> list[str]:
        return 7  # type: ignore[return-value]  # which is the point

    app = graph_of((START, "a", "b", END), nodes={"b": wrong}).compile()
    with pytest.raises(NodeError, match='node "b", step 2, attempt 1: OutputError: node "b", output "log": 7 is no'):
        await app.run(run_id="r")
    assert (await app.state("r")).log == ["a"]


class Ports(BaseModel):
    log: list[str]


class Shout(Node[Ports, Ports]):
    """Append its word."""

    word: str

    async def run(self, inputs: Ports, ctx: Context) -> Ports:
        return Ports(log=[f"{self.word} {ctx.visit}"])


async def test_a_node_of_a_class_runs_with_its_settings_and_knows_its_visit() -> None:
    graph = graph_of((START, "a"), nodes={"a": Shout(word="hey")})
    graph.switch("a", {"len(log) >= 3": END}, otherwise="a")
    assert (await graph.compile().run()).state.log == ["hey 1", "hey 2", "hey 3"]


# Failures.


async def test_a_failure_names_run_node_step_and_attempt_and_has_its_cause() -> None:
    cause = ValueError("no luck")
    app = chain("abc", b=failing(cause))
    with pytest.raises(NodeError) as caught:
        await app.run(run_id="r")
    error = caught.value
    assert (error.run_id, error.node, error.step, error.attempt) == ("r", "b", 2, 1)
    assert error.__cause__ is cause
    assert str(error) == 'run "r", node "b", step 2, attempt 1: ValueError: no luck'


async def test_a_failed_run_keeps_what_was_finished_and_resumes_with_what_was_not() -> None:
    diary = Diary()
    app = chain("abc", a=diary.noting(), b=diary.noting(failing(ValueError())), c=diary.noting())
    with pytest.raises(NodeError):
        await app.run(run_id="r")
    assert (await app.state("r")).log == ["a"]
    result = await app.resume("r")
    assert (result.status, result.state.log, result.steps) == ("completed", ["a", "b", "c"], 3)
    assert diary.begun == ["a", "b", "b", "c"]


async def test_a_failing_branch_cancels_its_siblings_and_keeps_what_they_finished() -> None:
    diary = Diary()
    finished = anyio.Event()

    async def fail(ctx: Context) -> None:
        await finished.wait()
        raise ValueError("b")

    async def finish(ctx: Context) -> None:
        finished.set()

    bodies = {"a": diary.noting(), "c": diary.noting(finish), "d": diary.noting(forever), "b": diary.noting(fail)}
    app = graph_of((START, ["a", "b"]), ("a", "c", "d"), (["d", "b"], "j", END), bodies=bodies).compile()
    with pytest.raises(NodeError, match='node "b"'):
        await app.run(run_id="r")
    assert diary.ended == ["a", "c"]
    assert [point.node for point in await app.history("r")] == ["START", "a", "c"]


async def test_failures_of_siblings_are_notes_on_the_first() -> None:
    both = anyio.Event()

    async def first(ctx: Context) -> None:
        await both.wait()
        raise ValueError("one")

    async def second(ctx: Context) -> None:
        both.set()
        try:
            await anyio.sleep(3600)
        finally:
            raise KeyError("two")

    with pytest.raises(NodeError, match="ValueError: one") as caught:
        await fan("abj", a=first, b=second).run(run_id="r")
    assert caught.value.__notes__ == [
        'A sibling branch failed too: run "r", node "b", step 1, attempt 1: KeyError: \'two\''
    ]


async def test_a_failing_node_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    with pytest.raises(NodeError):
        await fan("abcj", a=forever, b=failing(ValueError()), c=forever).run()
    assert asyncio.all_tasks() == before


async def test_a_switch_without_a_way_on_keeps_the_step_and_decides_again_on_resume() -> None:
    ways = {"open": False}
    graph = graph_of((START, "a"), ("b", END))

    def is_open(note: str) -> bool:
        return ways["open"]

    graph.switch("a", {is_open: "b"})
    app = graph.compile()
    with pytest.raises(NoEdgeError, match='node "a": no condition of its switch holds') as caught:
        await app.run(run_id="r")
    assert caught.value.node == "a"
    assert (await app.state("r")).log == ["a"]
    with pytest.raises(NoEdgeError):
        await app.resume("r")
    ways["open"] = True
    result = await app.resume("r")
    assert (result.state.log, result.steps) == (["a", "b"], 2)
    assert [point.next for point in await app.history("r")] == [("a",), ("b",), ()]


async def test_a_condition_that_raises_is_a_failure_of_its_source_that_names_the_edge() -> None:
    graph = graph_of((START, "a"), ("b", END))
    graph.switch("a", {"log[5] == 'x'": "b"}, otherwise=END)
    app = graph.compile()
    with pytest.raises(NodeError, match=r'node "a": the condition "log\[5\] == \'x\'" of its switch raised') as caught:
        await app.run(run_id="r")
    assert isinstance(caught.value.__cause__, IndexError)
    assert (caught.value.node, caught.value.step) == ("a", 1)
    assert (await app.state("r")).log == ["a"]


async def test_a_condition_that_raises_in_a_branch_keeps_both_steps() -> None:
    graph = graph_of((START, ["a", "b"]), (["b", "c"], "j", END), bodies={"b": soon})
    graph.switch("a", {"log[5] == 'x'": "c"}, otherwise="j")
    app = graph.compile()
    with pytest.raises(NodeError, match='node "a"'):
        await app.run(run_id="r")
    assert [point.node for point in await app.history("r")] == ["START", "a"]
    with pytest.raises(NodeError, match='node "a"'):
        await app.resume("r")


async def test_a_reducer_that_raises_is_a_failure_of_the_node_that_wrote() -> None:
    def refuse(old: int, write: int) -> int:
        raise TypeError("refused")

    class Counted(State):
        count: Annotated[int, Reducer(refuse)] = 0

    @node(writes="count")
    async def one() -> int:
        return 1

    store = MemoryCheckpointer()
    graph = Graph("g", Counted)
    graph.node("a", one)
    graph.edge(START, "a", END)
    with pytest.raises(NodeError, match=r'node "a", step 1, attempt 1: .*refused'):
        await graph.compile().run(run_id="r", runtime=Runtime(checkpointer=store))
    assert (await store.read("r")).status == "failed"


async def test_a_reducer_that_raises_at_a_join_is_a_failure_too() -> None:
    def refuse_two(old: int, write: int) -> int:
        if old:
            raise TypeError("refused")
        return write

    class Counted(State):
        count: Annotated[int, Reducer(refuse_two)] = 0

    @node(writes="count")
    async def one() -> int:
        return 1

    graph = Graph("g", Counted)
    for name in "abj":
        graph.node(name, one)
    graph.edge(START, ["a", "b"], "j", END)
    with pytest.raises(NodeError, match=r'node "b", step 2, attempt 1: .*refused'):
        await graph.compile().run()


async def test_a_failure_whose_text_is_no_unicode_is_saved() -> None:
    app = chain("a", a=failing(OSError("caf\udce9")))
    with pytest.raises(NodeError):
        await app.run(run_id="r")
    assert [event.payload async for event in app.events("r")][-1]["error"].endswith("OSError: caf?")


async def test_a_run_that_a_node_starts_itself_fails_the_node_and_not_the_run_around_it() -> None:
    inner = chain("x", x=failing(ValueError("inside")))

    async def call(ctx: Context) -> None:
        await inner.run(run_id="inner")

    with pytest.raises(NodeError) as caught:
        await chain("ab", b=call).run(run_id="outer")
    assert (caught.value.run_id, caught.value.node, caught.value.step) == ("outer", "b", 2)
    assert isinstance(caught.value.__cause__, NodeError)
    assert (caught.value.__cause__.run_id, caught.value.__cause__.node) == ("inner", "x")


@pytest.mark.parametrize("error", [RunConflictError("mine"), CheckpointError("mine"), NoEdgeError("mine", node="x")])
async def test_an_error_of_ours_that_a_node_raises_is_a_failure_like_any_other(error: LoomError) -> None:
    store = MemoryCheckpointer()
    with pytest.raises(NodeError, match=f'node "b", step 2, attempt 1: {type(error).__name__}: mine'):
        await chain("ab", b=failing(error)).run(run_id="r", runtime=Runtime(checkpointer=store))
    assert (await store.read("r")).status == "failed"


# Retries and timeouts.


async def test_a_node_is_tried_again_and_each_attempt_knows_its_number() -> None:
    attempts: list[int] = []

    async def third_time_lucky(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise ValueError("not yet")

    app = graph_of((START, "a", END), bodies={"a": third_time_lucky}, retry={"a": NOW}).compile()
    assert (await app.run(run_id="r")).state.log == ["a"]
    assert attempts == [1, 2, 3]
    assert (await app.history("r"))[-1].attempt == 3


async def test_a_node_fails_when_its_attempts_are_used_up() -> None:
    diary = Diary()
    body = diary.noting(failing(*[ValueError(str(number)) for number in range(9)]))
    app = graph_of((START, "a", END), bodies={"a": body}, retry={"a": NOW}).compile()
    with pytest.raises(NodeError, match="attempt 3: ValueError: 2") as caught:
        await app.run()
    assert (caught.value.attempt, diary.begun) == (3, ["a", "a", "a"])


async def test_only_the_exceptions_named_are_worth_another_try() -> None:
    diary = Diary()
    retry = Retry(backoff_s=0, on=(ConnectionError,))
    body = diary.noting(failing(ConnectionError(), ValueError()))
    app = graph_of((START, "a", END), bodies={"a": body}, retry={"a": retry}).compile()
    with pytest.raises(NodeError, match="attempt 2: ValueError"):
        await app.run()
    assert diary.begun == ["a", "a"]


async def test_a_wrong_output_is_tried_again_like_any_failure() -> None:
    given: list[object] = [7, ["a"]]

    @node(writes="log")
    async def second_time_right() -> list[str]:
        return given.pop(0)  # type: ignore[return-value]  # the first time it is wrong

    app = graph_of((START, "a", END), nodes={"a": second_time_right}, retry={"a": NOW}).compile()
    assert (await app.run()).state.log == ["a"]


async def test_attempts_are_counted_per_step_not_per_branch() -> None:
    app = graph_of(
        (START, "a", "b", END),
        bodies={"a": failing(ValueError(), ValueError())},
        nodes={"b": node(writes="log")(_fails)},
        retry={"a": NOW},
    ).compile()
    with pytest.raises(NodeError) as caught:
        await app.run()
    assert (caught.value.node, caught.value.attempt) == ("b", 1)


async def _fails(log: list[str]) -> list[str]:
    raise ValueError(str(log))


async def test_attempts_go_on_after_a_crash_where_they_stood() -> None:
    attempts: list[int] = []

    async def never(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        raise ValueError("never")

    store = MemoryCheckpointer()
    app = graph_of((START, "a", END), bodies={"a": never}, retry={"a": NOW}).compile()
    with pytest.raises(NodeError):
        await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    left = await after_crash(store, "r", 3)  # the input and two attempts
    with pytest.raises(NodeError, match="attempt 3"):
        await app.resume("r", runtime=Runtime(checkpointer=left))
    assert attempts == [1, 2, 3, 3]


async def test_attempts_begin_anew_when_a_failed_run_is_resumed() -> None:
    body = failing(*[ValueError()] * 4)
    app = graph_of((START, "a", END), bodies={"a": body}, retry={"a": NOW}).compile()
    with pytest.raises(NodeError, match="attempt 3"):
        await app.run(run_id="r")
    assert (await app.resume("r")).state.log == ["a"]
    assert (await app.history("r"))[-1].attempt == 2


async def test_a_timeout_is_a_failure_that_leaves_no_write() -> None:
    app = graph_of((START, "a", "b", END), bodies={"b": forever}, timeout_s={"b": 0.02}).compile()
    with pytest.raises(NodeError, match=r"TimeoutError: it took longer than its timeout of 0.02 s") as caught:
        await app.run(run_id="r")
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert (await app.state("r")).log == ["a"]


async def test_a_node_that_swallows_its_timeout_has_still_taken_too_long() -> None:
    async def stubborn(ctx: Context) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await forever(ctx)

    app = graph_of((START, "a", END), bodies={"a": stubborn}, timeout_s={"a": 0.02}).compile()
    with pytest.raises(NodeError, match="TimeoutError"):
        await app.run(run_id="r")
    assert (await app.state("r")).log == []


async def test_a_timeout_is_tried_again_when_there_are_attempts_left() -> None:
    async def slow_at_first(ctx: Context) -> None:
        await anyio.sleep(3600 if ctx.attempt == 1 else 0)

    app = graph_of((START, "a", END), bodies={"a": slow_at_first}, timeout_s={"a": 0.02}, retry={"a": NOW}).compile()
    assert (await app.run()).state.log == ["a"]


async def test_a_plain_function_that_takes_too_long_is_abandoned() -> None:
    opened = threading.Event()

    @node(writes="log")
    def waits() -> list[str]:
        opened.wait(5)
        return ["late"]

    app = graph_of((START, "a", END), nodes={"a": waits}, timeout_s={"a": 0.02}).compile()
    with pytest.raises(NodeError, match="TimeoutError"):
        await app.run(run_id="r")
    opened.set()
    assert (await app.state("r")).log == []


# Asks.


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


async def test_what_a_node_used_before_it_asked_is_counted() -> None:
    class Said(State):
        a: str = ""

    @node(writes="a", effect="model")
    async def consult(ctx: Context) -> str:
        await ctx.model(ModelRef("local", "x")).complete([Message(role="user", content="hello there")])
        return str(await ctx.ask("Well?"))

    graph = Graph("g", Said)
    graph.node("consult", consult)
    graph.edge(START, "consult", END)
    app = graph.compile()
    runtime = Runtime(models=ScriptedModel(["one two three", "four"]), checkpointer=MemoryCheckpointer())
    paused = await app.run(run_id="r", runtime=runtime)
    assert paused.usage.total_tokens > 0
    result = await app.resume("r", answers={paused.asks[0].id: "yes"}, runtime=runtime)
    assert result.usage.total_tokens > paused.usage.total_tokens


async def test_a_way_that_is_chosen_late_saves_what_other_branches_have_said() -> None:
    knows_the_way = [False]

    class Two(State):
        a: str = ""
        b: str = ""

    @node(writes="b")
    async def pick() -> str:
        return "b"

    @node(writes="a")
    async def loud(ctx: Context) -> str:
        if knows_the_way[0]:
            ctx.emit(Event(type="mine.said", payload={}))
        await anyio.sleep(0.02)
        return "a"

    @node
    async def meet() -> None:
        """Join."""

    def is_known(b: str) -> bool:
        return knows_the_way[0]

    inner = Graph("inner", Two)
    inner.node("pick", pick)
    inner.edge(START, "pick")
    inner.switch("pick", {is_known: END})
    graph = Graph("outer", Two)
    graph.node("inner", inner.compile().as_node(reads={}, writes={"b": "b"}))
    graph.node("loud", loud)
    graph.node("meet", meet)
    graph.edge(START, ["loud", "inner"], "meet", END)
    app, runtime = graph.compile(), Runtime(checkpointer=MemoryCheckpointer())
    with pytest.raises(NoEdgeError):
        await app.run(run_id="r", runtime=runtime)
    knows_the_way[0] = True
    run = app.start_resume("r", runtime=runtime)
    live = [event async for event in run.events()]
    assert (await run.wait()).status == "completed"
    assert live == [event async for event in app.events("r", runtime=runtime)]
    assert "mine.said" in [event.type for event in live]
