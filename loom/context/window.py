"""A model's window: what of a conversation stands in it, and how full it is."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from loom.context.view import FRAME_TOKENS, shown, tokens_in, tokens_in_content
from loom.types.content import TextBlock
from loom.types.frozen import FrozenDict, FrozenTexts
from loom.types.handoff import HandoffArtifact
from loom.types.messages import Message
from loom.types.models import ToolSchema


class Edits(BaseModel):
    """What was left out of the view of a transcript.

    `cleared` are references to results that were put aside, by the id of their call. With a `handoff` only the first
    message and those from `since` on are shown, and the handoff stands for the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cleared: FrozenTexts = FrozenDict()
    since: int = Field(default=0, ge=0)
    handoff: HandoffArtifact | None = None

    def view(self, history: Sequence[Message], messages: Sequence[Message]) -> tuple[Message, ...]:
        """Return what a model is shown of earlier runs and of this one, oldest first."""
        if self.handoff is None:
            return (*history, *shown(messages, self.cleared))
        return (_with_handoff(messages[0], self.handoff), *shown(messages[self.since :], self.cleared))


def _with_handoff(first: Message, handoff: HandoffArtifact) -> Message:
    text = handoff.to_system_prompt()
    if isinstance(first.content, str):
        return first.model_copy(update={"content": f"{first.content}\n\n{text}"})
    return first.model_copy(update={"content": (*first.content, TextBlock(text=text))})


class Window(BaseModel):
    """How much a model takes in: `max_tokens`, of which `reserved_output_tokens` are kept for its reply."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: int = Field(default=200_000, ge=1)
    reserved_output_tokens: int = Field(default=0, ge=0)

    def rho(self, instructions: str, view: Sequence[Message], tools: Sequence[ToolSchema]) -> float:
        """Return the pressure: what a request takes, tools and reserved output included, over the window."""
        fixed = FRAME_TOKENS + tokens_in_content(instructions) + self.reserved_output_tokens
        return (fixed + tokens_in(view, tools)) / self.max_tokens
