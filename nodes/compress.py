"""Make room in the model's window without losing anything."""

from typing import ClassVar

from pydantic import BaseModel, Field

from loom.context.view import last_turn, put_aside, ref_of, tokens_in
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

    The `keep_last` newest results stay, and those that the model has not seen yet. Where nothing can be put aside,
    nothing is changed and no event tells so.
    """

    kind: ClassVar[str] = "compress"
    effect: ClassVar[Effect] = "pure"

    instructions: str = ""
    window: Window = Window()
    target: float = Field(default=0.5, gt=0, lt=1)
    keep_last: int = Field(default=2, ge=0)

    async def run(self, inputs: CompressIn, ctx: Context) -> CompressOut:
        """Call nothing; one event tells of what was put aside."""
        view = inputs.edits.view(ctx.resources.get(HISTORY, ()), inputs.messages)
        before = after = self.window.tokens(self.instructions, view, as_door(ctx.tools).schemas())
        cleared, kept = inputs.edits.cleared, dict[str, str]()
        for place in self._largest_first(inputs):
            if after < self.target * self.window.max_tokens:
                break
            result = inputs.messages[place]
            ref = ref_of(result.text)
            saved = tokens_in([result]) - tokens_in([put_aside(result, ref)])
            if saved > 0:
                cleared, kept, after = (*cleared, (place, ref)), kept | {ref: result.text}, after - saved
        if kept:
            payload = {"strategy": "offload", "tokens_before": before, "tokens_after": after, "refs": sorted(kept)}
            ctx.emit(Event(type="context.compressed", payload=payload))
        edits = inputs.edits.model_copy(update={"cleared": cleared})
        return CompressOut(edits=edits, kept=kept, rho=after / self.window.max_tokens)

    def _largest_first(self, inputs: CompressIn) -> list[int]:
        """Return the places of the results that may be put aside."""
        messages, cleared = inputs.messages, dict(inputs.edits.cleared)
        results = [place for place, message in enumerate(messages) if message.role == "tool"]
        old = results[: max(len(results) - self.keep_last, 0)]
        shown = range(inputs.edits.since, last_turn(messages))
        left = [place for place in old if place in shown and place not in cleared]
        return sorted(left, key=lambda place: tokens_in([messages[place]]), reverse=True)
