"""How models are named, asked and answered. The provider client is loaded when it is first asked for."""

from importlib import import_module
from typing import TYPE_CHECKING

from loom.types.messages import Message, ToolCall
from loom.types.models import Emit, Model, ModelRef, ModelReply, ModelRequest, ToolSchema
from loom.types.stream import ModelDelta, TextDelta, ThinkingDelta, ToolCallDelta
from loom.types.usage import Usage

if TYPE_CHECKING:
    from loom.models.litellm import LiteLLMModel, client
    from loom.models.pool import close

__all__ = [
    "Emit",
    "LiteLLMModel",
    "Message",
    "Model",
    "ModelDelta",
    "ModelRef",
    "ModelReply",
    "ModelRequest",
    "TextDelta",
    "ThinkingDelta",
    "ToolCall",
    "ToolCallDelta",
    "ToolSchema",
    "Usage",
    "client",
    "close",
]


_HOMES = {"LiteLLMModel": "litellm", "client": "litellm", "close": "pool"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f'module "{__name__}" has no name "{name}"')
    value: object = getattr(import_module(f"loom.models.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
