"""Tests of the agent: its face, and what it does in a process of its own."""

import asyncio
import gc
import inspect
import json
from pathlib import Path
from threading import Event
from typing import Any
from weakref import ref

import anyio.to_thread
import pytest

import loom.agent
from loom import (
    Agent,
    AgentConfig,
    AnswerError,
    ConfigError,
    GenerationConfig,
    KnowledgeQuery,
    KnowledgeSource,
    Limits,
    ModelRef,
    ProviderError,
    Result,
    RunNotFoundError,
    Runtime,
    SessionConfig,
    SqliteCheckpointer,
    ToolPermissionError,
    VetoError,
    create_agent,
    tool,
)
from loom.config import PolicyConfig, SafetyRule, ToolAccessPolicy, ToolPolicy
from loom.runtime.records import RunState
from loom.runtime.session import Session
from loom.testing import ScriptedModel, call
from loom.types.policy import HookDecision, HookOutcome
from loom.types.stream import DoneEvent, ErrorEvent
from tests.models.local import local_model, needs_local_model
from tests.models.loopback import HELLO, MARKS, provider, silent
from tests.programs import run_python
from tests.runtime.agents import Held, made, stored, tasks

pytestmark = pytest.mark.anyio
needs_litellm, litellm_warns = MARKS[1:]


async def test_an_agent_answers() -> None:
    result = await made(["Hello"]).run("Hi")
    assert (result.state, result.output) == (RunState.COMPLETED, "Hello")


def test_an_agent_answers_where_no_loop_runs() -> None:
    agent = made(["Hello", "Again"])
    assert agent.run_sync("Hi").output == "Hello"
    assert agent.run_sync("Hi").output == "Again"


async def test_run_sync_in_a_loop_says_what_to_call() -> None:
    with pytest.raises(ConfigError, match=r"use `await agent\.run"):
        made([]).run_sync("Hi")


def test_an_agent_is_made_of_a_config_alone() -> None:
    with pytest.raises(ConfigError, match=r"Agent\(config\) must be AgentConfig, got dict"):
        Agent({"model": "x"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert isinstance(create_agent(AgentConfig(model=ScriptedModel([]))), Agent)


async def test_cancelling_who_awaits_a_run_ends_it_and_leaves_no_task(tmp_path: Path) -> None:
    held, runtime = Held("never"), stored(tmp_path / "loom.db")
    running = asyncio.create_task(made(ScriptedModel([held]), runtime).run("x"))
    await held.asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert tasks() == set()
    assert runtime.checkpointer
    assert [run.status for run in await runtime.checkpointer.runs()] == ["cancelled"]


async def test_events_are_streamed_live_and_end_with_the_run() -> None:
    held = Held("done")
    stream = made(ScriptedModel([call("add", a=1, b=2), held])).stream("x")
    seen: list[str] = []
    async for event in stream:
        seen.append(event.type)
        if event.type == "tool.finished":
            assert not held.let_go.is_set()
            held.let_go.set()
    assert (seen[0], seen[-1]) == ("run.started", "run.completed")


async def test_a_stream_raises_at_its_end_what_failed() -> None:
    stream = made([ProviderError("gone")]).stream("x")
    seen: list[str] = []

    async def read() -> None:
        async for event in stream:
            seen.append(event.type)  # noqa: PERF401 - kept when the stream raises

    with pytest.raises(ProviderError, match="gone"):
        await read()
    assert seen[-1] == "run.failed"


@pytest.mark.parametrize("how", ["stream", "run_streaming"])
async def test_leaving_a_stream_ends_its_run(how: str, tmp_path: Path) -> None:
    held, runtime = Held("never"), stored(tmp_path / "loom.db")
    agent = made(ScriptedModel([call("add", a=1, b=2), held]), runtime)
    told: Any = agent.stream("x") if how == "stream" else agent.run_streaming("x")
    async for _ in told:
        break
    await told.aclose()
    assert tasks() == set()
    assert runtime.checkpointer
    assert [run.status for run in await runtime.checkpointer.runs()] == ["cancelled"]


async def test_a_typed_stream_ends_with_done() -> None:
    kinds = [event.type async for event in made(["one two"]).run_streaming("x")]
    assert kinds == ["text_delta", "text_delta", "done"]


async def test_an_approval_may_come_from_another_agent_over_the_same_store(tmp_path: Path) -> None:
    paused = await made([call("deploy", env="prod")], stored(tmp_path / "loom.db")).run("deploy")
    other = made(["It is out"], stored(tmp_path / "loom.db"))
    with pytest.raises(AnswerError):
        await other.resume(paused.run_id, answers={"nothing": True})
    result = await other.resume(paused.run_id, answers={paused.asks[0].id: True})
    assert (result.state, result.output) == (RunState.COMPLETED, "It is out")
    assert [event.type for event in result.events].count("ask.answered") == 1


async def test_after_an_approval_another_agent_over_the_same_store_streams_on(tmp_path: Path) -> None:
    paused = await made([call("deploy", env="prod")], stored(tmp_path / "loom.db")).run("deploy")
    other = made(["It is out"], stored(tmp_path / "loom.db"))
    told = [event async for event in other.resume_streaming(paused.run_id, {paused.asks[0].id: True})]
    assert [event.type for event in told] == ["tool_result", *["text_delta"] * 3, "done"]
    assert told[-1] == DoneEvent(output="It is out", iterations=2)
    (wrong,) = [event async for event in other.resume_streaming("r9")]
    assert isinstance(wrong, ErrorEvent)
    assert 'no run "r9"' in wrong.message


async def test_leaving_a_run_that_was_resumed_ends_it_and_leaves_no_task() -> None:
    held = [Held("never"), Held("never")]
    agent = made([call("deploy", env="prod"), *held, "It is out"])
    paused = await agent.run("deploy")
    told = agent.resume_streaming(paused.run_id, {paused.asks[0].id: True})
    assert (await anext(told)).type == "tool_result"
    await held[0].asked.wait()
    await told.aclose()
    resuming = asyncio.create_task(agent.resume(paused.run_id))
    await held[1].asked.wait()
    resuming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await resuming
    assert tasks() == set()
    result = await agent.resume(paused.run_id)
    assert (result.output, [event.type for event in result.events].count("run.cancelled")) == ("It is out", 2)


DEPLOY = """
import asyncio, json, sys
from loom import AgentConfig, Runtime, SqliteCheckpointer, create_agent, tool
from loom.testing import ScriptedModel, call

@tool(requires_permission=True)
def deploy(env: str) -> str:
    print("deployed to", env)
    return "done"

def agent(*replies):
    config = AgentConfig(model=ScriptedModel(replies), tools=[deploy])
    return create_agent(config, runtime=Runtime(checkpointer=SqliteCheckpointer("loom.db")))
"""
ASKS = """
result = asyncio.run(agent(call("deploy", env="prod")).run("deploy"))
print(json.dumps([result.state, result.run_id, result.asks[0].id]))
"""
ANSWERS = """
result = asyncio.run(agent("It is out").resume({run_id!r}, answers={{{ask!r}: True}}))
print(result.state, result.output)
"""


def test_an_approval_may_come_from_another_process(tmp_path: Path) -> None:
    state, run_id, ask = json.loads(run_python(DEPLOY + ASKS, tmp_path))
    assert state == "paused"
    said = run_python(DEPLOY + ANSWERS.format(run_id=run_id, ask=ask), tmp_path)
    assert said.splitlines() == ["deployed to prod", "completed It is out"]


async def test_a_run_that_is_not_there_cannot_be_resumed() -> None:
    with pytest.raises(RunNotFoundError, match='no run "r9"'):
        await made([]).resume("r9")


async def test_resuming_a_completed_run_gives_its_result_again() -> None:
    model = ScriptedModel(["Hello"])
    agent = made(model)
    first = await agent.run("Hi")
    again = await agent.resume(first.run_id)
    assert (again.output, again.state, len(model.requests)) == ("Hello", RunState.COMPLETED, 1)


@pytest.mark.parametrize(
    ("answer", "content", "is_error"),
    [
        ("skip", 'the call of tool "pay" was skipped', True),
        (Result({"result": {"tool_call_id": "call_1", "content": "paid"}}), "paid", False),
    ],
)
async def test_what_was_answered_about_a_call_in_doubt_is_told_once(answer: Any, content: str, is_error: bool) -> None:
    @tool
    async def pay() -> None:
        await asyncio.Event().wait()

    runtime = Runtime(limits=Limits(grace_s=0))
    agent = made([call("pay"), ProviderError("gone"), "Done."], runtime, tools=[pay])
    run = agent.session().start("Pay.")
    async for event in run.events():
        if event.type == "tool.started":
            run.cancel()
    (ask,) = (await agent.resume(run.run_id)).asks
    with pytest.raises(ProviderError, match="gone"):
        await agent.resume(run.run_id, answers={ask.id: answer})
    result = await agent.resume(run.run_id)
    assert result.output == "Done."
    finished = [event.payload for event in result.events if event.type == "tool.finished"]
    assert finished == [{"tool": "pay", "call_id": "call_1", "is_error": is_error, "content": content}]


@needs_litellm
@litellm_warns
async def test_an_agent_whose_provider_says_nothing_stops_at_its_deadline_and_goes_on_later(tmp_path: Path) -> None:
    store, hung_up = SqliteCheckpointer(tmp_path / "loom.db"), Event()
    with provider(HELLO, silent(hung_up)) as server:
        config = AgentConfig(model=server.ref)
        patient = create_agent(config, runtime=Runtime(checkpointer=store))
        assert (await patient.run("Hi")).output == "Hello"
        hasty = create_agent(config, runtime=Runtime(checkpointer=store, limits=Limits(deadline_s=0.5)))
        result = await hasty.run("x")
        assert await anyio.to_thread.run_sync(hung_up.wait, 5)
    assert (result.state, result.stop_reason) == (RunState.STOPPED, "deadline")
    later = create_agent(config, runtime=Runtime(checkpointer=store, models=ScriptedModel(["At last"])))
    assert (await later.resume(result.run_id)).output == "At last"


async def test_resuming_raises_what_running_raises() -> None:
    agent = made([ProviderError("gone"), ProviderError("still gone")])
    run = agent.session().start("x")
    with pytest.raises(ProviderError, match="gone"):
        await run.wait()
    with pytest.raises(ProviderError, match="still gone"):
        await agent.resume(run.run_id)


async def test_tools_are_called_through_the_door() -> None:
    rule = SafetyRule.when_argument_equals(
        name="no_seven", reason="Seven is taken", tool_name="add", argument="a", value=7
    )
    agent = made(
        [], safety_rules=[rule], policy=PolicyConfig(tools=ToolPolicy(access=ToolAccessPolicy(deny=["broken"])))
    )
    assert (await agent.tools.call("add", a=1, b=2)).text == "3"
    with pytest.raises(VetoError, match="Seven is taken"):
        await agent.tools.call("add", a=7, b=2)
    with pytest.raises(ToolPermissionError):
        await agent.tools.call("broken")
    with pytest.raises(ToolPermissionError):
        await agent.tools.call("deploy", env="prod")


async def test_a_hook_may_have_a_person_asked() -> None:
    agent = made([call("add", a=1, b=2), "3"])
    seen: list[str] = []

    def before(context: dict[str, Any]) -> HookOutcome:
        seen.append(context["tool"])
        return HookOutcome(decision=HookDecision.ASK, message="sums are costly")

    agent.hook_manager.register("before_tool_call", before)
    result = await agent.run("1 + 2?")
    assert (result.state, seen) == (RunState.PAUSED, ["add"])
    assert "sums are costly" in result.asks[0].question
    assert (await agent.resume(result.run_id, {result.asks[0].id: True})).output == "3"


def test_an_agent_draws_itself() -> None:
    agent = made([])
    assert agent.graph.draw("svg").startswith("<?xml")
    assert "veto" in agent.graph.draw("mermaid")


async def test_knowledge_of_an_agent_is_ranked_with_citations() -> None:
    sources = [KnowledgeSource.inline("docs", ["Staging is automatic.", "Production deploys require approval."])]
    found = made([], knowledge=sources).resolve_knowledge(KnowledgeQuery(text="production approval", top_k=1))
    assert [item.content for item in found.items] == ["Production deploys require approval."]
    assert found.citations[0].source_name == "docs"


async def test_a_session_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"agent.session\(config\) must be SessionConfig, got str"):
        made([]).session("demo")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_closing_an_agent_ends_all_its_runs() -> None:
    held, other = Held("never"), Held("never")
    async with made(ScriptedModel([held, other])) as agent:
        runs = [agent.session().start("x"), agent.session(SessionConfig(id="a")).start("y")]
        await held.asked.wait()
        await other.asked.wait()
    assert [run.state for run in runs] == [RunState.CANCELLED, RunState.CANCELLED]
    assert tasks() == set()


async def test_of_many_sessions_those_that_live_are_kept_and_those_that_are_over_let_go() -> None:
    agent = made([])
    live, closed = agent.session(SessionConfig(id="live")), list[ref[Session]]()
    for number in range(250):
        session = agent.session(SessionConfig(id=str(number)))
        await session.close()
        closed.append(ref(session))
    gc.collect()
    assert agent.session(SessionConfig(id="live")) is live
    assert sum(one() is not None for one in closed) <= 100


MAKING = """
import sys
sys.dont_write_bytecode = True
import loom.agent, loom.runtime, loom.orchestration
from loom import *
from loom.config import *
memory = MemoryConfig(backend=MemoryBackend.sqlite("m.db"))
agent = create_agent(AgentConfig(model=ModelRef.anthropic("claude-sonnet-4"), memory=memory))
agent.session(SessionConfig(id="x"))
agent.graph.draw()
print([name for name in ("litellm", "openai", "mcp") if name in sys.modules])
"""


def test_making_an_agent_writes_no_file_and_loads_no_client(tmp_path: Path) -> None:
    assert run_python(MAKING, tmp_path) == "[]"
    assert list(tmp_path.iterdir()) == []


def test_everything_public_says_what_it_does() -> None:
    public = [value for name, value in vars(loom.agent.Agent).items() if not name.startswith("_")]
    assert all(inspect.getdoc(value) for value in public)


@pytest.mark.slow
@needs_local_model
async def test_an_agent_with_a_real_small_model_streams_and_ends() -> None:
    with local_model() as ref:
        generation = GenerationConfig(temperature=0, max_output_tokens=48)
        async with create_agent(AgentConfig(model=ref, generation=generation)) as agent:
            told = [event async for event in agent.run_streaming("What is the capital of France?")]
    words = [event.delta for event in told if event.type == "text_delta"]
    end = told[-1]
    assert end.type == "done", end
    assert end.status in ("success", "length")  # so small a model talks on until it is cut off
    assert (end.output, end.iterations) == ("".join(words), 1)
    assert len(words) > 3


def test_a_telemetry_that_is_none_is_refused() -> None:
    wrong: Any = "console"
    with pytest.raises(ConfigError, match=r"telemetry=…\) must be a loom\.telemetry\.Telemetry, got str"):
        create_agent(AgentConfig(model=ScriptedModel([])), telemetry=wrong)


def test_a_model_of_an_unknown_provider_is_refused_when_the_agent_is_made() -> None:
    config = AgentConfig(model=ModelRef("anthropics", "claude"))
    with pytest.raises(ConfigError, match='unknown provider "anthropics"'):
        create_agent(config)
    create_agent(config, runtime=Runtime(models=ScriptedModel([])))
