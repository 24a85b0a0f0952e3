"""Decide which of the wanted tool calls may be made."""

from typing import ClassVar

from pydantic import BaseModel

from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.types.events import Event
from loom.types.messages import ToolCall


class VetoIn(BaseModel):
    """The tool calls that the model wants."""

    calls: tuple[ToolCall, ...]


class VetoOut(BaseModel):
    """For each call, in their order: why it is forbidden, or an empty text."""

    vetoes: tuple[str, ...]


class Veto(Node[VetoIn, VetoOut]):
    """Forbid the tools in `deny` and, where `allow` is given, all that are not in it. A tool in both is forbidden."""

    kind: ClassVar[str] = "veto"
    effect: ClassVar[Effect] = "pure"

    allow: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()

    async def run(self, inputs: VetoIn, ctx: Context) -> VetoOut:
        """Call nothing; each decision is an event."""
        vetoes = tuple(self.veto(call) for call in inputs.calls)
        for call, why in zip(inputs.calls, vetoes, strict=True):
            payload = {"tool": call.name, "call": call.id, "allowed": not why, "why": why}
            ctx.emit(Event(type="tool.judged", payload=payload))
        return VetoOut(vetoes=vetoes)

    def veto(self, call: ToolCall) -> str:
        """Return why a call is forbidden; empty where it is not."""
        if call.name in self.deny:
            return f'tool "{call.name}" is denied'
        if self.allow is not None and call.name not in self.allow:
            return f'tool "{call.name}" is not allowed'
        return ""
