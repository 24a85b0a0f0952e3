"""What a tool is, whoever made it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from loom.types.content import MessageContent
from loom.types.models import ToolSchema


@runtime_checkable
class Tool(Protocol):
    """Something a model may call. `loom.tools.tool` makes one of a function.

    A tool that lacks one of these is denied by the door: what does not say that it is harmless is not taken to be.
    """

    @property
    def name(self) -> str:
        """The name the model calls it by."""
        ...

    @property
    def schema(self) -> ToolSchema:
        """What the model is told of it."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether a call changes nothing."""
        ...

    @property
    def destructive(self) -> bool:
        """Whether a call may destroy what cannot be brought back."""
        ...

    @property
    def concurrency_safe(self) -> bool:
        """Whether calls may run at the same time as others."""
        ...

    @property
    def idempotent(self) -> bool:
        """Whether a second equal call does no more than the first."""
        ...

    @property
    def requires_permission(self) -> bool:
        """Whether a person is asked before each call."""
        ...

    @property
    def contexts(self) -> Sequence[str]:
        """The policy contexts it may be used in; empty: all."""
        ...

    @property
    def max_output_chars(self) -> int:
        """How much of a result a model is shown."""
        ...

    @property
    def effect(self) -> Literal["read", "write"]:
        """What a call does to the world."""
        ...

    # Any: the arguments are the model's own JSON, validated by the tool.
    async def call(self, arguments: Mapping[str, Any]) -> MessageContent:
        """Validate the arguments, do the work, return the result as text or blocks."""
        ...
