"""Begin the conversation anew, with a handoff in the place of what was said."""

from datetime import UTC, datetime
from typing import ClassVar

from pydantic import BaseModel

from loom.context.view import handed_off, tokens_in, tokens_in_content
from loom.context.window import Edits, Window
from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.errors import ContextOverflowError
from loom.nodes.observe import HISTORY
from loom.tools.door import as_door
from loom.types.events import Event
from loom.types.messages import Message


class RenewIn(BaseModel):
    """The conversation, oldest first, and what of it is left out already."""

    messages: tuple[Message, ...]
    edits: Edits = Edits()
    rho: float = 0.0


class RenewOut(BaseModel):
    """What is left out now, and how full the window then is."""

    edits: Edits
    rho: float


class Renew(Node[RenewIn, RenewOut]):
    """Show the model the first message and a handoff: the goal, what was done, what is open. All is kept in the run."""

    kind: ClassVar[str] = "renew"
    effect: ClassVar[Effect] = "pure"

    instructions: str = ""
    window: Window = Window()

    async def run(self, inputs: RenewIn, ctx: Context) -> RenewOut:
        """Call nothing; one event tells of the renewal.

        Raises:
            ContextOverflowError: what can never be left out fills the window by itself.
        """
        history, tools = ctx.resources.get(HISTORY, ()), as_door(ctx.tools).schemas()
        before = tokens_in(inputs.edits.view(history, inputs.messages), tools)
        last = inputs.edits.handoff
        handoff = handed_off(
            inputs.messages[0].text,
            inputs.messages,
            sprint=last.sprint + 1 if last else 1,
            rho=inputs.rho,
            at=datetime.fromtimestamp(ctx.now(), UTC).isoformat(),
        )
        edits = Edits(cleared=inputs.edits.cleared, since=len(inputs.messages), handoff=handoff)
        view = edits.view(history, inputs.messages)
        rho = self.window.rho(self.instructions, view, tools)
        if rho >= 1:
            parts = {
                "instructions": tokens_in_content(self.instructions),
                "prompt and handoff": tokens_in(view),
                "tools": tokens_in((), tools),
                "reserved for the reply": self.window.reserved_output_tokens,
            }
            sizes = ", ".join(f"{name} {tokens}" for name, tokens in parts.items())
            raise ContextOverflowError(
                f"the window holds {self.window.max_tokens} tokens, and what can never be left out takes more: {sizes}"
            )
        payload = {"sprint": handoff.sprint, "tokens_before": before, "tokens_after": tokens_in(view, tools)}
        ctx.emit(Event(type="context.renewed", payload=payload))
        return RenewOut(edits=edits, rho=rho)
