import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any

import anyio
import anyio.to_thread
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
    Limits,
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
    SqliteCheckpointer,
    State,
    append,
    node,
)
from loom.core.journal import Claim
from loom.core.result import Status
from loom.runs.app import CompiledGraph
from loom.types.events import Event
from loom.types.messages import Message
from loom.types.models import Emit, ModelReply, ModelRequest
from loom.types.usage import Usage
from tests.core.letters import Body, Diary, Log, after_crash, chain, failing, fan, graph_of
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


# Limits.


@pytest.mark.parametrize("limit", range(8))
@pytest.mark.parametrize("body", [None, soon])
@pytest.mark.parametrize("durable", [False, True])
async def test_max_steps_is_never_overshot(limit: int, body: Body | None, durable: bool, tmp_path: Path) -> None:
    store = SqliteCheckpointer(tmp_path / "x.db", durability="power") if durable else MemoryCheckpointer()
    graph = graph_of(
        (START, ["a", "b", "c"]), ("a", "d"), ("b", "e"), ("c", "f"), (["d", "e", "f"], "j", END),
        bodies=dict.fromkeys("abcdef", body) if body is not None else {},
    )  # fmt: skip
    runtime = Runtime(checkpointer=store, limits=Limits(max_steps=limit))
    result = await graph.compile().run(run_id="r", runtime=runtime)
    assert result.steps == min(limit, 7)
    assert (result.status, result.stop_reason) == (("stopped", "max_steps") if limit < 7 else ("completed", None))
    await store.close()


async def test_max_steps_counts_over_resumes_and_a_higher_limit_goes_on() -> None:
    store = MemoryCheckpointer()
    app = chain("abcd")
    first = await app.run(run_id="r", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=2)))
    again = await app.resume("r", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=2)))
    more = await app.resume("r", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=3)))
    last = await app.resume("r", runtime=Runtime(checkpointer=store))
    assert [one.steps for one in (first, again, more, last)] == [2, 2, 3, 4]
    assert [one.status for one in (first, again, more, last)] == ["stopped", "stopped", "stopped", "completed"]
    assert first.state.log == ["a", "b"]


async def test_a_stop_inside_a_fan_out_lets_what_runs_finish_and_resumes_the_rest() -> None:
    diary = Diary()
    noted = dict.fromkeys("abcj", diary.noting(soon))
    app = graph_of((START, ["a", "b", "c"], "j", END), bodies=noted).compile()
    store = MemoryCheckpointer()
    stopped = await app.run(run_id="r", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=2)))
    assert (stopped.stop_reason, diary.ended) == ("max_steps", ["a", "b"])
    result = await app.resume("r", runtime=Runtime(checkpointer=store))
    assert result.state.log == ["a", "b", "c", "j"]
    assert diary.begun == ["a", "b", "c", "j"]


async def test_a_deadline_counts_from_each_call_and_lets_the_running_step_finish() -> None:
    clock = Clock()

    async def ten_seconds(ctx: Context) -> None:
        clock.now += 10

    app = chain("abc", a=ten_seconds, b=ten_seconds, c=ten_seconds)
    runtime = Runtime(checkpointer=MemoryCheckpointer(), limits=Limits(deadline_s=15), clock=clock)
    first = await app.run(run_id="r", runtime=runtime)
    assert (first.status, first.stop_reason, first.state.log) == ("stopped", "deadline", ["a", "b"])
    assert (await app.resume("r", runtime=runtime)).status == "completed"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Speaker:
    """A model whose every reply costs ten tokens and a cent."""

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        return ModelReply(text="well", usage=Usage(input_tokens=6, output_tokens=4, cost_usd=0.01))


async def speak(ctx: Context) -> None:
    await ctx.model(ModelRef("none", "speaker")).complete([Message(role="user", content="say something")])


@pytest.mark.parametrize(
    ("limits", "reason"), [(Limits(max_tokens=20), "max_tokens"), (Limits(max_cost_usd=0.02), "max_cost")]
)
async def test_tokens_and_cost_are_limited_over_the_whole_run(limits: Limits, reason: str) -> None:
    app = chain("abcd", a=speak, b=speak, c=speak, d=speak)
    store = MemoryCheckpointer()
    first = await app.run(run_id="r", runtime=Runtime(checkpointer=store, models=Speaker(), limits=limits))
    assert (first.status, first.stop_reason, first.steps) == ("stopped", reason, 2)
    assert first.usage == Usage(input_tokens=12, output_tokens=8, cost_usd=0.02)
    again = await app.resume("r", runtime=Runtime(checkpointer=store, models=Speaker(), limits=limits))
    assert (again.steps, again.usage) == (2, first.usage)


async def test_what_a_failed_attempt_used_counts_also_after_a_resume() -> None:
    lucky = {"now": False}

    async def speak_and_fail(ctx: Context) -> None:
        await speak(ctx)
        if not lucky["now"]:
            raise ValueError("not yet")

    runtime = Runtime(checkpointer=MemoryCheckpointer(), models=Speaker())
    app = graph_of(
        (START, "a", END), bodies={"a": speak_and_fail}, retry={"a": Retry(max_attempts=2, backoff_s=0)}
    ).compile()
    with pytest.raises(NodeError):
        await app.run(run_id="r", runtime=runtime)
    lucky["now"] = True
    assert (await app.resume("r", runtime=runtime)).usage.total_tokens == 30


async def test_what_a_cancelled_node_used_counts_also_after_a_resume() -> None:
    spoken = anyio.Event()

    async def speak_and_wait(ctx: Context) -> None:
        await speak(ctx)
        if not spoken.is_set():
            spoken.set()
            await forever(ctx)

    runtime = Runtime(checkpointer=MemoryCheckpointer(), models=Speaker())
    app = chain("a", a=speak_and_wait)
    run = app.start(run_id="r", runtime=runtime)
    await spoken.wait()
    run.cancel()
    assert (await run.wait()).usage.total_tokens == 10
    assert (await app.resume("r", runtime=runtime)).usage.total_tokens == 20


# Cancelling.


@pytest.mark.parametrize("shape", [chain, fan])
async def test_cancelling_keeps_what_was_finished_and_leaves_no_task(shape: Shape) -> None:
    before = asyncio.all_tasks()
    at_work = anyio.Event()

    async def wait(ctx: Context) -> None:
        at_work.set()
        await forever(ctx)

    app = shape("abc", b=wait)
    run = app.start(run_id="r")
    await at_work.wait()
    run.cancel()
    result = await run.wait()
    assert (result.status, result.steps) == ("cancelled", 1)
    assert [point.node for point in await app.history("r")] == ["START", "a"]
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("shape", [chain, fan])
async def test_cancelling_the_awaiting_task_cleans_up_and_raises_again(shape: Shape) -> None:
    store = MemoryCheckpointer()
    at_work = anyio.Event()

    async def wait(ctx: Context) -> None:
        at_work.set()
        await forever(ctx)

    app = shape("abc", b=wait)
    before = asyncio.all_tasks()
    task = asyncio.create_task(app.run(run_id="r", runtime=Runtime(checkpointer=store)))
    await at_work.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await store.read("r")).status == "cancelled"
    assert asyncio.all_tasks() == before
    assert (await app.history("r", runtime=Runtime(checkpointer=store)))[-1].node == "a"


async def test_a_scope_around_a_run_that_ends_cancels_it_and_the_run_resumes() -> None:
    app = chain("ab", b=_once_forever())
    with anyio.move_on_after(0.02) as scope:
        await app.run(run_id="r")
    assert scope.cancelled_caught
    assert (await app.resume("r")).state.log == ["a", "b"]


def _once_forever() -> Callable[[Context], Any]:
    calls: list[int] = []

    async def body(ctx: Context) -> None:
        calls.append(1)
        if len(calls) == 1:
            await forever(ctx)

    return body


@pytest.mark.parametrize("fans_out", [False, True])
async def test_a_node_that_swallows_cancellation_is_kept_and_nothing_starts_after_it(fans_out: bool) -> None:
    diary = Diary()
    at_work = anyio.Event()

    async def stubborn(ctx: Context) -> None:
        at_work.set()
        with contextlib.suppress(asyncio.CancelledError):
            await forever(ctx)

    bodies = {"a": diary.noting(stubborn), "b": diary.noting()}
    if fans_out:
        bodies["c"] = diary.noting(forever)
        app = graph_of((START, ["a", "c"]), ("a", "b"), (["b", "c"], "j", END), bodies=bodies).compile()
    else:
        app = graph_of((START, "a", "b", END), bodies=bodies).compile()
    run = app.start(run_id="r")
    await at_work.wait()
    run.cancel()
    result = await run.wait()
    assert (result.status, diary.ended) == ("cancelled", ["a"])
    assert "b" not in diary.begun
    assert [point.node for point in await app.history("r")] == ["START", "a"]
    assert "b" not in [event.payload.get("node") async for event in app.events("r") if event.type == "step.started"]


@pytest.mark.parametrize("shape", [chain, fan])
async def test_a_node_that_raises_cancellation_by_itself_has_failed(shape: Shape) -> None:
    async def give_up(ctx: Context) -> None:
        raise asyncio.CancelledError

    app = shape("abc", b=give_up)
    with pytest.raises(NodeError, match='node "b"') as caught:
        await app.run(run_id="r")
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert [point.node for point in await app.history("r")] == ["START", "a"]


async def test_a_node_that_awaits_a_cancelled_task_has_failed() -> None:
    async def await_cancelled(ctx: Context) -> None:
        other = asyncio.create_task(anyio.sleep(3600))
        asyncio.get_running_loop().call_soon(other.cancel)
        await other

    with pytest.raises(NodeError, match="CancelledError"):
        await chain("a", a=await_cancelled).run()


async def test_an_abandoned_thread_is_named_and_its_result_dropped() -> None:
    begun, opened = threading.Event(), threading.Event()

    @node(writes="log")
    def waits() -> list[str]:
        begun.set()
        opened.wait(5)
        return ["late"]

    app = graph_of((START, "a", END), nodes={"a": waits}).compile()
    run = app.start(run_id="r")
    assert await anyio.to_thread.run_sync(begun.wait, 5)
    run.cancel()
    assert (await run.wait()).status == "cancelled"
    opened.set()
    *_, last = [event async for event in app.events("r")]
    assert (last.type, last.payload) == ("run.cancelled", {"abandoned": ["a"]})
    assert (await app.state("r")).log == []


async def test_a_plain_function_does_not_hold_up_the_loop() -> None:
    opened = threading.Event()

    @node(writes="log")
    def waits() -> list[str]:
        assert opened.wait(5), "the loop was held up"
        return ["a"]

    async def open_it(ctx: Context) -> None:
        opened.set()

    app = graph_of((START, ["a", "b"], "j", END), nodes={"a": waits}, bodies={"b": open_it}).compile()
    assert (await app.run()).state.log == ["a", "b", "j"]


async def test_cancelling_at_any_moment_leaves_a_journal_that_agrees_with_the_result(tmp_path: Path) -> None:
    chance = Random(2)
    app = fan("abcdj", **dict.fromkeys("abcd", soon))
    store = SqliteCheckpointer(tmp_path / "x.db", durability="power")
    runtime = Runtime(checkpointer=store)
    for number in range(30):
        run = app.start(run_id=f"r{number}", runtime=runtime)
        await anyio.sleep(chance.random() * 0.03)
        run.cancel()
        result = await run.wait()
        assert (await store.read(run.run_id)).status == result.status
        assert (await app.history(run.run_id, runtime=runtime))[-1].seq == result.steps
        assert (await app.resume(run.run_id, runtime=runtime)).state.log == list("abcdj")
    await store.close()


async def test_cancelling_the_awaiting_task_at_any_moment_leaves_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    chance = Random(4)
    app = fan("abcdj", **dict.fromkeys("abcd", soon))
    store = SqliteCheckpointer(tmp_path / "x.db", durability="power")
    runtime = Runtime(checkpointer=store)
    for number in range(40):
        task = asyncio.create_task(app.run(run_id=f"r{number}", runtime=runtime))
        await anyio.sleep(chance.random() * 0.03)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None
        if f"r{number}" in [run.run_id for run in await store.runs()]:
            assert (await app.resume(f"r{number}", runtime=runtime)).state.log == list("abcdj")
    await store.close()


# Resuming.


async def test_resuming_a_completed_run_gives_its_result_and_runs_nothing() -> None:
    diary = Diary()
    app = chain("ab", a=diary.noting(), b=diary.noting())
    first = await app.run(run_id="r")
    again = await app.resume("r")
    assert (again.state, again.steps, again.status) == (first.state, 2, "completed")
    assert diary.begun == ["a", "b"]


async def test_a_run_that_died_after_its_last_step_is_completed_by_a_resume() -> None:
    diary = Diary()
    app = chain("ab", a=diary.noting(), b=diary.noting())
    store = MemoryCheckpointer()
    await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    left = await after_crash(store, "r", 3)
    result = await app.resume("r", runtime=Runtime(checkpointer=left))
    assert (result.status, result.state.log, diary.begun) == ("completed", ["a", "b"], ["a", "b"])
    assert (await left.read("r")).status == "completed"


async def test_a_zombie_ends_with_a_conflict_and_starts_no_further_node() -> None:
    store = MemoryCheckpointer()
    runtime = Runtime(checkpointer=store)
    diary = Diary()
    at_work, go_on = anyio.Event(), anyio.Event()

    async def wait(ctx: Context) -> None:
        at_work.set()
        await go_on.wait()

    app = chain("ab", a=diary.noting(wait), b=diary.noting())
    zombie = app.start(run_id="r", runtime=runtime)
    await at_work.wait()
    await store.release(Claim("r", token=1, head=1))
    claim = await store.claim("r", 1, [])
    go_on.set()
    with pytest.raises(RunConflictError, match='run "r" was taken over'):
        await zombie.wait()
    assert diary.begun == ["a"]
    assert len((await store.read("r")).records) == claim.head == 1


class Full(MemoryCheckpointer):
    """A store that has room for so many records."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    async def append(
        self, claim: Claim, records: Sequence[bytes], status: Status = "running", snapshot: bytes | None = None
    ) -> None:
        if claim.head + len(records) > self.room:
            raise CheckpointError("no space left")
        await super().append(claim, records, status, snapshot)


@pytest.mark.parametrize("shape", [chain, fan])
async def test_a_store_that_fails_ends_the_run_with_its_error_and_a_resume_goes_on(shape: Shape) -> None:
    store = Full(room=2)
    diary = Diary()
    app = shape("abc", a=diary.noting(), b=diary.noting(soon), c=diary.noting())
    with pytest.raises(CheckpointError, match="no space left"):
        await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    assert "c" not in diary.begun
    store.room = 100
    assert (await app.resume("r", runtime=Runtime(checkpointer=store))).state.log == ["a", "b", "c"]
    assert diary.begun == ["a", "b", "b", "c"]


async def test_a_store_that_fails_between_attempts_is_not_the_nodes_fault() -> None:
    app = graph_of((START, "a", END), bodies={"a": failing(ValueError())}, retry={"a": NOW}).compile()
    store = Full(room=1)
    with pytest.raises(CheckpointError, match="no space left"):
        await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    store.room = 100
    assert (await app.resume("r", runtime=Runtime(checkpointer=store))).state.log == ["a"]


# What nodes emit.


async def test_an_event_that_cannot_be_saved_fails_the_node_that_emits_it() -> None:
    async def emit(ctx: Context) -> None:
        ctx.emit(Event(type="mine", payload={"x": object()}))

    with pytest.raises(NodeError, match="Unable to serialize unknown type"):
        await chain("a", a=emit).run()


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


async def test_the_state_of_a_result_is_the_one_that_was_saved() -> None:
    app = chain("ab")
    result = await app.run(run_id="r")
    assert result.state == await app.state("r") == Log(log=["a", "b"])
