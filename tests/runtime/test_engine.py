"""Tests of what stands behind an agent."""

import os
from pathlib import Path
from typing import Any

import pytest

from loom import (
    AgentConfig,
    ConfigError,
    ModelRef,
    NodeError,
    Runtime,
    SessionConfig,
    SqliteCheckpointer,
    create_agent,
    tool,
)
from loom.config import GenerationConfig, MemoryBackend, MemoryConfig, RuntimeFeatures, SafetyRule
from loom.errors import ProviderUnavailableError
from loom.testing import ScriptedModel, call
from tests.runtime.agents import add, made, stored

pytestmark = pytest.mark.anyio
CLAUDE = ModelRef.anthropic("claude-sonnet-4")
BLOCKED = SafetyRule.block_tool(name="no_add", reason="No sums today", tool_names=["add"])


@pytest.mark.parametrize("one_for_all", [True, False])
async def test_a_runtime_replaces_the_configured_model(one_for_all: bool) -> None:
    model = ScriptedModel(["hello"])
    runtime = Runtime(models=model if one_for_all else {CLAUDE.identifier: model})
    agent = create_agent(AgentConfig(model=CLAUDE), runtime=runtime)
    assert (await agent.run("hi")).output == "hello"


async def test_a_missing_key_is_named_and_nothing_is_invented() -> None:
    with pytest.raises(ProviderUnavailableError, match="ANTHROPIC_API_KEY"):
        await create_agent(AgentConfig(model=CLAUDE)).run("hi")


async def test_a_key_of_another_name_is_named() -> None:
    ref = ModelRef("openai", "gpt-5", api_key_env="TEAM_KEY")
    with pytest.raises(ProviderUnavailableError, match="TEAM_KEY"):
        await create_agent(AgentConfig(model=ref)).run("hi")


async def test_generation_settings_reach_the_model() -> None:
    model = ScriptedModel(["a", "b"])
    await made(model, generation=GenerationConfig(temperature=0.1, max_output_tokens=99)).run("x")
    await made(model).run("x")
    first, second = model.requests
    assert (first.temperature, first.max_output_tokens) == (0.1, 99)
    assert (second.temperature, second.max_output_tokens) == (0.7, None)


@pytest.mark.parametrize(
    ("settings", "runtime", "says"),
    [
        ({}, "fast", r"Agent\(runtime=…\) must be a Runtime, got str"),
        ({}, Runtime(tools={"add": add}), r"give them as AgentConfig\(tools=…\), where policy sees them"),
        ({"generation": GenerationConfig(extensions={"seed": 1})}, None, "a model of your own has none"),
        ({"tools": [add, add]}, None, 'two tools have the name "add"'),
    ],
)
def test_what_does_not_fit_together_is_refused(settings: dict[str, Any], runtime: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        made([], runtime, **settings)


def test_two_stores_are_refused(tmp_path: Path) -> None:
    memory = MemoryConfig(backend=MemoryBackend.sqlite(tmp_path / "a.db"))
    with pytest.raises(ConfigError, match="give one of them"):
        made([], stored(tmp_path / "b.db"), memory=memory)


async def test_rules_hold_unless_safety_is_off_and_policy_always() -> None:
    model = ScriptedModel([call("add", a=1, b=1), "ok", call("add", a=1, b=1), "ok"])
    await made(model, safety_rules=[BLOCKED]).run("x")
    await made(model, safety_rules=[BLOCKED], features=RuntimeFeatures(enable_safety=False)).run("x")
    assert "No sums today" in model.requests[1].messages[-1].text
    assert model.requests[3].messages[-1].text == "2"


async def test_a_key_that_comes_into_the_environment_later_is_shown_by_no_tool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @tool(read_only=True)
    async def show() -> str:
        """Show the key."""
        return f"the key is {os.environ['OPENAI_API_KEY']}"

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config = AgentConfig(model=ModelRef.openai("gpt-4o"), tools=[show])
    agent = create_agent(config, runtime=Runtime(models=ScriptedModel([])))
    door = agent.tools
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-late-0001")
    assert (await door.call("show")).content == "the key is [redacted]"


async def test_the_graph_alone_says_where_its_model_is_to_be_given() -> None:
    model = ScriptedModel(["a"])
    graph = made(model).graph
    with pytest.raises(NodeError, match=r'run the agent, or give Runtime\(models=\{"given:ScriptedModel": …\}\)'):
        await graph.run({"prompt": "x"})
    result = await graph.run({"prompt": "x"}, runtime=Runtime(models={"given:ScriptedModel": model}))
    assert result.state.output == "a"


async def test_closing_closes_its_own_store_and_leaves_a_given_one(tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    async with made(["a"], memory=MemoryConfig(backend=MemoryBackend.sqlite(path))) as agent:
        await agent.run("x")
    assert not path.with_name("own.db-wal").exists() or path.with_name("own.db-wal").stat().st_size == 0
    store = SqliteCheckpointer(tmp_path / "given.db")
    async with made(["a"], Runtime(checkpointer=store)) as agent:
        await agent.run("x")
    assert len(await store.runs()) == 1
    assert (tmp_path / "given.db-wal").stat().st_size > 0
    await store.close()


async def test_a_failed_run_is_resumed_where_it_failed(tmp_path: Path) -> None:
    model = ScriptedModel([call("add", a=1, b=2), ValueError("odd"), "3"])
    agent = made(model, stored(tmp_path / "loom.db"))
    run = agent.session(SessionConfig(id="s")).start("x")
    with pytest.raises(NodeError):
        await run.wait()
    result = await agent.resume(run.run_id)
    assert result.output == "3"
    assert [event.type for event in result.events].count("tool.finished") == 1
