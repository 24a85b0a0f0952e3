"""The agent: think, and use tools, until there is nothing more to do.

```mermaid
flowchart TD
    accTitle: Graph agent
    START((START)):::terminal
    observe>"<b>observe</b><br/>pure"]:::kind_observe
    reason("<b>reason</b><br/>model"):::kind_reason
    veto{{"<b>veto</b><br/>pure"}}:::kind_veto
    act["<b>act</b><br/>write"]:::kind_act
    END((END)):::terminal
    START --> observe
    observe --> reason
    reason -->|"calls"| veto
    reason -.->|"otherwise"| END
    veto --> act
    act --> observe
    classDef terminal fill:#0f172a,stroke:#0f172a,color:#ffffff
    classDef kind_observe fill:#ccfbf1,stroke:#0d9488,color:#0f172a
    classDef kind_reason fill:#e0e7ff,stroke:#4f46e5,color:#0f172a
    classDef kind_veto fill:#fee2e2,stroke:#dc2626,color:#0f172a
    classDef kind_act fill:#dcfce7,stroke:#15803d,color:#0f172a
    classDef gate stroke-width:4px
    class veto gate
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
