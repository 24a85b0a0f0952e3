r"""The agent: think, and use tools, until there is nothing more to do.

```mermaid
flowchart TD
    accTitle: Graph agent
    START((START)):::terminal
    observe>"<b>observe</b><br/>pure"]:::kind_observe
    compress[\"<b>compress</b><br/>pure"/]:::kind_compress
    renew(["<b>renew</b><br/>pure"]):::kind_renew
    reason("<b>reason</b><br/>model"):::kind_reason
    veto{{"<b>veto</b><br/>pure"}}:::kind_veto
    approve{{"<b>approve</b><br/>pure"}}:::kind_approve
    act["<b>act</b><br/>write"]:::kind_act
    END((END)):::terminal
    START --> observe
    observe -->|"<b>1.</b> rho >= 0.95"| renew
    observe -->|"<b>2.</b> rho >= 0.7"| compress
    observe -.->|"otherwise"| reason
    compress -->|"rho >= 0.95"| renew
    compress -.->|"otherwise"| reason
    renew --> reason
    reason -->|"calls"| veto
    reason -.->|"otherwise"| END
    veto -->|"open_questions > 0"| approve
    veto -.->|"otherwise"| act
    approve --> act
    act --> observe
    classDef terminal fill:#0f172a,stroke:#0f172a,color:#ffffff
    classDef kind_observe fill:#ccfbf1,stroke:#0d9488,color:#0f172a
    classDef kind_compress fill:#f3e8ff,stroke:#9333ea,color:#0f172a
    classDef kind_renew fill:#fae8ff,stroke:#a21caf,color:#0f172a
    classDef kind_reason fill:#e0e7ff,stroke:#4f46e5,color:#0f172a
    classDef kind_veto fill:#fee2e2,stroke:#dc2626,color:#0f172a
    classDef kind_approve fill:#ffedd5,stroke:#c2410c,color:#0f172a
    classDef kind_act fill:#dcfce7,stroke:#15803d,color:#0f172a
    classDef gate stroke-width:4px
    class veto,approve gate
```
"""

from typing import Annotated

from loom.context.window import Edits, Window
from loom.core.declared import END, START
from loom.core.graph import Graph
from loom.core.state import State, append, merge
from loom.errors import ConfigError, short
from loom.nodes.act import Act
from loom.nodes.approve import Approve
from loom.nodes.compress import Compress
from loom.nodes.observe import Observe
from loom.nodes.reason import Reason
from loom.nodes.renew import Renew
from loom.nodes.veto import Veto
from loom.types.content import MessageContent
from loom.types.decisions import Decision
from loom.types.messages import Message, ToolCall, ToolResult
from loom.types.models import ModelRef


class AgentState(State):
    """One conversation. `messages` is all of it, oldest first, and `edits` what the model is not shown of it.

    `calls`, `decisions`, `approved`, `results` and `finish_reason` are those of the last turn; `turns` counts the
    model's. `kept` are long texts by reference. `session` and `number` tell which run of which session this is.
    """

    prompt: MessageContent
    context: str = ""
    session: str = ""
    number: int = 0
    messages: Annotated[tuple[Message, ...], append] = ()
    edits: Edits = Edits()
    rho: float = 0.0
    turns: int = 0
    calls: tuple[ToolCall, ...] = ()
    decisions: tuple[Decision, ...] = ()
    open_questions: int = 0
    approved: tuple[str, ...] = ()
    results: tuple[ToolResult, ...] = ()
    kept: Annotated[dict[str, str], merge] = {}
    output: str = ""
    finish_reason: str = ""


def agent(
    model: ModelRef,
    *,
    instructions: str = "",
    temperature: float | None = None,
    temperature_is_default: bool = False,
    max_output_tokens: int | None = None,
    max_iterations: int = 100,
    max_context_tokens: int = 200_000,
    compress_at: float = 0.7,
    renew_at: float = 0.95,
    approval_expires_s: float = 86_400.0,
) -> Graph[AgentState]:
    """Make an agent that may use the tools of its runtime, each call through their door.

    It ends when the model calls no tool. After `max_iterations` turns of the model a run is stopped, as by a limit;
    a resource `max_turns` of the runtime stands above that. From a pressure of `compress_at` on large tool results are
    put aside; from `renew_at` on the conversation begins anew with a handoff.

    Raises:
        ConfigError: `model` is no `ModelRef`.
    """
    if not isinstance(model, ModelRef):
        raise ConfigError(
            f'graph "agent": model must be a ModelRef, as ModelRef.parse("openai/gpt-5"); got {short(model)}'
        )
    window = Window(max_tokens=max_context_tokens, reserved_output_tokens=max_output_tokens or 0)
    graph = Graph("agent", AgentState)
    graph.node("observe", Observe(instructions=instructions, window=window, max_turns=max_iterations))
    graph.node("compress", Compress(instructions=instructions, window=window, target=compress_at * 0.7))
    graph.node("renew", Renew(instructions=instructions, window=window))
    graph.node(
        "reason",
        Reason(
            model=model,
            instructions=instructions,
            temperature=temperature,
            temperature_is_default=temperature_is_default,
            max_output_tokens=max_output_tokens,
        ),
    )
    graph.node("veto", Veto())
    graph.node("approve", Approve(expires_s=approval_expires_s))
    graph.node("act", Act())

    graph.edge(START, "observe")
    graph.switch(
        "observe",
        {f"rho >= {renew_at}": "renew", f"rho >= {compress_at}": "compress"},
        otherwise="reason",
    )
    graph.switch("compress", {f"rho >= {renew_at}": "renew"}, otherwise="reason")
    graph.edge("renew", "reason")
    graph.switch("reason", {"calls": "veto"}, otherwise=END)
    graph.switch("veto", {"open_questions > 0": "approve"}, otherwise="act")
    graph.edge("approve", "act", "observe")
    return graph
