"""What a tool is, whoever made it."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from loom.types.models import ToolSchema


@runtime_checkable
class Tool(Protocol):
    """Something a model may call. `loom.tools.tool` makes one of a function."""

    @property
    def name(self) -> str:
        """The name the model calls it by."""
        ...

    @property
    def schema(self) -> ToolSchema:
        """What the model is told of it."""
        ...

    # Any: the arguments are the model's own JSON, validated by the tool.
    async def call(self, arguments: Mapping[str, Any]) -> str:
        """Validate the arguments, do the work, return the result as text."""
        ...
