"""The agent: think, and use tools, until there is nothing more to do.

```mermaid
```
"""

from collections.abc import Collection
from typing import Annotated

from loom.core.declared import END, START
from loom.core.graph import Graph
from loom.core.state import State, append
from loom.nodes.act import Act
from loom.nodes.observe import Observe
from loom.nodes.reason import Reason
from loom.nodes.veto import Veto
from loom.types.messages import Message, ToolCall, ToolResult
from loom.types.models import ModelRef


class AgentState(State):
    """One conversation. `messages` is all of it, oldest first; the rest is the last turn."""

    prompt: str
    messages: Annotated[tuple[Message, ...], append] = ()
    calls: tuple[ToolCall, ...] = ()
    vetoes: tuple[str, ...] = ()
    results: tuple[ToolResult, ...] = ()
    output: str = ""


def agent(
    model: ModelRef,
    *,
    instructions: str = "",
    allow: Collection[str] | None = None,
    deny: Collection[str] = (),
) -> Graph[AgentState]:
    """Make an agent that may use the tools of its runtime, but not those in `deny` nor, given `allow`, any other."""
    graph = Graph("agent", AgentState)
    graph.node("observe", Observe())
    graph.node("reason", Reason(model=model, instructions=instructions))
    graph.node("veto", Veto(allow=None if allow is None else frozenset(allow), deny=frozenset(deny)))
    graph.node("act", Act())

    graph.edge(START, "observe", "reason")
    graph.switch("reason", {"calls": "veto"}, otherwise=END)
    graph.edge("veto", "act", "observe")
    return graph
