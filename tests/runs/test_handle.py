import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from loom import (
    END,
    START,
    AnswerError,
    ConfigError,
    Context,
    Graph,
    GraphChangedError,
    MemoryCheckpointer,
    NodeError,
    RunExistsError,
    RunNotFoundError,
    Runtime,
    State,
    node,
)
from loom.runs.app import CompiledGraph
from loom.types.events import Event
from tests.core.letters import Body, Diary, Log, chain, failing, fan, forever, graph_of

pytestmark = pytest.mark.anyio

# Any, in this module: what no type checker would let pass.

ENDS = {"run.completed", "run.paused", "run.stopped", "run.cancelled", "run.failed"}


async def all_of(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


async def test_a_handle_knows_its_run_at_once() -> None:
    run = chain("a").start(run_id="mine")
    assert run.run_id == "mine"
    assert (await run.wait()).run_id == "mine"


async def test_a_run_goes_on_without_anyone_waiting_for_it() -> None:
    done = anyio.Event()

    async def last(ctx: Context) -> None:
        done.set()

    run = chain("ab", b=last).start()
    with anyio.fail_after(5):
        await done.wait()
    await run.wait()


async def test_waiting_twice_gives_the_same_result() -> None:
    diary = Diary()
    run = chain("ab", a=diary.noting()).start()
    first, second = await asyncio.gather(run.wait(), run.wait())
    assert first is second is await run.wait()
    assert diary.begun == ["a"]


async def test_waiting_raises_what_the_run_raised_every_time() -> None:
    run = chain("a", a=failing(ValueError("no"))).start()
    for _ in range(2):
        with pytest.raises(NodeError, match="ValueError: no"):
            await run.wait()


async def test_cancelling_a_waiter_leaves_the_run_alone() -> None:
    gate = anyio.Event()

    async def wait(ctx: Context) -> None:
        await gate.wait()

    run = chain("ab", a=wait).start()
    waiter = asyncio.ensure_future(run.wait())
    await anyio.sleep(0.001)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    with anyio.move_on_after(0.01):
        await run.wait()
    gate.set()
    result = await run.wait()
    assert (result.status, result.state.log) == ("completed", ["a", "b"])


async def test_a_run_that_cannot_begin_raises_on_waiting_and_has_no_events() -> None:
    app = chain("a")
    await app.run(run_id="r")
    for run, error in ((app.start(run_id="r"), RunExistsError), (app.start({"wrong": 1}), ConfigError)):
        with anyio.fail_after(5):
            assert [event async for event in run.events()] == []
            with pytest.raises(error):
                await run.wait()


def test_a_run_is_started_only_where_an_event_loop_runs() -> None:
    with pytest.raises(ConfigError, match=r'start of graph ".*" needs a running event loop; use `app.run_sync'):
        chain("a").start()


# Cancelling.


async def test_cancelling_before_it_begins_runs_nothing() -> None:
    diary = Diary()
    app = chain("ab", a=diary.noting())
    run = app.start(run_id="r")
    run.cancel()
    result = await run.wait()
    assert (result.status, result.state.log, diary.begun) == ("cancelled", [], [])
    assert "step.started" not in [event.type async for event in run.events()]
    assert (await app.resume("r")).state.log == ["a", "b"]


def test_a_loop_may_end_before_a_run_has_begun() -> None:
    app = chain("ab")

    async def begin() -> None:
        app.start(run_id="r")

    async def leave() -> asyncio.Task[None]:
        return asyncio.create_task(begin())

    assert asyncio.run(leave()).done()
    gc.collect()
    with pytest.raises(RunNotFoundError):
        asyncio.run(app.resume("r"))


async def test_cancelling_while_it_runs_keeps_what_was_finished() -> None:
    reached = anyio.Event()

    async def wait(ctx: Context) -> None:
        reached.set()
        await anyio.sleep(3600)

    run = chain("abc", b=wait).start(run_id="r")
    await reached.wait()
    run.cancel()
    with anyio.fail_after(5):
        result = await run.wait()
    assert (result.status, result.state.log, result.steps) == ("cancelled", ["a"], 1)


async def test_cancelling_after_the_end_changes_nothing() -> None:
    app = chain("ab")
    run = app.start(run_id="r")
    result = await run.wait()
    run.cancel()
    assert await run.wait() is result
    assert result.status == "completed"
    assert (await app.resume("r")).status == "completed"


async def test_cancelling_twice_is_cancelling_once() -> None:
    run = chain("ab", a=forever).start()
    events = run.events()
    async for event in events:
        if event.type == "step.started":
            break
    await events.aclose()
    run.cancel()
    run.cancel()
    assert (await run.wait()).status == "cancelled"
    assert [event.type async for event in run.events()].count("run.cancelled") == 1


async def test_a_node_may_cancel_its_own_run() -> None:
    async def cancel(ctx: Context) -> None:
        run.cancel()
        await anyio.sleep(3600)

    app = chain("ab", a=cancel)
    run = app.start()
    with anyio.fail_after(5):
        assert (await run.wait()).status == "cancelled"


# Events.


async def test_events_end_with_the_run_and_its_end_comes_once() -> None:
    run = chain("ab").start()
    types = [event.type async for event in run.events()]
    assert types[0] == "run.started"
    assert types[-1] == "run.completed"
    assert len([kind for kind in types if kind in ENDS]) == 1


@pytest.mark.parametrize("ending", ["run.failed", "run.cancelled"])
async def test_events_of_a_run_that_came_to_nothing_end_too(ending: str) -> None:
    run = chain("ab", b=failing(ValueError()) if ending == "run.failed" else forever).start()
    seen: list[str] = []
    with anyio.fail_after(5):
        async for event in run.events():
            seen.append(event.type)
            if event.type == "step.started" and event.payload["node"] == "b" and ending == "run.cancelled":
                run.cancel()
    assert [kind for kind in seen if kind in ENDS] == [ending] == seen[-1:]
    await asyncio.gather(run.wait(), return_exceptions=True)


async def test_many_readers_read_the_same_whenever_they_begin() -> None:
    run = fan("abcd").start()
    early = [asyncio.ensure_future(all_of(run.events())) for _ in range(3)]
    result = await run.wait()
    late = await all_of(run.events())
    assert result.steps == 4
    for events in [*(await asyncio.gather(*early)), await all_of(run.events())]:
        assert events == late
    assert [event.offset for event in late] == list(range(1, len(late) + 1))


async def test_after_leaves_out_what_was_read_before() -> None:
    run = chain("abc").start()
    await run.wait()
    every = await all_of(run.events())
    for after in range(len(every) + 1):
        assert await all_of(run.events(after=after)) == every[after:]


@pytest.mark.parametrize("after", ["1", 1.0, True, [1]])
async def test_an_offset_that_is_none_is_refused(after: Any) -> None:
    run = chain("abc").start()
    with pytest.raises(ConfigError, match=r"events\(after=…\) must be an offset, a whole number; got "):
        await anext(run.events(after=after))
    assert (await run.wait()).status == "completed"


async def test_a_reader_that_stops_reading_holds_nothing_up() -> None:
    run = fan("abcd").start()
    stuck = run.events()
    first = await anext(stuck)
    with anyio.fail_after(5):
        assert (await run.wait()).status == "completed"
    assert [first, *await all_of(stuck)] == await all_of(run.events())


async def test_a_reader_may_go_away_in_the_middle() -> None:
    run = chain("abc").start()
    events = run.events()
    await anext(events)
    await events.aclose()
    assert (await run.wait()).status == "completed"


async def test_the_story_of_a_run_goes_on_after_its_resume() -> None:
    class Asked(State):
        answer: str = ""

    @node(writes="answer")
    async def ask(ctx: Context) -> str:
        return str(await ctx.ask("Well?"))

    graph = Graph("asks", Asked)
    graph.node("ask", ask)
    graph.edge(START, "ask", END)
    app, runtime = graph.compile(), Runtime(checkpointer=MemoryCheckpointer())
    run = app.start(run_id="r", runtime=runtime)
    before = await all_of(run.events())
    (opened,) = (await run.wait()).asks
    await app.resume("r", answers={opened.id: "yes"}, runtime=runtime)
    whole = await all_of(app.events("r", runtime=runtime))
    assert whole[: len(before)] == before
    assert [event.type for event in whole if event.type in ENDS] == ["run.paused", "run.completed"]
    assert await all_of(run.events()) == before


# Going on in the background.


async def asks(ctx: Context) -> None:
    await ctx.ask("Well?", answer_type=bool, key="well")


async def paused(app: CompiledGraph[Log], runtime: Runtime | None = None) -> str:
    """Run a graph to its only ask, and return the ask's id."""
    (ask,) = (await app.run(run_id="r", runtime=runtime)).asks
    return ask.id


async def test_a_resumed_run_goes_on_in_the_background_and_its_events_are_live() -> None:
    seen = anyio.Event()

    async def say(ctx: Context) -> None:
        ctx.emit(Event(type="note", payload={}))
        with anyio.fail_after(5):
            await seen.wait()

    app = chain("abc", b=asks, c=say)
    ask = await paused(app)
    run = app.start_resume("r", answers={ask: True})
    assert run.run_id == "r"
    events: list[Event] = []
    async for event in run.events():
        events.append(event)
        if event.type == "note":
            seen.set()
    assert (await run.wait()).state.log == ["a", "b", "c"]
    assert events == await all_of(app.events("r"))
    assert [event.type for event in events if event.type in ENDS] == ["run.paused", "run.completed"]


async def test_events_of_a_resumed_run_may_begin_anywhere_or_with_what_is_new() -> None:
    app = chain("abc", b=asks)
    ask = await paused(app)
    before = await all_of(app.events("r"))
    run = app.start_resume("r", answers={ask: True})
    whole = await all_of(run.events())
    for after in range(len(whole) + 1):
        assert await all_of(run.events(after)) == whole[after:]
    new = await all_of(run.events(None))
    assert [*before, *new] == whole
    assert [event.type for event in new[:2]] == ["ask.answered", "run.started"]
    (first,) = [event for event in await all_of(chain("a").start().events(None)) if event.offset == 1]
    assert first.type == "run.started"


def noting_then_sleeping(reached: anyio.Event) -> Body:
    async def body(ctx: Context) -> None:
        reached.set()
        await anyio.sleep(3600)

    return body


async def test_what_keeps_a_run_from_being_resumed_is_raised_on_waiting_and_there_are_no_events() -> None:
    app = chain("ab", b=asks)
    ask = await paused(app)
    other = graph_of((START, "a", "c", END)).compile()
    store = MemoryCheckpointer()
    runtime = Runtime(checkpointer=store)
    await chain("ab").run(run_id="changed", runtime=runtime)
    for run, error in (
        (app.start_resume("gone"), RunNotFoundError),
        (app.start_resume("r", answers={ask: "perhaps"}), AnswerError),
        (app.start_resume("r", answers={"other": True}), AnswerError),
        (other.start_resume("changed", runtime=runtime), GraphChangedError),
    ):
        with anyio.fail_after(5):
            assert await all_of(run.events()) == []
            assert not await run.begun()
            with pytest.raises(error):
                await run.wait()
    assert (await app.start_resume("r", answers={ask: True}).wait()).status == "completed"


async def test_a_run_that_fails_after_it_was_resumed_raises_on_waiting() -> None:
    app = chain("ab", a=asks, b=failing(ValueError("no")))
    run = app.start_resume("r", answers={await paused(app): True})
    assert [event.type async for event in run.events()][-1] == "run.failed"
    with pytest.raises(NodeError, match="ValueError: no"):
        await run.wait()


async def test_a_resumed_run_may_be_cancelled_and_keeps_what_was_finished() -> None:
    reached = anyio.Event()
    app = chain("abc", a=asks, b=noting_then_sleeping(reached))
    ask = await paused(app)
    run = app.start_resume("r", answers={ask: True})
    await reached.wait()
    run.cancel()
    with anyio.fail_after(5):
        result = await run.wait()
        await run.settled()
    assert (result.status, result.state.log) == ("cancelled", ["a"])
    assert (await all_of(run.events()))[-1].type == "run.cancelled"


async def test_cancelling_before_a_run_is_resumed_starts_nothing_and_keeps_the_answer() -> None:
    diary = Diary()
    app = chain("ab", a=asks, b=diary.noting())
    ask = await paused(app)
    run = app.start_resume("r", answers={ask: True})
    run.cancel()
    result = await run.wait()
    assert (result.status, diary.begun) == ("cancelled", [])
    assert "step.started" not in [event.type for event in await all_of(run.events(None))]
    assert (await app.resume("r")).state.log == ["a", "b"]


async def test_a_completed_run_that_is_resumed_gives_its_result_and_nothing_new() -> None:
    app = chain("ab", a=asks)
    ask = await paused(app)
    done = await app.resume("r", answers={ask: True})
    for cancel in (False, True):
        run = app.start_resume("r")
        if cancel:
            run.cancel()
        with anyio.fail_after(5):
            assert (await run.wait()).state == done.state
            assert (await run.wait()).status == "completed"
            assert await all_of(run.events(None)) == []
            assert await all_of(run.events()) == await all_of(app.events("r"))


async def test_a_run_resumed_under_new_names_is_told_under_them() -> None:
    runtime = Runtime(checkpointer=MemoryCheckpointer())
    old = graph_of((START, "a", "b", END), bodies={"b": asks}).compile()
    (ask,) = (await old.run(run_id="r", runtime=runtime)).asks
    new = graph_of((START, "a", "z", END), bodies={"z": asks}).compile()
    run = new.start_resume("r", answers={ask.id: True}, on_change="continue", rename={"b": "z"}, runtime=runtime)
    assert (await run.wait()).status == "completed"
    told = await all_of(run.events())
    assert told == await all_of(new.events("r", runtime=runtime))
    assert [event.payload["node"] for event in told if event.type == "step.finished"] == ["a", "z"]


def test_a_run_is_resumed_in_the_background_only_where_an_event_loop_runs() -> None:
    with pytest.raises(ConfigError, match=r'start_resume of graph ".*" needs a running event loop; use `app.resume'):
        chain("a").start_resume("r")
