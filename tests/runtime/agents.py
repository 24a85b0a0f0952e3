"""Agents for tests: a script for a model, three tools."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loom import Agent, AgentConfig, Runtime, SqliteCheckpointer, create_agent, tool
from loom.config import MemoryConfig, RuntimeConfig, RuntimeFeatures, RuntimeLimits
from loom.testing import ScriptedModel
from loom.types.models import ModelRequest


@tool(read_only=True, concurrency_safe=True)
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(requires_permission=True)
async def deploy(env: str, version: int = 1) -> str:
    """Deploy to an environment."""
    return f"deployed {version} to {env}"


@tool(read_only=True)
async def broken() -> str:
    """Fail."""
    raise ValueError("the disk is full")


# Any: settings of an agent, which the agent judges.
def made(
    model: ScriptedModel | Sequence[Any],
    runtime: Runtime | None = None,
    session_ttl_hours: float = 24,
    limits: RuntimeLimits | None = None,
    features: RuntimeFeatures | None = None,
    **settings: Any,
) -> Agent:
    """Return an agent that remembers, has the three tools, and replies as it is told."""
    given = model if isinstance(model, ScriptedModel) else ScriptedModel(model)
    config: dict[str, Any] = {"model": given, "tools": [add, deploy, broken], "memory": MemoryConfig()}
    config["runtime"] = RuntimeConfig(
        limits=limits or RuntimeLimits(),
        features=features or RuntimeFeatures(),
        extensions={"session_ttl_hours": session_ttl_hours},
    )
    return create_agent(AgentConfig(**config | settings), runtime=runtime)


def stored(path: Path) -> Runtime:
    """Return a runtime whose runs are kept in a file."""
    return Runtime(checkpointer=SqliteCheckpointer(path))


def said(request: ModelRequest) -> list[tuple[str, str]]:
    """Return who said what in a request."""
    return [(message.role, message.text) for message in request.messages]


class Held:
    """A reply that waits until it is let go; `asked` is set when the model is asked."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked = asyncio.Event()
        self.let_go = asyncio.Event()

    async def __call__(self, request: ModelRequest) -> str:
        self.asked.set()
        await self.let_go.wait()
        return self.text


def tasks() -> set[str]:
    """Return the names of our tasks that are at work in this event loop."""
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("loom")}
