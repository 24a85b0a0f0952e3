"""Make room in the model's window without losing anything."""

from operator import itemgetter
from typing import ClassVar

from pydantic import BaseModel, Field

from loom.context.view import last_turn, put_aside, ref_of, shown, tokens_in
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
        cleared, previews = dict(inputs.edits.cleared), dict(inputs.edits.previews)
        kept, sizes = dict[str, str](), self._largest_first(inputs)
        for place, size in sizes.items():
            if after < self.target * self.window.max_tokens:
                break
            result = inputs.messages[place]
            ref = ref_of(result.text)
            saved = size - tokens_in([put_aside(result, ref)])
            if saved > 0:
                cleared[place], kept[ref], after = ref, result.text, after - saved
                previews.pop(place, None)
        if kept:
            payload = {"strategy": "offload", "tokens_before": before, "tokens_after": after, "refs": sorted(kept)}
            ctx.emit(Event(type="context.compressed", payload=payload))
        update = {"cleared": tuple(cleared.items()), "previews": tuple(previews.items())}
        edits = inputs.edits.model_copy(update=update)
        return CompressOut(edits=edits, kept=kept, rho=after / self.window.max_tokens)

    def _largest_first(self, inputs: CompressIn) -> dict[int, int]:
        """Return, by their places, the tokens of the results that may be put aside; of some only a preview is shown."""
        messages, previews = inputs.messages, dict(inputs.edits.previews)
        cleared = dict(inputs.edits.cleared)
        results = [place for place, message in enumerate(messages) if message.role == "tool"]
        old = results[: max(len(results) - self.keep_last, 0)]
        seen = range(inputs.edits.since, last_turn(messages))
        left = [place for place in old if place in seen and (place not in cleared or place in previews)]
        view = shown(messages, cleared, previews)
        sizes = {place: tokens_in([view[place]]) for place in left}
        return dict(sorted(sizes.items(), key=itemgetter(1), reverse=True))
