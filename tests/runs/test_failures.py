"""Tests of nodes, conditions and reducers that fail, and of nodes that are tried again."""

import asyncio
from functools import partial
from typing import Annotated

import anyio
import pytest
from pydantic import Field

from loom import (
    END,
    START,
    CheckpointError,
    Context,
    Graph,
    LoomError,
    MemoryCheckpointer,
    NodeError,
    NoEdgeError,
    Reducer,
    Retry,
    RunConflictError,
    Runtime,
    State,
    node,
)
from tests.core.letters import Diary, after_crash, chain, failing, fan, forever, graph_of, soon
from tests.runs.failures import NOW, Sullen

pytestmark = pytest.mark.anyio


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


async def test_a_failure_that_will_not_say_what_it_is_about_ends_the_run_and_its_attempts_all_the_same() -> None:
    async def sulks(ctx: Context) -> None:
        await ctx.once("sulk", partial(_raise, Sullen()), effect="pure")

    store = MemoryCheckpointer()
    app = graph_of((START, "a", END), bodies={"a": sulks}, retry={"a": NOW}).compile()
    with pytest.raises(NodeError, match="attempt 3: Sullen: its text cannot be told, RuntimeError") as caught:
        await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    assert isinstance(caught.value.__cause__, Sullen)
    assert (await store.read("r")).status == "failed"


def sulk(*_given: object) -> int:
    raise Sullen


class Counting(State):
    n: Annotated[int, Reducer(sulk)] = 0


class Defaulting(State):
    n: int = Field(default_factory=sulk)


class Plain(State):
    n: int = 0


def is_sulking(n: int) -> bool:
    raise Sullen


@node(writes="n")
async def one() -> int:
    return 1


@pytest.mark.parametrize("state", [Counting, Defaulting, Plain])
async def test_a_users_function_that_will_not_say_what_it_is_about_is_no_foreign_error(state: type[State]) -> None:
    graph, store = Graph("g", state), MemoryCheckpointer()
    graph.node("one", one)
    graph.edge(START, "one")
    graph.switch("one", {is_sulking if state is Plain else "n < 0": "one"}, otherwise=END)
    with pytest.raises(LoomError, match="Sullen: its text cannot be told, RuntimeError"):
        await graph.compile().run(run_id="r", runtime=Runtime(checkpointer=store))
    assert {run.status for run in await store.runs()} <= {"failed"}


def _raise(error: Exception) -> None:
    raise error


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


# Retries.


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
