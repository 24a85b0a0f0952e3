import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from loom import (
    END,
    START,
    Context,
    Graph,
    MemoryCheckpointer,
    ModelRef,
    NodeError,
    Retry,
    RunNotFoundError,
    Runtime,
    SqliteCheckpointer,
    State,
    node,
)
from loom.core.journal import Claim
from loom.core.result import Status
from loom.runs.app import CompiledGraph
from loom.testing import ScriptedModel
from loom.types.events import Event
from loom.types.messages import Message
from tests.core.letters import Log, after_crash, chain, fan, graph_of

# Any: what is no event.

pytestmark = pytest.mark.anyio

REF = ModelRef("test", "one")


async def all_of(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


def note(text: str, kind: str = "note") -> Event:
    return Event(type=kind, payload={"text": text})


def saying(*texts: str, kind: str = "note") -> CompiledGraph[Log]:
    async def say(ctx: Context) -> None:
        for text in texts:
            ctx.emit(note(text, kind))
            await anyio.sleep(0.001)

    return chain("abc", b=say)


async def live_and_again(app: CompiledGraph[Log], runtime: Runtime | None = None) -> tuple[list[Event], list[Event]]:
    """Run a graph; return its events as they were read live, and as they are replayed."""
    run = app.start(run_id="r", runtime=runtime)
    live = await all_of(run.events())
    await asyncio.gather(run.wait(), return_exceptions=True)
    return live, await all_of(app.events("r", runtime=runtime))


NUMBERS = saying("one", "two", "three")
AS_IF_LIVE = saying("one", "two", kind="model.delta")


@pytest.mark.parametrize("app", [chain("abc"), fan("abcd"), saying(), saying("one"), NUMBERS, AS_IF_LIVE])
async def test_events_live_are_those_that_are_replayed_numbered_without_gaps(app: CompiledGraph[Log]) -> None:
    live, again = await live_and_again(app)
    assert live == again
    assert [event.offset for event in live] == list(range(1, len(live) + 1))
    assert {event.run_id for event in live} == {"r"}


async def test_events_of_attempts_and_branches_live_are_those_that_are_replayed() -> None:
    async def stumble(ctx: Context) -> None:
        ctx.emit(note(f"{ctx.node} {ctx.attempt}"))
        await anyio.sleep(0.001 * ctx.attempt)
        if ctx.attempt < 3:
            raise ValueError("not yet")
        ctx.emit(note(f"{ctx.node} at last"))

    names = ["a", "b", "c"]
    patience = dict.fromkeys(names, Retry(max_attempts=3, backoff_s=0))
    graph = graph_of((START, [*names], "j", END), bodies=dict.fromkeys(names, stumble), retry=patience)
    live, again = await live_and_again(graph.compile())
    assert live == again
    assert [event.offset for event in live] == list(range(1, len(live) + 1))
    notes = [event.payload["text"] for event in live if event.type == "note"]
    for name in names:
        assert [one for one in notes if one[0] == name] == [f"{name} 1", f"{name} 2", f"{name} 3", f"{name} at last"]


async def test_events_of_a_failure_live_are_those_that_are_replayed() -> None:
    async def fail(ctx: Context) -> None:
        ctx.emit(note("about to fail"))
        raise ValueError("no")

    live, again = await live_and_again(chain("ab", b=fail))
    assert live == again
    assert [event.type for event in live][-2:] == ["note", "run.failed"]


async def test_what_a_node_emits_is_seen_while_it_runs() -> None:
    seen = anyio.Event()

    async def say(ctx: Context) -> None:
        ctx.emit(note("early"))
        with anyio.fail_after(5):
            await seen.wait()

    run = chain("a", a=say).start()
    async for event in run.events():
        if event.type == "note":
            seen.set()
    assert (await run.wait()).status == "completed"


async def test_a_reader_that_comes_while_events_wait_to_be_saved_sees_them_once() -> None:
    said, go_on = anyio.Event(), anyio.Event()

    async def say(ctx: Context) -> None:
        ctx.emit(note("one"))
        said.set()
        await go_on.wait()
        ctx.emit(note("two"))

    app = chain("ab", a=say)
    run = app.start(run_id="r")
    await said.wait()
    late = run.events()
    events = [await anext(late) for _ in range(4)]
    assert [event.type for event in events].count("note") == 1
    go_on.set()
    assert [*events, *await all_of(late)] == await all_of(app.events("r"))


async def test_what_is_emitted_keeps_its_order_and_its_time() -> None:
    texts = [str(number) for number in range(50)]
    live, again = await live_and_again(saying(*texts))
    for events in (live, again):
        notes = [event for event in events if event.type == "note"]
        assert [event.payload["text"] for event in notes] == texts
        assert [event.at for event in notes] == sorted(event.at for event in notes)
        assert {event.seq for event in notes} == {1}


async def test_a_payload_is_shown_as_it_will_be_read_back() -> None:
    async def say(ctx: Context) -> None:
        ctx.emit(Event(type="note", payload={"tuple": (1, 2), "path": Path("x")}))

    live, again = await live_and_again(chain("a", a=say))
    assert live == again
    assert [event.payload for event in live if event.type == "note"] == [{"tuple": [1, 2], "path": "x"}]


async def test_a_payload_changed_later_is_shown_as_it_was() -> None:
    async def say(ctx: Context) -> None:
        payload = {"text": "first"}
        ctx.emit(Event(type="note", payload=payload))
        payload["text"] = "changed"

    live, again = await live_and_again(chain("a", a=say))
    assert live == again
    assert [event.payload for event in live if event.type == "note"] == [{"text": "first"}]


@pytest.mark.parametrize("thread", [False, True])
async def test_what_a_node_emits_live_is_shown_without_secrets_and_not_saved(thread: bool) -> None:
    async def soon(ctx: Context) -> None:
        if thread:
            await anyio.to_thread.run_sync(ctx.emit_live, note("1 of 2, by s3cret"))
        else:
            ctx.emit_live(note("1 of 2, by s3cret"))
        await anyio.sleep(0.01)

    runtime = Runtime(checkpointer=MemoryCheckpointer(), secrets=("s3cret",))
    live, again = await live_and_again(chain("abc", b=soon), runtime)
    (shown,) = [event for event in live if event.type == "note"]
    assert (shown.payload, shown.offset, shown.run_id) == ({"text": "1 of 2, by [redacted]"}, 0, "r")
    assert [event for event in live if event.offset] == again


async def test_half_a_character_may_come_in_one_piece_of_a_text_and_the_rest_in_the_next() -> None:
    async def soon(ctx: Context) -> None:
        ctx.emit_live(note("one \ud83d"))
        ctx.emit_live(note("\ude00"))

    live, _ = await live_and_again(chain("abc", b=soon))
    assert [event.payload["text"] for event in live if event.type == "note"] == ["one \ud83d", "\ude00"]


async def test_the_type_of_an_event_has_no_secret_either() -> None:
    async def soon(ctx: Context) -> None:
        ctx.emit(note("saved", "by s3cret"))
        ctx.emit_live(note("live", "by s3cret"))

    live, again = await live_and_again(chain("abc", b=soon), Runtime(secrets=("s3cret",)))
    assert [event.type for event in live if "text" in event.payload] == ["by [redacted]"] * 2
    assert "by [redacted]" in {event.type for event in again}


@pytest.mark.parametrize(
    ("given", "told"),
    [("half", "emits 'half'; expected an Event"), (Event(type="note", payload={"a": object()}), "that is no JSON")],
)
async def test_what_cannot_be_shown_live_is_refused(given: Any, told: str) -> None:
    async def soon(ctx: Context) -> None:
        ctx.emit_live(given)

    with pytest.raises(NodeError, match=told):
        await chain("abc", b=soon).run()


async def test_a_node_in_a_thread_is_seen_live_while_the_loop_has_nothing_else_to_do() -> None:
    seen = threading.Event()

    @node
    def work(ctx: Context) -> None:
        ctx.emit_live(note("half"))
        assert seen.wait(5)

    graph = Graph("works", State)
    graph.node("work", work)
    graph.edge(START, "work", END)
    run = graph.compile().start()
    async for event in run.events():
        if event.type == "note":
            seen.set()
    assert (await run.wait()).status == "completed"


async def test_what_was_shown_live_is_not_changed_later() -> None:
    async def soon(ctx: Context) -> None:
        done = ["1"]
        ctx.emit_live(Event(type="note", payload={"done": done}))
        done.append("2")
        await anyio.sleep(0.01)

    live, _ = await live_and_again(chain("abc", b=soon))
    assert [event.payload for event in live if event.type == "note"] == [{"done": ["1"]}]


async def test_deltas_of_a_model_are_shown_live_only() -> None:
    async def talk(ctx: Context) -> None:
        await anyio.sleep(0.01)  # the reader is there when the reply comes
        await ctx.model(REF).complete([Message(role="user", content="Hello")])

    app, runtime = chain("ab", a=talk), Runtime(models=ScriptedModel(["a reply of some words"]))
    live, again = await live_and_again(app, runtime)
    deltas = [event for event in live if event.type == "model.delta"]
    assert "".join(event.payload["delta"] for event in deltas) == "a reply of some words"
    assert {event.offset for event in deltas} == {0}
    assert [event for event in live if event.type != "model.delta"] == again
    (finished,) = [event for event in again if event.type == "model.finished"]
    assert (finished.payload["node"], finished.payload["model"]) == ("a", REF.identifier)
    assert [event.offset for event in again] == list(range(1, len(again) + 1))


async def test_deltas_are_shown_after_a_resume_too_and_from_where_a_reader_wants() -> None:
    async def talk(ctx: Context) -> None:
        await ctx.model(REF).complete([Message(role="user", content="Hello")])
        await ctx.ask("More?", key="more")

    app = chain("ab", a=talk, b=talk)
    runtime = Runtime(models=ScriptedModel(["one two", "one two", "three four", "three four"]))

    def said(events: list[Event]) -> str:
        return "".join(event.payload["delta"] for event in events if event.type == "model.delta")

    run = app.start(run_id="r", runtime=runtime)
    first = await all_of(run.events())
    assert said(first) == "one two"
    (ask,) = (await run.wait()).asks
    run = app.start_resume("r", answers={ask.id: "yes"}, runtime=runtime)
    second = await all_of(run.events())
    assert said(second) == said(await all_of(run.events(None))) == "one twothree four"
    assert [event for event in second if event.offset] == await all_of(app.events("r", runtime=runtime))
    (started,) = [one.offset for one in second if one.type == "step.started" and one.payload["node"] == "b"]
    assert said(await all_of(run.events(started - 1))) == "three four"
    assert said(await all_of(run.events(second[-1].offset))) == ""
    assert said(await all_of(run.events(first[-1].offset))) == "one twothree four"


async def late_and_again(work: Callable[[Context], Awaitable[None]], texts: list[str]) -> list[list[Event]]:
    """Return what is told to a first reader, to one that comes once `work` is done, to one a step later; the replay."""
    done, seen, ended = anyio.Event(), anyio.Event(), anyio.Event()

    async def first(ctx: Context) -> None:
        await anyio.sleep(0.01)  # the first reader is there
        await work(ctx)
        done.set()
        await seen.wait()
        ctx.emit(note("after"))

    async def second(ctx: Context) -> None:
        ended.set()
        await anyio.sleep(0.05)
        ctx.emit(note("second"))

    app, runtime = chain("ab", a=first, b=second), Runtime(models=ScriptedModel(texts))
    run = app.start(run_id="r", runtime=runtime)
    readers = [asyncio.create_task(all_of(run.events()))]
    for moment in (done, ended):
        await moment.wait()
        readers.append(asyncio.create_task(all_of(run.events())))
        await anyio.sleep(0.01)  # it has read what is stored, and what is shown
        seen.set()
    return [*[await reader for reader in readers], await all_of(app.events("r", runtime=runtime))]


@pytest.mark.parametrize("kind", ["saved", "deltas"])
async def test_a_reader_that_comes_after_very_many_events_gets_each_saved_one_once(kind: str) -> None:
    async def work(ctx: Context) -> None:
        ctx.emit(note("first"))
        if kind == "saved":
            for number in range(5000):
                ctx.emit(note(str(number)))
        else:
            await ctx.model(REF).complete([Message(role="user", content="Talk")])
        ctx.emit(note("last"))

    *told, again = await late_and_again(work, ["word " * 5000])
    for events in told:
        assert [event for event in events if event.offset] == again
    if kind == "deltas":
        kept = [sum(event.type == "model.delta" for event in events) for events in told]
        assert kept[0] > kept[1] == kept[2] == 4096  # the first one missed none


async def test_a_reader_that_comes_late_gets_deltas_where_they_stood() -> None:
    async def work(ctx: Context) -> None:
        for text in ("one", "two", "three"):
            await ctx.model(REF).complete([Message(role="user", content=text)])
            ctx.emit(note(text))

    early, late, later, again = await late_and_again(work, ["a b", "c d", "e f"])
    assert early == late == later
    assert [event for event in early if event.offset] == again
    assert len(early) > len(again)


class Gate(MemoryCheckpointer):
    """Waits before each commit until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = anyio.Event(), anyio.Event()

    async def append(
        self, claim: Claim, records: Sequence[bytes], status: Status = "running", snapshot: bytes | None = None
    ) -> None:
        self.reached.set()
        await self.go_on.wait()
        await super().append(claim, records, status, snapshot)


async def test_a_reader_that_comes_while_a_record_is_saved_gets_all_of_it_in_order() -> None:
    async def work(ctx: Context) -> None:
        await anyio.sleep(0.01)  # the first reader is there
        for text in ("one", "two"):
            ctx.emit(note(text))
            await ctx.model(REF).complete([Message(role="user", content=text)])

    store = Gate()
    app, runtime = chain("ab", a=work), Runtime(checkpointer=store, models=ScriptedModel(["a b", "c d"]))
    run = app.start(run_id="r", runtime=runtime)
    early = asyncio.create_task(all_of(run.events()))
    await store.reached.wait()
    late = asyncio.create_task(all_of(run.events()))
    await anyio.sleep(0.01)  # it has read what is stored, and what is shown
    store.go_on.set()
    assert await early == await late
    assert [event for event in await late if event.offset] == await all_of(app.events("r", runtime=runtime))


# Following from elsewhere.


async def test_another_handle_on_the_store_follows_to_the_newest_end(tmp_path: Path) -> None:
    ours, theirs = SqliteCheckpointer(tmp_path / "runs.db"), SqliteCheckpointer(tmp_path / "runs.db")
    reached, go_on = anyio.Event(), anyio.Event()

    async def wait(ctx: Context) -> None:
        ctx.emit(note("waiting"))
        reached.set()
        await go_on.wait()

    app = chain("abc", b=wait)
    run = app.start(run_id="r", runtime=Runtime(checkpointer=ours))
    await reached.wait()
    following = chain("abc").events("r", runtime=Runtime(checkpointer=theirs))
    seen = [await anext(following) for _ in range(3)]
    go_on.set()
    with anyio.fail_after(5):
        seen += await all_of(following)
    assert seen == await all_of(run.events())
    assert seen[-1].type == "run.completed"
    await ours.close()
    await theirs.close()


async def test_following_begins_after_an_offset() -> None:
    app = chain("abc")
    await app.run(run_id="r")
    every = await all_of(app.events("r"))
    for after in range(len(every) + 2):
        assert await all_of(app.events("r", after=after)) == every[after:]


async def test_following_a_run_that_was_resumed_goes_over_its_earlier_ends() -> None:
    broken = [True]

    async def stumble(ctx: Context) -> None:
        if broken:
            broken.clear()
            raise ValueError("no")

    app = chain("ab", b=stumble)
    with pytest.raises(NodeError):
        await app.run(run_id="r")
    before = await all_of(app.events("r"))
    await app.resume("r")
    whole = await all_of(app.events("r"))
    assert whole[: len(before)] == before
    assert [event.type for event in whole if event.type in ("run.failed", "run.completed")] == [
        "run.failed",
        "run.completed",
    ]
    assert [event.payload["resumed"] for event in whole if event.type == "run.started"] == [False, True]
    assert [event.offset for event in whole] == list(range(1, len(whole) + 1))


async def test_following_a_run_that_is_not_there_is_an_error() -> None:
    with pytest.raises(RunNotFoundError, match='no run "gone"'):
        await all_of(chain("a").events("gone"))


async def test_events_of_a_graph_inside_live_are_those_that_are_replayed() -> None:
    inner = saying("inside")

    class Outer(State):
        log: list[str] = []

    graph = Graph("outer", Outer)
    graph.node("inner", inner.as_node(reads={}, writes={"log": "log"}))
    graph.edge(START, "inner", END)
    app = graph.compile()
    run = app.start(run_id="r")
    live = await all_of(run.events())
    assert live == await all_of(app.events("r"))
    started = [event.payload["node"] for event in live if event.type == "step.started"]
    assert started == ["inner", "inner/a", "inner/b", "inner/c"]


async def test_readers_that_are_gone_are_forgotten() -> None:
    @node(writes="note")
    async def work(log: list[str]) -> str:
        return "done"

    graph = graph_of((START, "a", END), nodes={"a": work})
    run = graph.compile().start()
    for _ in range(3):
        reader = run.events()
        await anext(reader)
        await reader.aclose()
    await run.wait()
    assert len(await all_of(run.events())) == 6


async def test_a_run_that_died_is_told_as_far_as_it_is_saved_without_waiting_for_more() -> None:
    app, store = chain("abc"), MemoryCheckpointer()
    await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    runtime = Runtime(checkpointer=await after_crash(store, "r", 2))
    with anyio.fail_after(1):
        told = [event.type async for event in app.events("r", follow=False, runtime=runtime)]
    assert told[-3:] == ["step.finished", "edge.taken", "step.started"]


async def test_what_a_plain_function_emits_in_its_thread_is_seen_while_it_runs() -> None:
    seen = threading.Event()

    @node
    def say(ctx: Context) -> None:
        for number in range(100):
            ctx.emit(note(str(number)))
        assert seen.wait(10), "the reader is told at once, though the loop has nothing else to do"

    graph = Graph("threads", Log)
    graph.node("say", say)
    graph.edge(START, "say", END)
    app = graph.compile()
    run = app.start(run_id="r")
    told: list[Event] = []
    async for event in run.events():
        told.append(event)
        if event.payload.get("text") == "99":
            seen.set()
    assert (await run.wait()).status == "completed"
    assert told == await all_of(app.events("r"))
    assert [event.payload["text"] for event in told if event.type == "note"] == [str(number) for number in range(100)]
