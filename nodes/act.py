"""Make the tool calls that were allowed."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel

from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.errors import ToolError, ToolNotFoundError, did_you_mean, quoted
from loom.types.events import Event
from loom.types.messages import ToolCall, ToolResult
from loom.types.tools import Tool


class ActIn(BaseModel):
    """The wanted calls, and for each why it is forbidden, or an empty text."""

    calls: tuple[ToolCall, ...]
    vetoes: tuple[str, ...]


class ActOut(BaseModel):
    """What came of each call, in their order."""

    results: tuple[ToolResult, ...]


class Act(Node[ActIn, ActOut]):
    """Call tools of the runtime, one after the other. Every call gets a result: what it returned, or why it did not.

    A call that was forbidden, names no tool or fails has a result that is an error, so that the model can go on. No
    call is made twice: after a crash the run pauses and asks about the one that may or may not have been made.
    """

    kind: ClassVar[str] = "act"
    effect: ClassVar[Effect] = "write"

    async def run(self, inputs: ActIn, ctx: Context) -> ActOut:
        """Call each allowed tool once."""
        results: list[ToolResult] = []
        for number, (call, why) in enumerate(zip(inputs.calls, inputs.vetoes, strict=True), start=1):
            result = ToolResult(tool_call_id=call.id, content=why, is_error=True)
            if not why:
                made = await ctx.once(f"{number}: {call.name}", call_tool, call, ctx.tools, result_type=ToolResult)
                # None where whoever was asked said to skip it.
                result = made or result.model_copy(update={"content": f'tool "{call.name}" was skipped'})
            payload = {"tool": call.name, "call": call.id, "is_error": result.is_error}
            ctx.emit(Event(type="tool.finished", payload=payload))
            results.append(result)
        return ActOut(results=tuple(results))


async def call_tool(call: ToolCall, tools: Mapping[str, Tool]) -> ToolResult:
    """Make one call; what the tool cannot do is an error that the model is told."""
    try:
        if call.name not in tools:
            hint = did_you_mean(call.name, tools)
            raise ToolNotFoundError(f'there is no tool "{call.name}"; there are {quoted(tools)}.{hint}')
        return ToolResult(tool_call_id=call.id, content=await tools[call.name].call(call.arguments))
    except ToolError as error:
        return ToolResult(tool_call_id=call.id, content=str(error), is_error=True)
