"""What a model reads and writes: messages, tool calls and their results."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from loom.types.content import MessageContent, text_of
from loom.types.frozen import FrozenDict, FrozenJson

Role = Literal["system", "user", "assistant", "tool"]

MALFORMED = "malformed_arguments"
"""The only argument of a call whose arguments the model wrote wrong, as no JSON object: what it wrote instead."""


class ToolCall(BaseModel):
    """A model's wish to call a tool. `arguments` is what it wrote, not yet validated.

    Where that is no JSON object it is a text under the name `MALFORMED`; such a call is denied, and the model told.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    arguments: FrozenJson = FrozenDict()


class ToolResult(BaseModel):
    """What came of one tool call. `tool_call_id` says of which."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool_call_id: str
    content: MessageContent
    is_error: bool = False

    @property
    def text(self) -> str:
        """The text of the content."""
        return text_of(self.content)


class Message(BaseModel):
    """One turn of a conversation: a text, or blocks of text, images and documents.

    `tool_calls` belongs to role `assistant`; `tool_call_id` and `name` to role `tool`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    content: MessageContent = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        """The text of the content."""
        return text_of(self.content)
