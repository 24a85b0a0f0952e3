"""What a model streams while it replies, and what an agent's stream adds to it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class TextDelta(BaseModel):
    """A piece of the reply's text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["text_delta"] = "text_delta"
    delta: str = ""


class ThinkingDelta(BaseModel):
    """A piece of the model's visible reasoning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["thinking"] = "thinking"
    delta: str = ""


class ToolCallDelta(BaseModel):
    """A piece of a tool call as the model writes it. `arguments` is a piece of JSON text.

    `index` counts the calls of the reply from 0. Each piece has the `id` and `name` as far as they are known; some
    providers give no id, and then the finished call has one that was made for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["tool_call_delta"] = "tool_call_delta"
    index: int = Field(default=0, ge=0)
    id: str = ""
    name: str = ""
    arguments: str = ""


class ToolCallEvent(BaseModel):
    """The model calls a tool."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["tool_call"] = "tool_call"
    id: str = ""
    name: str = ""
    # Any: the arguments are the model's own JSON; each tool validates them against its schema.
    arguments: dict[str, Any] = {}


class ToolResultEvent(BaseModel):
    """What came of a tool call, as text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["tool_result"] = "tool_result"
    tool_call_id: str = ""
    name: str = ""
    content: str = ""
    is_error: bool = False


class DoneEvent(BaseModel):
    """The stream's last event, unless the run failed. `iterations` counts the model's turns.

    `status` is `success` where the model came to its end, else what came instead: why the run was stopped, `paused`,
    `cancelled`, or the finish reason of a reply that is no whole answer, such as `length`, `refusal` or `fallback`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["done"] = "done"
    output: str = ""
    iterations: int = Field(default=0, ge=0)
    status: str = "success"


class ErrorEvent(BaseModel):
    """The stream's last event when something went wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["error"] = "error"
    message: str = ""


# What a model emits while it replies.
ModelDelta = TextDelta | ThinkingDelta | ToolCallDelta

# What an agent's stream gives.
StreamEvent = Annotated[
    TextDelta | ThinkingDelta | ToolCallDelta | ToolCallEvent | ToolResultEvent | DoneEvent | ErrorEvent,
    Field(discriminator="type"),
]
