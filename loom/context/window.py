"""A model's window: what of a conversation stands in it, and how full it is."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from loom.context.view import FRAME_TOKENS, shown, tokens_in, tokens_in_content, with_handoff
from loom.types.handoff import HandoffArtifact
from loom.types.messages import Message
from loom.types.models import ToolSchema


class Edits(BaseModel):
    """What was left out of the view of a transcript.

    `cleared` are results that were put aside: the place of each in the transcript, and the reference to it;
    `previews` says by place of how many characters of it head and tail are shown nonetheless. With a `handoff` the
    model is shown that, and what stands in the transcript from `since` on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cleared: tuple[tuple[int, str], ...] = ()
    previews: tuple[tuple[int, int], ...] = ()
    since: int = Field(default=0, ge=0)
    handoff: HandoffArtifact | None = None

    def view(self, history: Sequence[Message], messages: Sequence[Message]) -> tuple[Message, ...]:
        """Return what a model is shown of earlier runs and of this one, oldest first."""
        left = shown(messages, dict(self.cleared), dict(self.previews)) if self.cleared else messages
        if self.handoff is None:
            return tuple(history) + tuple(left)  # which copies nothing where there is no history
        return (with_handoff(left[0], self.handoff), *left[self.since :])


class Window(BaseModel):
    """How much a model takes in: `max_tokens`, of which `reserved_output_tokens` are kept for its reply."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: int = Field(default=200_000, ge=1)
    reserved_output_tokens: int = Field(default=0, ge=0)

    def tokens(self, instructions: str, view: Sequence[Message], tools: Sequence[ToolSchema]) -> int:
        """Return about how many tokens a request takes, those that are reserved for the reply included."""
        fixed = FRAME_TOKENS + tokens_in_content(instructions) + self.reserved_output_tokens
        return fixed + tokens_in(view, tools)

    def rho(self, instructions: str, view: Sequence[Message], tools: Sequence[ToolSchema]) -> float:
        """Return the pressure: the tokens of a request over those of the window."""
        return self.tokens(instructions, view, tools) / self.max_tokens
