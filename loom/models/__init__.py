"""How models are named, asked and answered. The provider client is loaded when it is first asked for."""

from typing import TYPE_CHECKING

from loom.types.messages import Message, ToolCall
from loom.types.models import Emit, Model, ModelRef, ModelReply, ModelRequest, ToolSchema
from loom.types.stream import TextDelta, ThinkingDelta
from loom.types.usage import Usage

if TYPE_CHECKING:
    from loom.models.litellm import LiteLLMModel, client

__all__ = [
    "Emit",
    "LiteLLMModel",
    "Message",
    "Model",
    "ModelRef",
    "ModelReply",
    "ModelRequest",
    "TextDelta",
    "ThinkingDelta",
    "ToolCall",
    "ToolSchema",
    "Usage",
    "client",
]


def __getattr__(name: str) -> object:
    if name not in {"LiteLLMModel", "client"}:
        raise AttributeError(f'module "{__name__}" has no attribute "{name}"')
    from loom.models import litellm

    return getattr(litellm, name)
