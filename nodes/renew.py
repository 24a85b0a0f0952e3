"""Begin the conversation anew, with a handoff in the place of what was said."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar

from pydantic import BaseModel

from loom.context.view import LEAST_PREVIEW, handed_off, last_turn, put_aside, ref_of, tokens_in, tokens_in_content
from loom.context.window import Edits, Window
from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.errors import ContextOverflowError
from loom.nodes.observe import HISTORY
from loom.tools.door import as_door
from loom.types.events import Event
from loom.types.handoff import HandoffArtifact
from loom.types.messages import Message


class RenewIn(BaseModel):
    """The conversation, oldest first, what of it is left out already, and how full the window is."""

    messages: tuple[Message, ...]
    edits: Edits = Edits()
    rho: float = 0.0


class RenewOut(BaseModel):
    """What is left out now, the texts that were put aside by reference, and how full the window then is."""

    edits: Edits
    kept: dict[str, str]
    rho: float


class Renew(Node[RenewIn, RenewOut]):
    """Show the model a handoff: the goal, what was done, also in earlier runs. All is kept in the run.

    The model's last turn is shown too, as it has not seen the results yet. Where there is no room for them, the
    largest are put aside, with previews as long as fit; where there is none for the turn, the handoff tells them.
    Where a handoff would make no room, nothing is changed and no event tells so.
    """

    kind: ClassVar[str] = "renew"
    effect: ClassVar[Effect] = "pure"

    instructions: str = ""
    window: Window = Window()

    async def run(self, inputs: RenewIn, ctx: Context) -> RenewOut:
        """Call nothing; one event tells of the renewal.

        Raises:
            ContextOverflowError: what can never be left out fills the window by itself.
        """
        tools, size = as_door(ctx.tools).schemas(), self.window.max_tokens
        earlier, last = ctx.resources.get(HISTORY, ()), inputs.edits.handoff
        view = inputs.edits.view(earlier, inputs.messages)
        before = after = self.window.tokens(self.instructions, view, tools)
        sprint, at = last.sprint + 1 if last else 1, datetime.fromtimestamp(ctx.now(), UTC).isoformat()
        handoff = partial(handed_off, inputs.messages, earlier=earlier, sprint=sprint, rho=inputs.rho, at=at)
        edits = inputs.edits
        for edits in self._ways(inputs, handoff):
            view = edits.view((), inputs.messages)
            after = self.window.tokens(self.instructions, view, tools)
            if after < size:
                break
        if before <= after and before < size:
            return RenewOut(edits=inputs.edits, kept={}, rho=before / size)
        if after >= size:
            parts = {
                "instructions": tokens_in_content(self.instructions),
                "prompt and handoff": tokens_in(view),
                "tools": tokens_in((), tools),
                "reserved for the reply": self.window.reserved_output_tokens,
            }
            sizes = ", ".join(f"{name} {tokens}" for name, tokens in parts.items())
            raise ContextOverflowError(
                f"the window holds {size} tokens, and what can never be left out takes {after}: {sizes}; "
                "shorten it, or use a model with a larger window"
            )
        kept = {ref: inputs.messages[place].text for place, ref in edits.cleared}
        payload = {"sprint": sprint, "tokens_before": before, "tokens_after": after, "refs": sorted(kept)}
        ctx.emit(Event(type="context.renewed", payload=payload))
        return RenewOut(edits=edits, kept=kept, rho=after / size)

    def _ways(self, inputs: RenewIn, handoff: Callable[..., HandoffArtifact]) -> Iterator[Edits]:
        """Yield what may be left out, ever more of it."""
        messages, room = inputs.messages, self.window.max_tokens
        since = last_turn(messages)
        cleared = {place: ref for place, ref in inputs.edits.cleared if place >= since}
        edits = Edits(cleared=tuple(cleared.items()), since=since, handoff=handoff(room=room))
        yield edits
        unseen = {place: one for place, one in enumerate(messages[since:], since) if one.role == "tool"}
        # So many characters as the window has tokens take a quarter of it: no result shows more, then half of that, …
        for shown in (*_halves(room), 0):
            aside = {place: ref_of(one.text) for place, one in unseen.items() if _is_less(one, shown)}
            previews = tuple((place, shown) for place in aside if shown)
            update = {"cleared": tuple((cleared | aside).items()), "previews": previews}
            yield edits.model_copy(update=update)
        told = tuple((place, ref_of(one.text)) for place, one in unseen.items() if len(one.text) > LEAST_PREVIEW)
        for words in (room, LEAST_PREVIEW):
            briefly = handoff(room=words, unseen=tuple(unseen.values()))
            yield Edits(cleared=told, since=len(messages), handoff=briefly)


def _halves(room: int) -> Iterator[int]:
    while room >= LEAST_PREVIEW:
        yield room
        room //= 2


def _is_less(result: Message, shown: int) -> bool:
    return tokens_in([put_aside(result, ref_of(result.text), shown)]) < tokens_in([result])
