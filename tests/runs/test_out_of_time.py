"""Tests of timeouts, of the grace of what writes, and of models that are asked until the deadline."""

import asyncio
import contextlib
import threading
from functools import partial
from typing import Any

import anyio
import pytest

from loom import END, START, Context, Graph, Limits, MemoryCheckpointer, NodeError, ProviderError, Retry, Runtime, node
from loom.errors import ProviderUnavailableError
from loom.testing import ScriptedModel
from loom.types.messages import Message
from tests.core.letters import forever, graph_of
from tests.runs.effects import Seen, World, acting, node_of, records
from tests.runs.failures import NOW
from tests.runs.out_of_time import REF, Provider, cancelled, hurried, talk, talk_twice

pytestmark = pytest.mark.anyio

# Any, in this module: what effects give and asks are answered.


# Timeouts.


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


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_timeout_leaves_a_write_in_doubt(in_thread: bool) -> None:
    world, release = World(), threading.Event()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", release.wait if in_thread else world.hang, *([10] if in_thread else []))

    app = acting(body, timeout_s=0.05)
    with pytest.raises(NodeError, match="TimeoutError"):
        await app.run(run_id="r")
    release.set()
    result = await app.resume("r")
    assert [ask.kind for ask in result.asks] == ["in_doubt"]


async def test_a_timeout_is_tried_again_but_a_write_is_asked_about_first() -> None:
    world = World()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.hang)

    result = await acting(body, timeout_s=0.02, retry=Retry(max_attempts=3, backoff_s=0)).run()
    assert ([ask.kind for ask in result.asks], len(world.calls)) == (["in_doubt"], 1)


async def test_a_thread_that_reads_holds_up_no_timeout_and_reads_again() -> None:
    release, calls = threading.Event(), list[int]()

    def look() -> bool:
        calls.append(1)
        return release.wait(10 if len(calls) == 1 else 0)

    async def body(ctx: Context) -> Any:
        return await ctx.once("look", look)

    app = acting(body, effect="read", timeout_s=0.05)
    with anyio.fail_after(5):
        with pytest.raises(NodeError, match="TimeoutError"):
            await app.run(run_id="r")
        release.set()
        assert (await app.resume("r")).state.seen == [True]
    assert len(calls) == 2


# Grace.


async def test_a_running_write_gets_its_grace_when_the_run_is_cancelled() -> None:
    world, store = World(), MemoryCheckpointer()

    async def slow() -> str:
        world.calls.append("begun")
        await anyio.sleep(0.15)
        return "ended"

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", slow)

    app = acting(body, World().act)
    result = await cancelled(app, store, grace_s=5)
    assert (result.status, result.steps) == ("cancelled", 0)
    assert [record["kind"] for record in await records(store)] == ["input", "intent", "effect", "end"]
    result = await app.resume("r", runtime=Runtime(checkpointer=store))
    assert (result.state.seen[0], world.calls) == ("ended", ["begun"])


async def test_a_write_that_outlasts_its_grace_is_cancelled_and_in_doubt_and_leaves_no_task() -> None:
    world, store = World(), MemoryCheckpointer()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.hang)

    app = acting(body)
    before = asyncio.all_tasks()
    result = await cancelled(app, store, grace_s=0.05)
    assert result.status == "cancelled"
    assert asyncio.all_tasks() == before
    result = await app.resume("r", runtime=Runtime(checkpointer=store))
    assert [ask.kind for ask in result.asks] == ["in_doubt"]


async def test_a_write_that_fails_in_its_grace_has_failed_and_the_run_is_cancelled() -> None:
    world, store = World(), MemoryCheckpointer()

    async def slow() -> None:
        await anyio.sleep(0.15)
        raise OSError("no line")

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act if world.calls else slow)

    app = acting(body)
    assert (await cancelled(app, store, grace_s=5)).status == "cancelled"
    world.calls.append("")
    result = await app.resume("r", runtime=Runtime(checkpointer=store))
    assert result.state.seen == [2], "called again without being asked"


async def test_a_read_gets_no_grace() -> None:
    world, store = World(), MemoryCheckpointer()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.hang, effect="read")

    with anyio.fail_after(2):
        assert (await cancelled(acting(body), store, grace_s=60)).status == "cancelled"


async def test_a_write_gets_its_grace_when_a_sibling_fails() -> None:
    world = World()

    async def slow() -> str:
        await anyio.sleep(0.1)
        world.calls.append("ended")
        return "ended"

    async def acts(ctx: Context) -> Any:
        return await ctx.once("act", slow)

    async def fails(_ctx: Context) -> None:
        await anyio.sleep(0.02)
        if not world.calls:
            raise ValueError("a sibling")

    graph = Graph("siblings", Seen)
    graph.node("acts", node_of(acts), ungated="a test")
    graph.node("fails", node_of(fails, "pure"))
    graph.node("join", node_of(World().act, "pure"))
    graph.edge(START, ["acts", "fails"], "join", END)
    app = graph.compile()
    with pytest.raises(NodeError, match="a sibling"):
        await app.run(run_id="r")
    result = await app.resume("r")
    assert (result.state.seen[0], world.calls) == ("ended", ["ended"])


# A model that is cut off at the deadline.


async def test_a_model_that_is_cut_off_at_the_deadline_stops_the_run_and_its_step_is_run_again() -> None:
    app, model, store = acting(talk, talk_twice), Provider(0, 0, 60, 0, 0), MemoryCheckpointer()
    result = await app.run(run_id="r", runtime=hurried(model, store))
    assert (result.status, result.stop_reason, result.state.seen) == ("stopped", "deadline", ["said"])
    assert (result.steps, result.usage.input_tokens, model.asked) == (1, 6, 3)
    *_, last = [event async for event in app.events("r", runtime=Runtime(checkpointer=store))]
    assert (last.type, last.payload["reason"]) == ("run.stopped", "deadline")
    again = await app.resume("r", runtime=hurried(model, store, 60))
    assert (again.status, again.state.seen) == ("completed", ["said", "saidsaid"])
    assert (again.usage.input_tokens, model.asked) == (12, 5)


async def test_a_model_that_is_cut_off_is_not_asked_again_by_a_retry() -> None:
    app, model = acting(talk, retry=Retry(max_attempts=3, backoff_s=0)), Provider(60)
    result = await app.run(runtime=hurried(model, MemoryCheckpointer()))
    assert (result.stop_reason, model.asked) == ("deadline", 1)


async def test_models_asked_beside_each_other_are_cut_off_together_and_finished_branches_are_kept() -> None:
    async def talk_beside(ctx: Context) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(talk, ctx)
            group.start_soon(talk, ctx)

    model, store = Provider(60, 60), MemoryCheckpointer()
    app = graph_of((START, ["a", "b"], "c", END), bodies={"a": talk_beside}).compile()
    result = await app.run(run_id="r", runtime=hurried(model, store))
    assert (result.status, result.stop_reason, result.steps, model.asked) == ("stopped", "deadline", 1, 2)
    model.seconds = [0.0, 0.0]
    assert (await app.resume("r", runtime=hurried(model, store, 60))).state.log == ["a", "b", "c"]


async def test_a_provider_that_is_gone_before_the_deadline_is_a_failure() -> None:
    model = ScriptedModel([ProviderUnavailableError("no network")])
    with pytest.raises(NodeError, match="no network"):
        await acting(talk).run(runtime=Runtime(models=model, limits=Limits(deadline_s=60)))


async def test_a_call_cut_off_before_the_clock_of_the_run_says_so_is_a_failure() -> None:
    with pytest.raises(NodeError, match="did not finish in"):
        await acting(talk).run(runtime=hurried(Provider(60), MemoryCheckpointer(), clock=lambda: 1000.0))


async def test_a_model_that_fails_in_another_way_after_the_deadline_is_a_failure() -> None:
    async def refuse(ctx: Context) -> None:
        await anyio.sleep(0.06)
        await ctx.model(REF).complete([Message(role="user", content="Hello")])

    runtime = Runtime(models=ScriptedModel([ProviderError("the key was revoked")]), limits=Limits(deadline_s=0.05))
    with pytest.raises(NodeError, match="the key was revoked"):
        await acting(refuse).run(runtime=runtime)


async def test_an_effect_whose_model_is_cut_off_has_failed_and_is_not_in_doubt() -> None:
    async def once(ctx: Context) -> Any:
        return await ctx.once("talk", partial(talk, ctx), result_type=str)

    app, model, store = acting(once), Provider(60, 0), MemoryCheckpointer()
    result = await app.run(run_id="r", runtime=hurried(model, store))
    assert (result.stop_reason, result.asks) == ("deadline", ())
    assert (await app.resume("r", runtime=hurried(model, store, 60))).state.seen == ["said"]


async def test_a_node_that_swallows_that_its_model_was_cut_off_is_left_all_the_same() -> None:
    model, store = Provider(5, 0), MemoryCheckpointer()

    async def swallows(ctx: Context) -> Any:
        (said,) = await asyncio.gather(talk(ctx), return_exceptions=True)
        return said if isinstance(said, str) else "nothing"

    app = acting(swallows)
    stopped = await app.run(run_id="r", runtime=hurried(model, store))
    assert (stopped.status, stopped.stop_reason, stopped.state.seen) == ("stopped", "deadline", [])
    assert (await app.resume("r", runtime=hurried(model, store, 10))).state.seen == ["said"]


# Limits, between attempts.


async def test_the_deadline_ends_the_attempts_and_the_wait_for_the_next() -> None:
    attempts: list[int] = []

    async def fails(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        raise ValueError("not yet")

    retry = Retry(max_attempts=50, backoff_s=3600, max_backoff_s=3600)
    app, store = graph_of((START, "a", END), bodies={"a": fails}, retry={"a": retry}).compile(), MemoryCheckpointer()
    with anyio.fail_after(5):
        limited = Runtime(checkpointer=store, limits=Limits(deadline_s=0.05))
        result = await app.run(run_id="r", runtime=limited)
    assert (result.status, result.stop_reason, attempts) == ("stopped", "deadline", [1])


async def test_no_attempt_follows_one_that_used_up_the_tokens() -> None:
    model = ScriptedModel(["a long reply"] * 3)

    async def fails(ctx: Context) -> None:
        await ctx.model(REF).complete([Message(role="user", content="Hello")])
        raise ValueError("not good enough")

    app = graph_of((START, "a", END), bodies={"a": fails}, retry={"a": NOW}).compile()
    result = await app.run(runtime=Runtime(models=model, limits=Limits(max_tokens=1)))
    assert (result.status, result.stop_reason, len(model.requests)) == ("stopped", "max_tokens", 1)


async def test_what_is_at_work_is_tried_again_also_where_nothing_new_may_start() -> None:
    async def fails_once(ctx: Context) -> None:
        await anyio.sleep(0.02)
        if ctx.attempt == 1:
            raise ValueError("not yet")

    graph = graph_of((START, ["a", "b"]), ("a", "c", END), ("b", END), bodies={"b": fails_once}, retry={"b": NOW})
    result = await graph.compile().run(runtime=Runtime(limits=Limits(max_steps=2)))
    assert (result.status, result.stop_reason, result.steps) == ("stopped", "max_steps", 2)
