"""A secret is looked for everywhere: in events, logs, stores, transcripts, errors and what tools say."""

import json
import logging
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from loom import (
    Agent,
    AgentConfig,
    ModelRef,
    ProviderError,
    RunContext,
    Runtime,
    SessionConfig,
    SqliteCheckpointer,
    create_agent,
    tool,
)
from loom.config import MemoryConfig
from loom.testing import ScriptedModel, call

pytestmark = pytest.mark.anyio
KEY = "sk-ant-canary-0123456789"  # in the environment, by the name that the provider's key has
REGISTERED = 'canary "registered" \\ 42'  # what JSON writes otherwise
CANARIES = (KEY, REGISTERED)
# As JSON writes them, and once more where JSON stands in JSON.
FORMS = {form for one in CANARIES for form in (one, json.dumps(one)[1:-1], json.dumps(json.dumps(one))[3:-3])}


@tool
async def spill(text: str) -> str:
    """Give back what it got, and what it knows."""
    return f"got {text}, know {KEY} and {REGISTERED}"


@tool
async def burst(text: str) -> str:
    """Fail with what it knows."""
    raise ValueError(f"no {text}, {KEY}, {REGISTERED}")


@tool(requires_permission=True)
async def guarded(text: str) -> dict[str, str]:
    """Give JSON."""
    return {"key": KEY, REGISTERED: text}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


def an_agent(path: Path, replies: Sequence[Any]) -> Agent:
    config = AgentConfig(
        model=ModelRef.anthropic("claude-sonnet-4"), tools=[spill, burst, guarded], memory=MemoryConfig()
    )
    store = SqliteCheckpointer(path)
    return create_agent(
        config, runtime=Runtime(models=ScriptedModel(replies), checkpointer=store, secrets=(REGISTERED,))
    )


def leaks(where: str, told: object) -> list[str]:
    """Return where a canary is seen."""
    text = told if isinstance(told, str) else repr(told)
    return [f"{where}: …{text[max(text.index(form) - 80, 0) :][:160]}" for form in FORMS if form in text]


def leaks_in_files(folder: Path) -> list[str]:
    forms = {form.encode() for form in FORMS}
    files = list(folder.iterdir())
    assert any(path.name.endswith("-wal") for path in files)
    return [f"{path.name}: {form!r}" for path in files for form in forms if form in path.read_bytes()]


async def test_a_secret_is_seen_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    both = f"{KEY} and {REGISTERED}"
    replies = [
        f"I heard {both}",
        [call("spill", text=both), call("burst", text=both), call("nothing", text=both), call("spill", wrong=both)],
        call("guarded", text=both),
        f"The end: {both}",
    ]
    agent = an_agent(tmp_path / "loom.db", replies)
    session = agent.session(SessionConfig(id="s"))
    found: list[str] = []
    async for told in session.run_streaming(f"Keep {both}", RunContext(inputs={"key": KEY, "other": [REGISTERED]})):
        found += leaks("stream", told)
    run = session.start(f"Use {both}")
    async for event in run.events():
        found += leaks("event", event)
    paused = await run.wait()
    assert paused.asks[0].kind == "approve"
    found += leaks("paused", paused) + leaks("asks", paused.asks)
    result = await run.answer({paused.asks[0].id: True})
    assert result.output.startswith("The end: ")
    for one in (session, run, agent, result, result.events, result.artifacts, await run.artifacts()):
        found += leaks(type(one).__name__, one)
    found += leaks("transcript", json.dumps(await run.transcript()))
    found += leaks("transcript", await run.transcript())
    found += leaks("log", caplog.text) + leaks("output", "".join(capfd.readouterr()))
    found += leaks_in_files(tmp_path)
    assert found == []


@pytest.mark.parametrize("kind", [ProviderError, ValueError, KeyError])
async def test_a_secret_is_in_no_error(kind: type[Exception], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    error = kind(f"401: {KEY} is no key, nor is {REGISTERED}")
    agent = an_agent(tmp_path / "loom.db", [error, kind(f"again {KEY}, {REGISTERED}")])
    told = [event async for event in agent.run_streaming("x")]
    assert told[-1].type == "error"
    found = leaks("stream", told)
    run = agent.session().start("x")
    with pytest.raises(Exception, match="redacted") as caught:
        await run.wait()
    found += leaks("error", "".join(traceback.format_exception(caught.value)))
    found += leaks("transcript", await run.transcript())
    found += leaks("log", caplog.text) + leaks_in_files(tmp_path)
    assert found == []


async def test_a_secret_is_in_nothing_that_a_tool_gives_when_it_is_called_directly(tmp_path: Path) -> None:
    agent = an_agent(tmp_path / "loom.db", [])
    found = leaks("result", await agent.tools.call("spill", text="x"))
    found += leaks("failure", await agent.tools.call("burst", text="x"))
    with pytest.raises(Exception, match="requires permission") as caught:
        await agent.tools.call("guarded", text=KEY)
    assert found + leaks("refusal", "".join(traceback.format_exception(caught.value))) == []


async def test_a_key_under_a_name_of_ones_own_is_a_secret_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_KEY", REGISTERED)
    ref = ModelRef("openai", "gpt-5", api_key_env="TEAM_KEY")
    runtime = Runtime(models=ScriptedModel([f"It is {REGISTERED}"]), checkpointer=SqliteCheckpointer(tmp_path / "l.db"))
    agent = create_agent(AgentConfig(model=ref), runtime=runtime)
    told = [event async for event in agent.stream("x")]
    assert leaks("events", told) + leaks("config", agent.config) + leaks_in_files(tmp_path) == []
    assert "It is [redacted]" in repr(told)
