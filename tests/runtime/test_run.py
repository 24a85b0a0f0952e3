"""Tests of a run: waiting, following, cancelling, answering, what it tells."""

import asyncio
import gc
import json
import weakref
from time import perf_counter
from typing import Any

import pytest

from loom import (
    Agent,
    AgentConfig,
    AnswerError,
    ConfigError,
    MemoryCheckpointer,
    NodeError,
    ProviderError,
    RunContext,
    Runtime,
    SessionConfig,
    create_agent,
)
from loom.config import RuntimeFallback, RuntimeFallbackMode, RuntimeFeatures, RuntimeLimits
from loom.errors import ProviderUnavailableError
from loom.runtime.records import RunState
from loom.runtime.run import Run
from loom.testing import ScriptedModel, call
from loom.types.content import ImageBlock, TextBlock
from loom.types.models import Emit, ModelReply, ModelRequest
from loom.types.stream import DoneEvent, ErrorEvent, StreamEvent, TextDelta, ToolCallEvent, ToolResultEvent
from tests.runtime.agents import Held, made, said, tasks
from tests.runtime.threads import in_threads

pytestmark = pytest.mark.anyio

# Any, in this module: prompts that no type checker would let pass.

DEPLOY = call("deploy", env="prod")  # waits for permission


def begun(model: ScriptedModel, prompt: str = "x") -> Run:
    return made(model).session().start(prompt)


async def streamed(run: Run) -> list[StreamEvent]:
    return [event async for event in run.stream()]


async def test_a_run_goes_on_without_a_reader_and_waiting_again_gives_the_same() -> None:
    run = begun(ScriptedModel(["done"]))
    first = await run.wait()
    assert (first.state, first.output, run.state) == (RunState.COMPLETED, "done", RunState.COMPLETED)
    assert await run.wait() is first


async def test_a_failure_is_raised_to_everyone_who_waits() -> None:
    run = begun(ScriptedModel([ProviderError("the key was revoked")]))
    for _ in range(2):
        with pytest.raises(ProviderError, match="the key was revoked"):
            await run.wait()
    assert run.state is RunState.FAILED


async def test_a_failure_that_is_not_the_providers_names_the_node() -> None:
    with pytest.raises(NodeError, match='node "reason"'):
        await begun(ScriptedModel([ValueError("odd")])).wait()


async def test_cancelling_who_waits_leaves_the_run_alone() -> None:
    held = Held("done")
    run = begun(ScriptedModel([held]))
    waiter = asyncio.create_task(run.wait())
    await held.asked.wait()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    held.let_go.set()
    assert (await run.wait()).output == "done"


async def test_cancelling_a_run_ends_it_as_cancelled_and_leaves_no_task() -> None:
    held = Held("never")
    run = begun(ScriptedModel([held]))
    await held.asked.wait()
    run.cancel()
    assert (await run.wait()).state is RunState.CANCELLED
    await asyncio.sleep(0)
    assert tasks() == set()


async def test_a_run_that_is_cancelled_before_it_began_asks_no_model() -> None:
    model = ScriptedModel([])
    run = begun(model)
    run.cancel()
    assert (await run.wait()).state is RunState.CANCELLED
    assert model.requests == []


async def test_events_are_live_and_in_one_order_for_every_reader() -> None:
    held = Held("one two")
    run = begun(ScriptedModel([call("add", a=1, b=2), held]))
    seen: list[str] = []

    async def read() -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        async for event in run.events():
            seen.append(event.type)
            found.append((event.offset, event.type))
        return found

    readers = [asyncio.create_task(read()) for _ in range(2)]
    await held.asked.wait()
    await asyncio.sleep(0.01)
    assert "tool.finished" in seen
    assert "run.completed" not in seen
    held.let_go.set()
    first, second = [await reader for reader in readers]
    assert first == second
    assert first[-1][1] == "run.completed"
    assert [offset for offset, kind in first if kind != "model.delta"] == list(range(1, first[-1][0] + 1))
    late = [event.type async for event in run.events()]
    assert late[-1] == "run.completed"


async def test_a_stream_tells_words_calls_results_and_the_end() -> None:
    told = await streamed(begun(ScriptedModel([call("add", a=1, b=2), "It is 3"])))
    assert [event.delta for event in told if isinstance(event, TextDelta)] == ["It ", "is ", "3"]
    kinds = [event.type for event in told if event.type not in {"text_delta", "tool_call_delta"}]
    assert kinds == ["tool_call", "tool_result", "done"]
    assert [event for event in told if isinstance(event, ToolCallEvent | ToolResultEvent)] == [
        ToolCallEvent(id="call_1", name="add", arguments={"a": 1, "b": 2}),
        ToolResultEvent(tool_call_id="call_1", name="add", content="3"),
    ]
    assert told[-1] == DoneEvent(output="It is 3", iterations=2, status="success")


async def test_every_call_of_a_turn_has_its_result_in_the_stream_be_it_denied_or_failed() -> None:
    calls = [call("nothing"), call("add", a="one"), call("broken"), call("add", a=1, b=1)]
    told = await streamed(begun(ScriptedModel([calls, "ok"])))
    wanted = [event.id for event in told if isinstance(event, ToolCallEvent)]
    results = {event.tool_call_id: event for event in told if isinstance(event, ToolResultEvent)}
    assert wanted == ["call_1", "call_2", "call_3", "call_4"]
    assert sorted(results) == wanted
    assert [results[one].is_error for one in wanted] == [True, True, True, False]
    assert 'there is no tool "nothing"' in results["call_1"].content


async def test_a_stream_says_that_it_came_to_its_limit() -> None:
    agent = made(ScriptedModel([call("add", a=1, b=1)] * 2), limits=RuntimeLimits(max_iterations=2))
    told = await streamed(agent.session().start("x"))
    assert told[-1] == DoneEvent(output="", iterations=2, status="max_iterations")


async def test_a_failure_is_the_last_event_of_a_stream() -> None:
    told = await streamed(begun(ScriptedModel([call("add", a=1, b=1), ProviderError("gone")])))
    assert told[-1] == ErrorEvent(message="gone")
    assert "done" not in [event.type for event in told]


async def test_an_answer_that_begins_with_error_is_just_an_answer() -> None:
    told = await streamed(begun(ScriptedModel(["Error: 404 is the code you asked for"])))
    assert told[-1] == DoneEvent(output="Error: 404 is the code you asked for", iterations=1)


async def test_a_call_that_needs_permission_pauses_the_run_until_it_is_answered() -> None:
    run = begun(ScriptedModel([call("deploy", env="prod"), "It is out"]))
    paused = await run.wait()
    (ask,) = paused.asks
    assert (paused.state, ask.kind, ask.payload["tool"]) == (RunState.PAUSED, "approve", "deploy")
    assert ask.payload["arguments"] == {"env": "prod", "version": 1}
    result = await run.answer({ask.id: True})
    assert (result.state, result.output, run.state) == (RunState.COMPLETED, "It is out", RunState.COMPLETED)
    assert await run.wait() is result
    (made_call,) = [event for event in result.events if event.type == "tool.finished"]
    assert made_call.payload["content"] == "deployed 1 to prod"


async def test_a_denial_is_told_to_the_model() -> None:
    model = ScriptedModel([call("deploy", env="prod"), "Then not"])
    run = begun(model)
    (ask,) = (await run.wait()).asks
    assert (await run.answer({ask.id: False})).output == "Then not"
    assert "was not approved" in model.requests[1].messages[-1].text


async def test_a_wrong_answer_changes_nothing() -> None:
    run = begun(ScriptedModel([call("deploy", env="prod"), "ok"]))
    (ask,) = (await run.wait()).asks
    for wrong in ({ask.id: "maybe"}, {"other": True}):
        with pytest.raises(AnswerError):
            await run.answer(wrong)
    assert (run.state, (await run.wait()).asks) == (RunState.PAUSED, (ask,))
    assert (await run.answer({ask.id: True})).output == "ok"


async def test_answers_may_come_one_by_one_and_at_once() -> None:
    calls = [call("deploy", env="a"), call("deploy", env="b")]
    run = begun(ScriptedModel([calls, "both"]))
    asks = (await run.wait()).asks
    results = await asyncio.gather(*(run.answer({ask.id: True}) for ask in asks))
    assert [result.state for result in results] == [RunState.PAUSED, RunState.COMPLETED]


async def test_a_run_can_be_cancelled_after_it_was_answered() -> None:
    held = Held("never")
    run = begun(ScriptedModel([call("deploy", env="prod"), held]))
    (ask,) = (await run.wait()).asks
    answering = asyncio.create_task(run.answer({ask.id: True}))
    await held.asked.wait()
    run.cancel()
    result = await answering
    assert (result.state, run.state) == (RunState.CANCELLED, RunState.CANCELLED)
    assert result.events[-1].type == "run.cancelled"
    assert result.usage.output_tokens > 0
    assert tasks() == set()


async def test_a_handle_tells_how_its_run_ended_after_it_was_resumed() -> None:
    agent = made([DEPLOY, "It is out"])
    session = agent.session()
    run = session.start("x")
    (ask,) = (await run.wait()).asks
    result = await agent.resume(run.run_id, {ask.id: True})
    assert (result.state, result.output) == (RunState.COMPLETED, "It is out")
    assert await run.wait() is result
    assert [(one.run_id, one.state) for one in session.list_runs()] == [(run.run_id, RunState.COMPLETED)]
    told = await run.transcript()
    assert (told["state"], told["output"], told["events"][-1]["type"]) == ("completed", "It is out", "run.completed")
    assert [artifact.content for artifact in await run.artifacts()] == ["It is out"]
    assert [event.type async for event in run.events()][-1] == "run.completed"


async def test_a_handle_goes_on_where_an_answer_was_left_and_the_run_resumed() -> None:
    agent = made([DEPLOY, "It is out"])
    run = agent.session().start("x")
    (ask,) = (await run.wait()).asks
    answering = run.answer_streaming({ask.id: True})
    await anext(answering)
    await answering.aclose()
    assert run.state is RunState.CANCELLED
    result = await agent.resume(run.run_id)
    assert (result.output, run.state, await run.wait()) == ("It is out", RunState.COMPLETED, result)


async def test_a_handle_follows_and_cancels_what_goes_on_by_a_resume_and_answers_it() -> None:
    held = Held("never")
    agent = made([DEPLOY, held, DEPLOY, "It is out"])
    run = agent.session().start("x")
    (ask,) = (await run.wait()).asks
    resuming = asyncio.create_task(agent.resume(run.run_id, {ask.id: True}))
    await held.asked.wait()
    assert (await run.transcript())["state"] == "running"
    run.cancel()
    assert await run.wait() is await resuming
    assert run.state is RunState.CANCELLED
    (again,) = [event async for event in agent.resume_streaming(run.run_id) if event.type == "tool_call"]
    assert (again.type, run.state) == ("tool_call", RunState.PAUSED)
    (ask,) = (await run.wait()).asks
    assert (await run.answer({ask.id: True})).output == "It is out"


async def test_closing_a_session_cancels_what_was_resumed_of_it() -> None:
    held = Held("never")
    agent = made([DEPLOY, held])
    session = agent.session()
    (ask,) = (await session.run("x")).asks
    (run,) = session.list_runs()
    resuming = asyncio.create_task(agent.resume(run.run_id, {ask.id: True}))
    await held.asked.wait()
    await session.close()
    assert (await resuming).state is RunState.CANCELLED


async def test_a_resume_that_is_refused_leaves_the_handle_as_it_was() -> None:
    agent = made([DEPLOY, "ok"])
    run = agent.session().start("x")
    paused = await run.wait()
    with pytest.raises(AnswerError):
        await agent.resume(run.run_id, {paused.asks[0].id: "maybe"})
    assert (run.state, await run.wait()) == (RunState.PAUSED, paused)


async def test_a_run_that_is_at_work_is_told_live_while_a_resume_waits_for_it() -> None:
    held = Held("done")
    agent = made([call("add", a=1, b=1), held])
    run = agent.session().start("x")
    await held.asked.wait()
    resuming = asyncio.create_task(agent.resume(run.run_id))
    await asyncio.sleep(0.01)
    events = run.events()
    assert (await anext(events)).type == "run.started"
    held.let_go.set()
    await events.aclose()
    assert ((await resuming).output, (await run.wait()).output) == ("done", "done")


async def test_a_handle_tells_that_its_run_failed_when_it_was_resumed() -> None:
    agent = made([DEPLOY, ValueError("odd")])
    run = agent.session().start("x")
    (ask,) = (await run.wait()).asks
    for ending in (agent.resume(run.run_id, {ask.id: True}), run.wait()):
        with pytest.raises(NodeError, match="odd"):
            await ending
    assert run.state is RunState.FAILED


def test_a_handle_goes_on_with_a_run_that_another_thread_resumed() -> None:
    agent = made([DEPLOY, "It is out"])

    async def work(_: int) -> None:
        run = agent.session(SessionConfig(id="s")).start("x")
        (ask,) = (await run.wait()).asks
        await asyncio.to_thread(asyncio.run, agent.resume(run.run_id, {ask.id: True}))
        assert ((await run.wait()).output, run.state) == ("It is out", RunState.COMPLETED)

    in_threads(work, 1)


async def test_a_handle_that_nobody_has_is_not_kept_and_its_run_is_resumed_all_the_same() -> None:
    agent = made([DEPLOY, "It is out"], Runtime(checkpointer=MemoryCheckpointer()))
    run: Run | None = agent.session().start("x")
    assert run
    (ask,), run_id, kept = (await run.wait()).asks, run.run_id, weakref.ref(run)
    run = None
    gc.collect()
    assert kept() is None
    assert (await agent.resume(run_id, {ask.id: True})).output == "It is out"


async def test_at_the_limit_of_turns_a_run_is_stopped() -> None:
    agent = made(ScriptedModel([call("add", a=1, b=1)] * 3), limits=RuntimeLimits(max_iterations=3))
    result = await agent.session().run("x")
    assert (result.state, result.stop_reason) == (RunState.STOPPED, "max_iterations")
    assert result.error == {"message": "max_iterations"}
    assert (result.events[-1].type, result.events[-1].payload["reason"]) == ("run.stopped", "max_iterations")


async def test_a_run_that_the_limit_of_turns_stopped_goes_on_once_the_limit_is_higher() -> None:
    model = ScriptedModel([call("add", a=1, b=number) for number in range(3)] + ["done", "hello"])
    store = MemoryCheckpointer()

    def limited(turns: int) -> Agent:
        return made(model, Runtime(checkpointer=store), limits=RuntimeLimits(max_iterations=turns))

    result = await limited(2).session(SessionConfig(id="s")).run("x")
    assert [run.status for run in await store.runs()] == ["stopped"]
    again = await limited(2).resume(result.run_id)
    assert (again.state, again.stop_reason, len(model.requests)) == (RunState.STOPPED, "max_iterations", 2)
    result = await limited(3).resume(result.run_id)
    assert (result.state, len(model.requests)) == (RunState.STOPPED, 3)
    result = await limited(9).resume(result.run_id)
    assert (result.state, result.stop_reason, result.output) == (RunState.COMPLETED, None, "done")
    assert [message.text for message in model.requests[3].messages if message.role == "tool"] == ["1", "2", "3"]
    await limited(9).session(SessionConfig(id="s")).run("again")
    assert len(model.requests[4].messages) == 9


async def test_what_was_stopped_is_not_remembered_until_it_is_complete() -> None:
    model = ScriptedModel([call("add", a=1, b=1), "two"])
    session = made(model, limits=RuntimeLimits(max_iterations=1)).session()
    await session.run("first")
    await session.run("second")
    assert said(model.requests[1]) == [("user", "second")]


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("stop", "success"),
        ("", "success"),
        ("end_turn", "success"),
        ("eos", "success"),
        ("function_call", "success"),
        ("MAX_TOKENS", "MAX_TOKENS"),
        ("pause_turn", "pause_turn"),
        ("other", "other"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("refusal", "refusal"),
        ("malformed_function_call: no", "malformed_function_call: no"),
    ],
)
async def test_a_result_and_a_stream_say_whether_the_reply_is_a_whole_one(reason: str, status: str) -> None:
    class Says:
        async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
            return ModelReply(text="Half an ans", finish_reason=reason)

    agent = create_agent(AgentConfig(model=Says()))
    result = await agent.run("x")
    assert (result.state, result.finish_reason, result.is_fallback) == (RunState.COMPLETED, reason, False)
    assert [one async for one in agent.run_streaming("x")] == [
        DoneEvent(output="Half an ans", iterations=1, status=status)
    ]


async def test_a_completed_run_has_its_output_as_an_artifact() -> None:
    run = begun(ScriptedModel(["the report"]))
    result = await run.wait()
    (artifact,) = await run.artifacts()
    assert [artifact] == result.artifacts
    assert (artifact.kind, artifact.content, artifact.run_id) == ("output", "the report", run.run_id)


async def test_a_transcript_is_json_and_tells_everything() -> None:
    session = made(ScriptedModel([call("add", a=1, b=2), "3"])).session()
    run = session.start("1 + 2?", RunContext(inputs={"tone": "dry"}))
    await run.wait()
    told = json.loads(json.dumps(await run.transcript()))
    assert sorted(told) == ["artifacts", "context", "events", "output", "prompt", "run_id", "session_id", "state"]
    assert (told["prompt"], told["context"], told["output"]) == ("1 + 2?", {"tone": "dry"}, "3")
    assert (told["session_id"], told["state"]) == (session.id, "completed")
    assert "tool.finished" in [event["type"] for event in told["events"]]


async def test_a_transcript_shows_a_prompt_with_its_images() -> None:
    image = ImageBlock(source={"type": "url", "url": "https://example.org/a.png"})
    run = made(["A loom"]).session().start((TextBlock(text="What is it?"), image))
    await run.wait()
    told = json.loads(json.dumps(await run.transcript()))
    assert told["prompt"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
    ]


async def test_a_run_at_work_has_a_transcript_of_what_is_saved() -> None:
    held = Held("3")
    run = begun(ScriptedModel([call("add", a=1, b=2), held]))
    await held.asked.wait()
    told = await run.transcript()
    assert (told["state"], told["output"], told["artifacts"]) == ("running", "", [])
    assert "tool.finished" in [event["type"] for event in told["events"]]
    held.let_go.set()
    await run.wait()


async def test_usage_is_that_of_all_calls_of_the_model() -> None:
    model = ScriptedModel([call("add", a=1, b=2), "3"])
    result = await begun(model).wait()
    finished = [event.payload["usage"] for event in result.events if event.type == "model.finished"]
    assert len(finished) == 2
    assert result.usage.input_tokens == sum(one["input_tokens"] for one in finished) > 0
    assert result.usage.output_tokens == sum(one["output_tokens"] for one in finished) > 0


async def test_a_result_tells_in_milliseconds_how_long_the_run_took() -> None:
    async def slow(request: ModelRequest) -> str:
        await asyncio.sleep(0.1)
        return "done"

    began_at = perf_counter()
    result = await made([slow]).run("x")
    assert 90 <= result.duration_ms <= (perf_counter() - began_at) * 1000 + 1


async def test_without_a_provider_a_run_fails_unless_a_fallback_is_wanted() -> None:
    gone = ProviderUnavailableError("no network")
    with pytest.raises(ProviderUnavailableError, match="no network"):
        await begun(ScriptedModel([gone])).wait()
    wanted = RuntimeFeatures(fallback=RuntimeFallback(mode=RuntimeFallbackMode.LOCAL_SUMMARY))
    model = ScriptedModel(["hello", gone, gone])
    session = made(model, features=wanted).session()
    assert not (await session.run("first")).is_fallback
    result = await session.run("second")
    assert (result.state, result.is_fallback, result.finish_reason) == (RunState.COMPLETED, True, "fallback")
    assert "no network" in result.output
    assert "second" in result.output
    finished = [event for event in result.events if event.type == "model.finished"]
    assert finished[0].payload["finish_reason"] == "fallback"
    told = [one async for one in session.run_streaming("third")]
    assert told == [DoneEvent(output=result.output.replace("second", "third"), iterations=1, status="fallback")]


async def test_a_context_of_another_kind_is_refused() -> None:
    wrong: dict[str, int] = {"a": 1}
    with pytest.raises(ConfigError, match="context must be RunContext, got dict"):
        made([]).session().start("x", wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (5, "got int: Input should be a valid tuple"),
        ([TextBlock(text="a"), 5], "got list: 1: Input should be"),
        ([{"type": "picture"}], "got list: 0: Input tag 'picture' found"),
        ({"type": "text", "text": "a"}, "got dict: "),
    ],
)
async def test_a_prompt_of_another_kind_is_refused_at_once_and_nothing_is_saved(prompt: Any, says: str) -> None:
    store = MemoryCheckpointer()
    session = made([], Runtime(checkpointer=store)).session()
    with pytest.raises(ConfigError, match=f"prompt must be a text, or a list of blocks .*; {says}"):
        session.start(prompt)
    assert (session.list_runs(), await store.runs(), tasks()) == ([], [], set())


@pytest.mark.parametrize(
    "prompt",
    [
        [{"type": "text", "text": "hi"}],
        [TextBlock(text="hi")],
        (TextBlock(text="hi"),),
        iter([TextBlock(text="hi")]),
        (TextBlock(text=text) for text in ["hi"]),
        b"hi",
    ],
)
async def test_a_prompt_is_read_once_and_told_as_the_model_saw_it(prompt: Any) -> None:
    model = ScriptedModel(["hello"])
    run = begun(model, prompt)
    await run.wait()
    asked = model.requests[0].messages[-1]
    assert (asked.text, asked.content) == ("hi", run.prompt)
    told = json.loads(json.dumps(await run.transcript()))["prompt"]
    assert told == ("hi" if isinstance(prompt, bytes) else [{"type": "text", "text": "hi"}])


async def test_blocks_that_are_added_to_a_list_later_are_no_part_of_the_prompt() -> None:
    blocks = [TextBlock(text="hi")]
    run = made(["hello"]).session().start(blocks)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    blocks.append(TextBlock(text="late"))
    await run.wait()
    assert (await run.transcript())["prompt"] == [{"type": "text", "text": "hi"}]


def test_a_run_begun_where_no_loop_runs_says_what_to_call() -> None:
    with pytest.raises(ConfigError, match=r"use agent\.run_sync"):
        begun(ScriptedModel([]))


async def test_a_limit_of_the_runtime_stops_a_run_by_its_name() -> None:
    from loom import Limits

    agent = made(ScriptedModel([call("add", a=1, b=1)] * 9), Runtime(limits=Limits(max_steps=5)))
    result = await agent.session().run("x")
    assert (result.state, result.stop_reason) == (RunState.STOPPED, "max_steps")
