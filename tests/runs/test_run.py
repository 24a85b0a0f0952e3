from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import pytest

from loom import (
    END,
    START,
    Context,
    Graph,
    Limits,
    MemoryCheckpointer,
    ModelRef,
    NodeError,
    Retry,
    Runtime,
    SqliteCheckpointer,
    State,
    node,
)
from loom.core.journal import Claim
from loom.core.result import Status
from loom.runs.app import CompiledGraph
from loom.types.events import Event
from loom.types.messages import Message
from loom.types.models import Emit, Model, ModelReply, ModelRequest
from loom.types.usage import Usage
from tests.clock import Clock
from tests.core.letters import Body, Diary, Log, chain, failing, fan, forever, graph_of, soon

pytestmark = pytest.mark.anyio

Shape = Callable[..., CompiledGraph[Log]]
NOW = Retry(max_attempts=3, backoff_s=0)


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


class Unpriced:
    """A model whose price is unknown."""

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        return ModelReply(text="well", usage=Usage(input_tokens=6, output_tokens=4, cost_usd=None))


@pytest.mark.parametrize("models", [(Unpriced(), Speaker()), (Speaker(), Unpriced())], ids=["first", "last"])
async def test_a_limit_of_cost_stops_a_run_whose_cost_is_unknown(models: tuple[Model, Model]) -> None:
    async def first(ctx: Context) -> None:
        await ctx.model(ModelRef("none", "first")).complete([Message(role="user", content="say something")])

    app = chain("abc", a=first, b=speak, c=speak)
    store = MemoryCheckpointer()
    named = {"none:first": models[0], "none:speaker": models[1]}
    limits = Limits(max_cost_usd=0.02)
    stopped = await app.run(run_id="r", runtime=Runtime(checkpointer=store, models=named, limits=limits))
    steps = 1 if isinstance(models[0], Unpriced) else 2
    assert (stopped.status, stopped.stop_reason, stopped.steps) == ("stopped", "unknown_cost", steps)
    assert stopped.usage.cost_usd is None
    again = await app.resume("r", runtime=Runtime(checkpointer=store, models=named, limits=limits))
    assert (again.stop_reason, again.steps) == ("unknown_cost", steps), "what was spent is still unknown"
    more = Runtime(checkpointer=store, models=named, limits=Limits(max_tokens=100))
    assert (await app.resume("r", runtime=more)).status == "completed"


async def test_without_a_limit_of_cost_a_run_may_cost_what_nobody_knows() -> None:
    app = chain("ab", a=speak, b=speak)
    result = await app.run(runtime=Runtime(models=Unpriced(), limits=Limits(max_tokens=100)))
    assert (result.status, result.usage.cost_usd) == ("completed", None)


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


# Saving.


class Slow(MemoryCheckpointer):
    """A store that takes its time, before it saves and after."""

    async def append(
        self, claim: Claim, records: Sequence[bytes], status: Status = "running", snapshot: bytes | None = None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.002)
            await super().append(claim, records, status, snapshot)
            await anyio.sleep(0.002)


async def test_what_is_emitted_while_a_record_is_saved_belongs_to_a_later_one() -> None:
    async def chatter(ctx: Context) -> None:
        for number in range(10):
            ctx.emit(Event(type="mine", payload={"from": ctx.node, "number": number}))
            await anyio.sleep(0.001)

    runtime = Runtime(checkpointer=Slow())
    app = fan("abcdj", **dict.fromkeys("bcd", chatter), a=soon)
    run = app.start(run_id="r", runtime=runtime)
    live = [event async for event in run.events()]
    replayed = [event async for event in app.events("r", runtime=runtime)]
    assert live == replayed
    assert [event.offset for event in live] == list(range(1, len(live) + 1))
    for name in "bcd":
        told = [event.payload["number"] for event in live if event.type == "mine" and event.payload["from"] == name]
        assert told == list(range(10))


async def test_steps_that_end_together_are_saved_one_after_the_other() -> None:
    runtime = Runtime(checkpointer=Slow())
    result = await fan("abcdj").run(run_id="r", runtime=runtime)
    assert result.state.log == list("abcdj")
    assert [point.seq for point in await fan("abcdj").history("r", runtime=runtime)] == list(range(6))


async def test_a_step_that_is_finished_is_saved_though_a_sibling_fails_meanwhile() -> None:
    ended = anyio.Event()

    async def end(ctx: Context) -> None:
        ended.set()

    once = failing(ValueError("no"))

    async def fail(ctx: Context) -> None:
        await ended.wait()
        await once(ctx)

    runtime = Runtime(checkpointer=Slow())
    app = fan("abj", a=end, b=fail)
    with pytest.raises(NodeError):
        await app.run(run_id="r", runtime=runtime)
    assert [point.node for point in await app.history("r", runtime=runtime)] == ["START", "a"]
    assert (await app.resume("r", runtime=runtime)).state.log == ["a", "b", "j"]


async def test_a_run_that_has_ended_can_be_taken_up_at_once() -> None:
    app = chain("ab", b=failing(ValueError(), ValueError()))
    with pytest.raises(NodeError):
        await app.run(run_id="r")
    with pytest.raises(NodeError):
        await app.resume("r")
    assert (await app.resume("r")).status == "completed"


# Models.


async def test_a_model_of_the_runtime_answers_by_its_name() -> None:
    runtime = Runtime(models={"none:speaker": Speaker()})
    assert (await chain("a", a=speak).run(runtime=runtime)).usage.total_tokens == 10


# What nodes emit.


async def test_an_event_that_cannot_be_saved_fails_the_node_that_emits_it() -> None:
    async def emit(ctx: Context) -> None:
        ctx.emit(Event(type="mine", payload={"x": object()}))

    with pytest.raises(NodeError, match="Unable to serialize unknown type"):
        await chain("a", a=emit).run()


async def test_a_run_that_is_resumed_for_single_steps_is_read_from_a_late_snapshot(tmp_path: Path) -> None:
    class Count(State):
        i: int = 0

    @node(writes="i")
    async def one_more(i: int) -> int:
        return i + 1

    graph = Graph("long", Count)
    graph.node("a", one_more)
    graph.edge(START, "a")
    graph.switch("a", {"i < 100": "a"}, END)
    app = graph.compile()
    store = SqliteCheckpointer(tmp_path / "x.db")
    result = await app.run(run_id="r", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=1)))
    for steps in range(2, 101):
        result = await app.resume("r", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=steps)))
    assert result.status == "completed"
    whole = sum(map(len, (await store.read("r")).records))
    after_it = sum(map(len, (await store.read("r", from_snapshot=True)).records))
    assert whole > 10_000
    assert after_it < 5_000
