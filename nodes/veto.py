"""Decide which of the wanted tool calls may be made."""

from typing import ClassVar

from pydantic import BaseModel

from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.tools.door import as_door
from loom.types.assembly import unchecked
from loom.types.decisions import Decision
from loom.types.events import Event, happened
from loom.types.messages import ToolCall


class VetoIn(BaseModel):
    """The tool calls that the model wants."""

    calls: tuple[ToolCall, ...]


class VetoOut(BaseModel):
    """What was decided of each call, in their order, and how many a person is to be asked about."""

    decisions: tuple[Decision, ...]
    open_questions: int


_out = unchecked(VetoOut)


class Veto(Node[VetoIn, VetoOut]):
    """Have the door of the runtime's tools judge each call: policy, rate limit, safety rules, hooks.

    Tools that stand behind no door of their own are judged by the default policy.
    """

    kind: ClassVar[str] = "veto"
    effect: ClassVar[Effect] = "pure"

    async def run(self, inputs: VetoIn, ctx: Context) -> VetoOut:
        """Call no tool; each decision is an event."""
        door = as_door(ctx.tools)
        decisions = [await door.judge(call, run_id=ctx.run_id) for call in inputs.calls]
        for decision in decisions:
            ctx.emit(judged(decision))
        asked = [decision.outcome for decision in decisions].count("ask")
        return _out(decisions=tuple(decisions), open_questions=asked)


def judged(decision: Decision) -> Event:
    """Return a decision as an event."""
    payload = {
        "call_id": decision.call_id,
        "tool": decision.tool,
        "outcome": decision.outcome,
        "by": decision.by,
        "rule": decision.rule,
        "reason": decision.reason,
        "digest": decision.digest,
    }
    return happened(type="veto.denied" if decision.outcome == "deny" else "tool.judged", payload=payload)
