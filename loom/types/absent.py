"""What is known from elsewhere and is not here: it is refused by name, with what to use instead."""

from collections.abc import Mapping
from typing import Final

_HEARTBEAT: Final = "there is no heartbeat yet"
_HELPERS: Final = "there are no sub-agents yet; draw a graph whose nodes are agents' graphs"

# What is not here, by the room or the class that it would be in, and what is said of it.
ABSENT: Final[Mapping[str, Mapping[str, str]]] = {
    "loom.config": {
        "FilesystemWatchMethod": _HEARTBEAT,
        "HeartbeatConfig": _HEARTBEAT,
        "HeartbeatInterruptPolicy": _HEARTBEAT,
        "ResourceThresholds": _HEARTBEAT,
        "WatchConfig": _HEARTBEAT,
        "WatchKind": _HEARTBEAT,
        "ToolHandler": "a tool's handler is the function that @tool is given",
        "ToolParameterSpec": "a tool's parameters are those of its function; @tool reads them",
    },
    "loom.runtime": {
        "AgentLoop": "the loop is a graph, agent.graph",
        "LoopConfig": "the loop is a graph; its limits are loom.config.RuntimeLimits",
        "Heartbeat": _HEARTBEAT,
        "HeartbeatConfig": _HEARTBEAT,
        "WatchSource": _HEARTBEAT,
        "generate_id": "runs and sessions make ids of their own",
    },
    "loom.orchestration": {
        "CommunicationProtocol": _HELPERS,
        "CoordinationEventBus": "give AgentHarness(event_bus=…) anything with a publish method",
        "Coordinator": _HELPERS,
        "SubAgentManager": _HELPERS,
        "Task": _HELPERS,
        "TaskPlanner": "give AgentHarness(planner=…) a model, or draw a graph",
    },
    "Agent": {
        "coordinator": _HELPERS,
        "ecosystem": "there are no skills and plugins yet",
        "evolution": "there is no evolution yet",
        "mcp_bridge": "there is no MCP bridge yet",
        "working_memory": "there is no working memory; what a run knows is in `await run.transcript()`",
    },
    "Session": {"expire": "a session ends by `await session.close()`, or when its time to live is over"},
}


def refused_import(room: str, name: str) -> Exception:
    """Return what a room raises for a name that it does not have.

    For what is known to be absent that is an ImportError: an AttributeError would lose its words in a
    `from … import …`.
    """
    if reason := ABSENT[room].get(name):
        return ImportError(f'{room} has no "{name}": {reason}', name=room)
    return AttributeError(f'module "{room}" has no name "{name}"')


def refused_attribute(kind: str, name: str) -> AttributeError:
    """Return what an object raises for an attribute that its class does not have."""
    reason = ABSENT[kind].get(name)
    return AttributeError(f'{kind} has no "{name}"' + (f": {reason}" if reason else ""))
