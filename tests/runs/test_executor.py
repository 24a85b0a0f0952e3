import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.to_thread
import pytest

from loom import (
    END,
    START,
    CheckpointError,
    Context,
    MemoryCheckpointer,
    NodeError,
    Retry,
    RunConflictError,
    Runtime,
    SqliteCheckpointer,
    node,
)
from loom.core.journal import Claim
from loom.core.result import Status
from loom.runs.app import CompiledGraph
from tests.core.letters import Diary, Log, after_crash, chain, failing, fan, forever, graph_of, soon

pytestmark = pytest.mark.anyio

Shape = Callable[..., CompiledGraph[Log]]
NOW = Retry(max_attempts=3, backoff_s=0)


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


async def test_a_run_whose_last_node_swallows_its_cancellation_has_nothing_left_to_do_and_is_completed() -> None:
    at_work = anyio.Event()

    async def stubborn(ctx: Context) -> None:
        at_work.set()
        with contextlib.suppress(asyncio.CancelledError):
            await forever(ctx)

    run = graph_of((START, "a", END), bodies={"a": stubborn}).compile().start()
    await at_work.wait()
    run.cancel()
    result = await run.wait()
    assert (result.status, result.state.log) == ("completed", ["a"])


@pytest.mark.parametrize(
    "fans_out",
    [
        pytest.param(
            False,
            marks=pytest.mark.skipif(
                sys.version_info < (3, 13), reason="a task group of asyncio leaves the trace of a cancellation"
            ),
        ),
        True,
    ],
)
async def test_a_node_that_swallows_the_cancellation_of_the_awaiting_task_ends_the_run_all_the_same(
    fans_out: bool,
) -> None:
    diary, at_work, store = Diary(), anyio.Event(), MemoryCheckpointer()

    async def stubborn(ctx: Context) -> None:
        at_work.set()
        with contextlib.suppress(asyncio.CancelledError):
            await forever(ctx)

    bodies = {"a": diary.noting(stubborn), "b": diary.noting()}
    edges = [(START, ["a", "c"]), ("a", "b"), (["b", "c"], "j", END)] if fans_out else [(START, "a", "b", END)]
    app, runtime = graph_of(*edges, bodies=bodies).compile(), Runtime(checkpointer=store)
    task = asyncio.create_task(app.run(run_id="r", runtime=runtime))
    await at_work.wait()
    await anyio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await store.read("r")).status == "cancelled"
    assert "b" not in diary.begun
    assert "a" in [point.node for point in await app.history("r", runtime=runtime)]
    assert "b" not in [
        e.payload.get("node") async for e in app.events("r", runtime=runtime) if e.type == "step.started"
    ]
    assert (await app.resume("r", runtime=runtime)).status == "completed"


@pytest.mark.parametrize("begun_by", ["run", "start"])
async def test_a_node_whose_own_task_group_failed_may_go_on(begun_by: str) -> None:
    async def fails() -> None:
        raise ValueError("one of two sources is down")

    async def falls_back(ctx: Context) -> None:
        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(anyio.sleep(0.01))
                group.create_task(fails())

    diary = Diary()
    app = graph_of((START, "a", "b", END), bodies={"a": diary.noting(falls_back), "b": diary.noting()}).compile()
    result = await app.run() if begun_by == "run" else await app.start().wait()
    assert (result.status, diary.ended) == ("completed", ["a", "b"])


async def test_several_asks_in_a_task_group_of_asyncio_pause_the_run() -> None:
    async def asks(ctx: Context) -> None:
        async with asyncio.TaskGroup() as group:
            for key in "xy":
                group.create_task(ctx.ask("Go on?", key=key))

    app = graph_of((START, "a", END), bodies={"a": asks}).compile()
    paused = await app.run(run_id="r")
    assert (paused.status, len(paused.asks)) == ("paused", 2)
    done = await app.resume("r", answers={ask.id: "yes" for ask in paused.asks})
    assert done.status == "completed"


async def test_a_timeout_that_a_node_swallowed_cancels_nothing_but_the_attempt() -> None:
    async def stubborn(ctx: Context) -> None:
        if ctx.attempt == 1:
            with contextlib.suppress(asyncio.CancelledError):
                await forever(ctx)

    graph = graph_of((START, "a", "b", END), bodies={"a": stubborn}, retry={"a": NOW}, timeout_s={"a": 0.02})
    assert (await graph.compile().run(run_id="r")).state.log == ["a", "b"]


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
    token = store._runs["r"].token  # pyright: ignore[reportPrivateUsage] - what a lease that ran out would show
    await store.release(Claim("r", token, head=1))
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


async def test_the_state_of_a_result_is_the_one_that_was_saved() -> None:
    app = chain("ab")
    result = await app.run(run_id="r")
    assert result.state == await app.state("r") == Log(log=["a", "b"])
