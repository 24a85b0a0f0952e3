"""Take in what has arrived: the prompt at first, then what came of tool calls."""

from typing import ClassVar

from pydantic import BaseModel

from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.types.messages import Message, ToolCall, ToolResult


class ObserveIn(BaseModel):
    """The prompt, the conversation so far (oldest first), and what came of the last turn's calls, in their order."""

    prompt: str
    messages: tuple[Message, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()


class ObserveOut(BaseModel):
    """What the conversation grows by."""

    messages: tuple[Message, ...]


class Observe(Node[ObserveIn, ObserveOut]):
    """Add what is new to the conversation, so that each tool call is followed by its result."""

    kind: ClassVar[str] = "observe"
    effect: ClassVar[Effect] = "pure"

    async def run(self, inputs: ObserveIn, ctx: Context) -> ObserveOut:
        """Call nothing."""
        if not inputs.messages:
            return ObserveOut(messages=(Message(role="user", content=inputs.prompt),))
        return ObserveOut(
            messages=tuple(
                Message(role="tool", name=call.name, tool_call_id=result.tool_call_id, content=result.content)
                for call, result in zip(inputs.calls, inputs.results, strict=True)
            )
        )
