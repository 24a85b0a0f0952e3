"""What a model streams while it replies."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


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
