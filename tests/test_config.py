"""Tests of the settings of an agent."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import loom.config
from loom import AgentConfig, ConfigError, GenerationConfig, ModelRef, tool
from loom.config import (
    MemoryBackend,
    MemoryConfig,
    PolicyConfig,
    RuntimeConfig,
    RuntimeFallbackMode,
    RuntimeFeatures,
    RuntimeLimits,
)
from loom.testing import ScriptedModel

MODEL = ModelRef.anthropic("claude-sonnet-4")


@tool
async def search(query: str) -> str:
    """Search."""
    return query


def test_the_defaults_are_the_documented_ones() -> None:
    config = AgentConfig(model=MODEL)
    assert (config.instructions, config.tools, config.memory, config.policy) == ("", [], None, None)
    assert (config.generation.temperature, config.generation.max_output_tokens) == (0.7, None)
    assert (RuntimeLimits().max_iterations, RuntimeLimits().max_context_tokens) == (100, None)
    assert RuntimeFeatures().enable_safety
    assert RuntimeFeatures().fallback.mode is RuntimeFallbackMode.ERROR
    assert MemoryConfig() == MemoryConfig(enabled=True, backend=MemoryBackend.in_memory(), namespace=None)
    assert RuntimeConfig().session_ttl_s == 24 * 3600


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, r"AgentConfig\(model=…\) is missing"),
        ({"model": "claude"}, r"AgentConfig\(model=…\) must be ModelRef or a model with a complete method, got str"),
        ({"model": MODEL, "policy": {"tools": {}}}, r"AgentConfig\(policy=…\) must be PolicyConfig, got a mapping"),
        ({"model": MODEL, "policy": "strict"}, r"AgentConfig\(policy=…\) must be .*PolicyConfig.*, got str"),
        ({"model": MODEL, "memory": True}, r"AgentConfig\(memory=…\) must be .*MemoryConfig.*, got bool"),
        ({"model": MODEL, "instructions": None}, r"AgentConfig\(instructions=…\) must be"),
        ({"model": MODEL, "tools": search}, r"AgentConfig\(tools=…\) must be a list of tools, got ToolSpec"),
        (
            {"model": MODEL, "tools": [search, print]},
            r"tools=…\) \[1\] must be a tool, got .*make a tool of it by @tool",
        ),
        ({"model": MODEL, "knowledge": ["text"]}, r"AgentConfig\(knowledge\[0\]=…\) must be KnowledgeSource, got str"),
        ({"model": MODEL, "safety_rules": [{"name": "x"}]}, r"safety_rules\[0\]=…\) must be SafetyRule, got a mapping"),
        ({"model": MODEL, "tool": [search]}, 'AgentConfig has no setting .tool.; .* Did you mean "tools"'),
        ({"model": MODEL, "heartbeat": object()}, "there is no heartbeat yet; leave it out"),
    ],
)
def test_a_wrong_setting_of_an_agent_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        AgentConfig(**given)


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        (GenerationConfig, {"temperature": -1}, "temperature"),
        (GenerationConfig, {"max_output_tokens": 0}, "max_output_tokens"),
        (RuntimeLimits, {"max_iterations": 0}, "max_iterations"),
        (RuntimeLimits, {"max_iterations": "32"}, r"RuntimeLimits\(max_iterations=…\) must be .*integer, got str"),
        (RuntimeConfig, {"extensions": {"ttl": 1}}, 'knows "session_ttl_hours" alone, got "ttl"'),
        (RuntimeConfig, {"extensions": {"session_ttl_hours": 0}}, "session_ttl_hours must be a number above 0, got 0"),
        (RuntimeConfig, {"extensions": {"session_ttl_hours": True}}, "must be a number above 0, got True"),
        (MemoryBackend, {"name": "redis"}, "name"),
        (MemoryBackend, {"name": "sqlite"}, "needs a path"),
        (MemoryBackend, {"name": "in_memory", "path": "x.db"}, "takes none else"),
        (MemoryConfig, {"backend": "sqlite"}, r"MemoryConfig\(backend=…\) must be .*MemoryBackend.*, got str"),
        (RuntimeFeatures, {"fallback": RuntimeFallbackMode.ERROR}, r"fallback=…\) must be .*RuntimeFallback"),
    ],
)
def test_a_wrong_setting_is_named(kind: type[Any], given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        kind(**given)


def test_settings_of_an_agent_may_be_given_by_position() -> None:
    generation, memory = GenerationConfig(temperature=0.1), MemoryConfig(enabled=False)
    runtime = RuntimeConfig(limits=RuntimeLimits(max_iterations=3))
    config = AgentConfig(MODEL, "Be brief", generation, [search], None, memory, None, runtime)
    assert config == AgentConfig(
        model=MODEL,
        instructions="Be brief",
        generation=generation,
        tools=[search],
        memory=memory,
        runtime=runtime,
    )
    with pytest.raises(ConfigError, match="there is no heartbeat yet"):
        AgentConfig(MODEL, "", GenerationConfig(), [], None, None, 5)


def test_a_class_is_no_model() -> None:
    with pytest.raises(ConfigError, match="got the class ScriptedModel; make one of it"):
        AgentConfig(model=ScriptedModel)


def test_a_backend_of_another_name_says_how_a_store_is_given() -> None:
    with pytest.raises(ConfigError, match=r'no memory backend "redis"; .*Runtime\(checkpointer=…\)'):
        MemoryBackend.custom("redis", options={"url": "x"})


def test_no_heartbeat_is_no_error() -> None:
    assert AgentConfig(model=MODEL, heartbeat=None).model == MODEL


def test_a_model_of_ones_own_is_taken_as_it_is() -> None:
    model = ScriptedModel(["hello"])
    assert AgentConfig(model=model).model is model


def test_settings_do_not_change_with_what_they_were_given() -> None:
    tools: list[Any] = [search]
    config = AgentConfig(model=MODEL, tools=tools)
    tools.append(search)
    assert config.tools == [search]
    with pytest.raises(ValidationError):
        config.instructions = "other"


def test_a_backend_takes_a_path_of_any_kind() -> None:
    assert MemoryBackend.sqlite(Path("a") / "b.db").path == str(Path("a") / "b.db")


def test_every_name_of_the_room_is_there() -> None:
    assert all(hasattr(loom.config, name) for name in loom.config.__all__)
    assert PolicyConfig.__name__ in loom.config.__all__


def test_a_file_of_sessions_is_named_by_a_path() -> None:
    nothing: Any = None
    with pytest.raises(ConfigError, match=r"MemoryBackend.sqlite\(path\) must be the path of a file; got None"):
        MemoryBackend.sqlite(nothing)
