"""Tests of a run that goes on after an answer: what is live, what is told, who ends it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from loom import AnswerError, ConfigError, GenerationConfig, GraphChangedError, ProviderError, SessionConfig
from loom.config import RuntimeFeatures, RuntimeLimits
from loom.runtime.records import RunState
from loom.runtime.run import Run
from loom.testing import call
from loom.types.events import Event
from loom.types.stream import DoneEvent, ErrorEvent, StreamEvent, TextDelta, ToolResultEvent
from tests.runtime.agents import Held, deploy, made, stored, tasks

pytestmark = pytest.mark.anyio

DEPLOYED = ToolResultEvent(tool_call_id="call_1", name="deploy", content="deployed 1 to prod")


async def paused(*later: object) -> tuple[Run, str]:
    """Return a run that waits for a permission to deploy, and the ask's id; `later` is what the model says then."""
    run = made([call("deploy", env="prod"), *later]).session().start("Deploy")
    (ask,) = (await run.wait()).asks
    return run, ask.id


async def all_of(told: AsyncIterator[StreamEvent]) -> list[StreamEvent]:
    return [event async for event in told]


async def events_of(run: Run, after: int | None = 0) -> list[Event]:
    return [event async for event in run.events(after)]


async def test_a_stream_after_an_answer_tells_what_comes_then_piece_by_piece_and_nothing_from_before() -> None:
    run, ask = await paused("It is out")
    told = await all_of(run.answer_streaming({ask: True}))
    words = [TextDelta(delta=word) for word in ("It ", "is ", "out")]
    assert told == [DEPLOYED, *words, DoneEvent(output="It is out", iterations=2)]
    assert run.state is RunState.COMPLETED
    assert (await run.wait()).output == "It is out"


async def test_a_stream_after_an_answer_is_live() -> None:
    held = Held("It is out")
    run, ask = await paused(held)
    told = run.answer_streaming({ask: True})
    assert await anext(told) == DEPLOYED
    assert run.state is RunState.RUNNING
    held.let_go.set()
    assert (await all_of(told))[-1] == DoneEvent(output="It is out", iterations=2)


async def test_each_answer_is_streamed_until_the_run_asks_again() -> None:
    run, ask = await paused(call("deploy", env="test"), "Both")
    first = await all_of(run.answer_streaming({ask: True}))
    assert first[-1] == DoneEvent(output="", iterations=2, status="paused")
    (ask,) = [one.id for one in (await run.wait()).asks]
    second = await all_of(run.answer_streaming({ask: False}))
    assert [event.type for event in second] == ["tool_result", "text_delta", "done"]
    assert second[-1] == DoneEvent(output="Both", iterations=3)


@pytest.mark.parametrize("wrapped", [False, True])
async def test_events_that_are_opened_right_after_an_answer_was_given_are_live_to_its_end(wrapped: bool) -> None:
    held = Held("It is out")
    run, ask = await paused(held)
    before = [event for event in await events_of(run) if event.offset]
    answer = run.answer({ask: True})
    answering = asyncio.create_task(asyncio.wait_for(answer, 5) if wrapped else answer)
    told, new, late = [asyncio.create_task(events_of(run, after)) for after in (0, None, before[-1].offset)]
    await held.asked.wait()
    held.let_go.set()
    whole = await told
    assert (await answering).output == "It is out"
    assert whole[: len(before)] == before
    assert await new == await late == whole[len(before) :]
    assert [event.payload["delta"] for event in await new if event.type == "model.delta"] == ["It ", "is ", "out"]
    numbered = [event.offset for event in whole if event.offset]
    assert numbered == list(range(1, len(numbered) + 1))
    assert [event.type for event in whole if event.type.startswith("run.")] == [
        "run.started", "run.paused", "run.started", "run.completed",
    ]  # fmt: skip


async def test_a_reader_in_another_task_sees_what_comes_while_an_answer_is_worked_on() -> None:
    held = Held("It is out")
    run, ask = await paused(held)
    answering = asyncio.create_task(run.answer({ask: True}))
    await held.asked.wait()
    reading = asyncio.create_task(all_of(run.stream(after=None)))
    held.let_go.set()
    assert await reading == [DEPLOYED, *(await reading)[1:]]
    assert [event.type for event in await reading] == ["tool_result", *["text_delta"] * 3, "done"]
    assert (await answering).state is RunState.COMPLETED


async def test_after_its_end_a_run_is_told_from_the_beginning_or_from_the_answer_on() -> None:
    run, ask = await paused("It is out")
    await run.answer({ask: True})
    kinds = [event.type for event in await all_of(run.stream())]
    assert [kind for kind in kinds if kind != "tool_call_delta"] == [
        "tool_call",
        "tool_result",
        *["text_delta"] * 3,
        "done",
    ]
    assert [event.type for event in await all_of(run.stream(None))] == ["tool_result", *["text_delta"] * 3, "done"]


async def test_a_wrong_answer_ends_its_stream_with_the_error_and_the_run_still_waits() -> None:
    run, ask = await paused("It is out")
    for wrong in ({ask: "perhaps"}, {"other": True}):
        (told,) = await all_of(run.answer_streaming(wrong))
        assert isinstance(told, ErrorEvent)
        assert next(iter(wrong)) in told.message
        assert run.state is RunState.PAUSED
    assert (await all_of(run.answer_streaming({ask: True})))[-1] == DoneEvent(output="It is out", iterations=2)


async def test_who_reads_or_waits_while_another_gives_a_wrong_answer_hears_that_the_run_waits() -> None:
    run, ask = await paused("It is out")
    before = await events_of(run)
    answering = asyncio.create_task(run.answer({ask: "perhaps"}))
    reading, streaming = asyncio.create_task(events_of(run)), asyncio.create_task(all_of(run.stream()))
    assert (await run.wait()).asks[0].id == ask
    right = asyncio.create_task(run.answer({ask: True}))  # at once, though the wrong one may not be over
    with pytest.raises(AnswerError):
        await answering
    assert [event for event in await reading if event.offset] == [event for event in before if event.offset]
    assert (await streaming)[-1] == DoneEvent(output="", iterations=1, status="paused")
    assert (await right).output == "It is out"


async def test_an_answer_to_a_run_that_is_still_at_work_is_given_once_it_waits() -> None:
    run = made([call("deploy", env="prod"), "It is out"]).session().start("Deploy")
    async for event in run.events():
        if event.type == "ask.opened":
            told = await all_of(run.answer_streaming({event.payload["id"]: True}))
            assert told[-1] == DoneEvent(output="It is out", iterations=2)
    assert run.state is RunState.COMPLETED


async def test_an_answer_to_a_run_that_failed_tells_of_the_failure() -> None:
    run = made([ProviderError("gone")]).session().start("x")
    assert await all_of(run.answer_streaming({"a": True})) == [ErrorEvent(message="gone")]
    with pytest.raises(ProviderError, match="gone"):
        await run.answer({"a": True})


async def test_a_failure_after_an_answer_is_the_last_of_its_stream() -> None:
    run, ask = await paused(ProviderError("gone"))
    assert await all_of(run.answer_streaming({ask: True})) == [DEPLOYED, ErrorEvent(message="gone")]
    assert run.state is RunState.FAILED


async def test_leaving_the_stream_of_an_answer_ends_the_run_and_leaves_no_task() -> None:
    run, ask = await paused(Held("never"))
    told = run.answer_streaming({ask: True})
    assert await anext(told) == DEPLOYED
    await told.aclose()
    with anyio.fail_after(5):
        assert (await run.wait()).state is RunState.CANCELLED
    assert tasks() == set()


@pytest.mark.parametrize("how", ["run", "run_streaming", "answer_streaming"])
async def test_where_who_reads_is_in_a_scope_that_is_cancelled_the_run_has_ended_when_the_scope_has(how: str) -> None:
    held = Held("never")
    run, ask = await paused(held)
    agent = made([held])

    async def read() -> None:
        if how == "run":
            await agent.run("x")
        await all_of(agent.run_streaming("x") if how == "run_streaming" else run.answer_streaming({ask: True}))

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await held.asked.wait()
        group.cancel_scope.cancel()
    assert tasks() == set()


async def test_leaving_a_stream_of_the_run_leaves_it_alone_after_an_answer_too() -> None:
    held = Held("It is out")
    run, ask = await paused(held)
    answering = asyncio.create_task(run.answer({ask: True}))
    told = run.stream(after=None)
    assert await anext(told) == DEPLOYED
    await told.aclose()
    held.let_go.set()
    assert (await answering).output == "It is out"


async def test_a_stream_that_is_closed_late_does_not_end_what_came_after_it() -> None:
    held = Held("It is out")
    session = made([call("deploy", env="prod"), held]).session(SessionConfig(id="s"))
    told = session.run_streaming("Deploy")
    async for event in told:
        if event.type == "done":
            break
    (run,) = session.list_runs()
    (ask,) = (await run.wait()).asks
    answering = asyncio.create_task(run.answer({ask.id: True}))
    await held.asked.wait()
    await told.aclose()
    held.let_go.set()
    assert (await answering).output == "It is out"


async def test_cancelling_while_an_answer_is_worked_on_ends_its_stream_as_cancelled() -> None:
    held = Held("never")
    run, ask = await paused(held)
    reading = asyncio.create_task(all_of(run.answer_streaming({ask: True})))
    await held.asked.wait()
    run.cancel()
    assert await reading == [DEPLOYED, DoneEvent(output="", iterations=1, status="cancelled")]
    assert (await run.wait()).state is RunState.CANCELLED


async def test_cancelling_before_an_answer_is_worked_on_makes_no_call_and_keeps_the_answer() -> None:
    agent = made([call("deploy", env="prod"), "It is out"])
    run = agent.session().start("Deploy")
    (ask,) = (await run.wait()).asks
    answering = asyncio.create_task(run.answer({ask.id: True}))
    run.cancel()
    result = await answering
    assert (result.state, run.state) == (RunState.CANCELLED, RunState.CANCELLED)
    assert "tool.started" not in [event.type for event in result.events]
    assert (await agent.resume(run.run_id)).output == "It is out"


async def test_cancelling_a_run_that_waits_changes_nothing() -> None:
    run, ask = await paused("It is out")
    run.cancel()
    assert run.state is RunState.PAUSED
    assert (await run.answer({ask: True})).output == "It is out"


async def test_cancelling_who_awaits_an_answer_leaves_the_run_alone() -> None:
    held = Held("It is out")
    run, ask = await paused(held)
    answering = asyncio.create_task(run.answer({ask: True}))
    await held.asked.wait()
    answering.cancel()
    held.let_go.set()
    assert (await run.wait()).output == "It is out"


async def test_closing_the_agent_ends_a_run_that_was_answered() -> None:
    agent = made([call("deploy", env="prod"), Held("never")])
    run = agent.session().start("Deploy")
    (ask,) = (await run.wait()).asks
    told = run.answer_streaming({ask.id: True})
    assert await anext(told) == DEPLOYED
    await agent.close()
    assert (await run.wait()).state is RunState.CANCELLED
    await told.aclose()
    assert tasks() == set()


# Other settings than those that the run was begun with.


@pytest.mark.parametrize(
    "settings",
    [
        {"instructions": "Be brief"},
        {"generation": GenerationConfig(temperature=0.1)},
        {"generation": GenerationConfig(max_output_tokens=10)},
    ],
    ids=str,
)
async def test_a_paused_run_goes_on_under_other_settings_when_that_is_said(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    agent = made([call("deploy", env="prod")], stored(tmp_path / "loom.db"))
    result = await agent.session(SessionConfig(id="s")).run("Deploy")
    answers = {result.asks[0].id: True}
    other = made(["It is out", "Yes"], stored(tmp_path / "loom.db"), **settings)
    with pytest.raises(GraphChangedError, match=r'or go on with .*on_change="continue"'):
        await other.resume(result.run_id, answers)
    (refused,) = await all_of(other.resume_streaming(result.run_id, answers))
    assert isinstance(refused, ErrorEvent)
    told = await all_of(other.resume_streaming(result.run_id, answers, on_change="continue"))
    assert told[-1] == DoneEvent(output="It is out", iterations=2)
    await other.session(SessionConfig(id="s")).run("Sure?")
    assert (await agent.resume(result.run_id, on_change="continue")).output == "It is out"


@pytest.mark.parametrize(
    "settings",
    [
        {"limits": RuntimeLimits(max_iterations=3)},
        {"features": RuntimeFeatures(enable_safety=False)},
        {"tools": [deploy]},
        {"session_ttl_hours": 1},
    ],
    ids=str,
)
async def test_other_limits_tools_and_features_are_no_change(settings: dict[str, Any], tmp_path: Path) -> None:
    result = await made([call("deploy", env="prod")], stored(tmp_path / "loom.db")).run("Deploy")
    other = made(["It is out"], stored(tmp_path / "loom.db"), **settings)
    assert (await other.resume(result.run_id, {result.asks[0].id: True})).output == "It is out"


async def test_a_run_that_went_on_elsewhere_under_other_settings_is_answered_where_it_was_begun(tmp_path: Path) -> None:
    calls = [call("deploy", env="prod"), call("deploy", env="test")]
    run = made([calls, "Out"], stored(tmp_path / "loom.db")).session().start("Deploy")
    first, second = (await run.wait()).asks
    other = made([], stored(tmp_path / "loom.db"), instructions="Be brief")
    await other.resume(run.run_id, {first.id: True}, on_change="continue")
    assert (await run.answer({second.id: True})).output == "Out"


async def test_a_run_is_resumed_under_the_new_name_of_a_node(tmp_path: Path) -> None:
    agent = made([call("deploy", env="prod"), "Out"], stored(tmp_path / "loom.db"))
    result = await agent.run("Deploy")
    with pytest.raises(ConfigError, match='"nothing" is no node of the run'):
        await agent.resume(result.run_id, rename={"nothing": "act"})
    wrong: Any = "perhaps"
    with pytest.raises(ConfigError, match=r'on_change=…\) must be "raise" or "continue"'):
        await agent.resume(result.run_id, on_change=wrong)


async def test_a_run_that_waits_for_its_turn_is_cancelled_at_once_and_holds_nobody_up() -> None:
    held = Held("one")
    agent = made([held, "three"])
    session = agent.session()
    first, second, third = (session.start(prompt) for prompt in ("1", "2", "3"))
    await held.asked.wait()
    second.cancel()
    async with asyncio.timeout(5):
        result = await second.wait()
        assert (result.state, result.events, second.state) == (RunState.CANCELLED, [], RunState.CANCELLED)
        assert await events_of(second) == []
        assert await all_of(second.stream()) == [DoneEvent(output="", iterations=0, status="cancelled")]
    assert first.state is RunState.RUNNING
    held.let_go.set()
    assert [(await run.wait()).output for run in (first, third)] == ["one", "three"]


async def test_who_is_timed_out_while_a_run_waits_for_its_turn_leaves_at_once() -> None:
    held = Held("one")
    session = made([held, "three"]).session()
    first = session.start("1")
    await held.asked.wait()
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.run("2"), 0.05)
    assert [run.state for run in session.list_runs()] == [RunState.RUNNING, RunState.CANCELLED]
    held.let_go.set()
    await first.wait()
    assert (await session.run("3")).output == "three"


@pytest.mark.parametrize("how", ["resume", "answer"])
async def test_an_answer_that_is_cancelled_while_it_waits_for_its_turn_is_not_taken(how: str) -> None:
    held = Held("one")
    agent = made([call("deploy", env="prod"), held, "It is out"])
    session = agent.session()
    run = session.start("Deploy")
    (ask,) = (await run.wait()).asks
    before = len(await events_of(run))
    other = session.start("1")
    await held.asked.wait()
    async with asyncio.timeout(5):
        if how == "resume":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(agent.resume(run.run_id, {ask.id: True}), 0.05)
        else:
            answer = asyncio.create_task(run.answer({ask.id: True}))
            await asyncio.sleep(0.05)
            run.cancel()
            assert (await answer).state is RunState.CANCELLED
    assert other.state is RunState.RUNNING
    assert (run.state, len(await events_of(run))) == (RunState.PAUSED, before)
    held.let_go.set()
    await other.wait()
    assert (await run.answer({ask.id: False})).output == "It is out"
