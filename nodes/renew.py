"""Begin the conversation anew, with a handoff in the place of what was said."""

from datetime import UTC, datetime
from typing import ClassVar

from pydantic import BaseModel

from loom.context.view import handed_off, last_turn, tokens_in, tokens_in_content
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
    """What is left out now, and how full the window then is."""

    edits: Edits
    rho: float


class Renew(Node[RenewIn, RenewOut]):
    """Show the model a handoff: the goal, what was done. All is kept in the run.

    The results of its last turn, which it has not seen yet, are shown too if there is room for them. Where a handoff
    would make no room, nothing is changed and no event tells so.
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
        old = inputs.edits.view(ctx.resources.get(HISTORY, ()), inputs.messages)
        before = self.window.tokens(self.instructions, old, tools)
        handoff = self._handoff(inputs, ctx.now())
        edits, view, after = inputs.edits, old, before
        for since in (last_turn(inputs.messages), len(inputs.messages)):
            cleared = tuple(one for one in inputs.edits.cleared if one[0] >= since)
            edits = Edits(cleared=cleared, since=since, handoff=handoff)
            view = edits.view((), inputs.messages)
            after = self.window.tokens(self.instructions, view, tools)
            if after < size:
                break
        if before <= after and before < size:
            return RenewOut(edits=inputs.edits, rho=before / size)
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
        payload = {"sprint": handoff.sprint, "tokens_before": before, "tokens_after": after}
        ctx.emit(Event(type="context.renewed", payload=payload))
        return RenewOut(edits=edits, rho=after / size)

    def _handoff(self, inputs: RenewIn, now: float) -> HandoffArtifact:
        last = inputs.edits.handoff
        at = datetime.fromtimestamp(now, UTC).isoformat()
        sprint = last.sprint + 1 if last else 1
        return handed_off(inputs.messages, sprint=sprint, rho=inputs.rho, at=at, max_tokens=self.window.max_tokens)
