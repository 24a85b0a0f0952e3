"""Make room in the model's window without losing anything."""

import hashlib
from typing import ClassVar

from pydantic import BaseModel, Field

from loom.context.view import tokens_in
from loom.context.window import Edits, Window
from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.nodes.observe import HISTORY
from loom.tools.door import as_door
from loom.types.events import Event
from loom.types.messages import Message


class CompressIn(BaseModel):
    """The conversation, oldest first, and what of it is left out already."""

    messages: tuple[Message, ...]
    edits: Edits = Edits()


class CompressOut(BaseModel):
    """What is left out now, the texts that were put aside by reference, and how full the window then is."""

    edits: Edits
    kept: dict[str, str]
    rho: float


class Compress(Node[CompressIn, CompressOut]):
    """Put the largest tool results aside, one after the other, until the pressure is below `target`.

    The `keep_last` newest results stay. Where nothing can be put aside, nothing is changed and no event tells so.
    """

    kind: ClassVar[str] = "compress"
    effect: ClassVar[Effect] = "pure"

    instructions: str = ""
    window: Window = Window()
    target: float = Field(default=0.5, gt=0, lt=1)
    keep_last: int = Field(default=2, ge=0)

    async def run(self, inputs: CompressIn, ctx: Context) -> CompressOut:
        """Call nothing; one event tells of what was put aside."""
        history, tools = ctx.resources.get(HISTORY, ()), as_door(ctx.tools).schemas()
        edits, kept = inputs.edits, dict[str, str]()

        def rho() -> float:
            return self.window.rho(self.instructions, edits.view(history, inputs.messages), tools)

        before = tokens_in(edits.view(history, inputs.messages), tools)
        for message in self._largest_first(inputs):
            if rho() < self.target:
                break
            ref = f"out_{hashlib.sha256(message.text.encode()).hexdigest()[:16]}"
            cleared = edits.model_copy(update={"cleared": {**edits.cleared, message.tool_call_id or "": ref}})
            cleared = Edits.model_validate(cleared.model_dump())
            if tokens_in(cleared.view(history, inputs.messages)) < tokens_in(edits.view(history, inputs.messages)):
                edits, kept = cleared, kept | {ref: message.text}
        after = tokens_in(edits.view(history, inputs.messages), tools)
        if kept:
            payload = {"strategy": "offload", "tokens_before": before, "tokens_after": after, "refs": sorted(kept)}
            ctx.emit(Event(type="context.compressed", payload=payload))
        return CompressOut(edits=edits, kept=kept, rho=rho())

    def _largest_first(self, inputs: CompressIn) -> list[Message]:
        shown = inputs.messages[inputs.edits.since :]
        results = [one for one in shown if one.role == "tool" and one.tool_call_id not in inputs.edits.cleared]
        old = results[: max(len(results) - self.keep_last, 0)]
        return sorted(old, key=lambda message: len(message.text), reverse=True)
