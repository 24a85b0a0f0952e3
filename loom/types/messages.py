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


class ThinkingBlock(BaseModel):
    """Reasoning of a model that its provider wants back, unchanged, with the turn that it belongs to.

    `signature` is the provider's seal on `text`. What the provider shows only enciphered is in `redacted`, without a
    text. It stood after so many characters of the turn's text and so many of its tool calls.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = ""
    signature: str = ""
    redacted: str = ""
    after_text: int = 0
    after_calls: int = 0


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

    `tool_calls` and `thinking` belong to role `assistant`; `tool_call_id` and `name` to role `tool`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    content: MessageContent = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    thinking: tuple[ThinkingBlock, ...] = ()

    @property
    def text(self) -> str:
        """The text of the content."""
        return text_of(self.content)
