"""Ask the model what to do next."""

from typing import ClassVar

from pydantic import BaseModel

from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.prompts.template import render
from loom.types.messages import Message, ToolCall
from loom.types.models import ModelRef


class ReasonIn(BaseModel):
    """The conversation so far, oldest first."""

    messages: tuple[Message, ...]


class ReasonOut(BaseModel):
    """What the conversation grows by, the tool calls that the model wants, and what it said."""

    messages: tuple[Message, ...]
    calls: tuple[ToolCall, ...]
    output: str


class Reason(Node[ReasonIn, ReasonOut]):
    """Ask `model`, which is offered every tool of the runtime. `instructions` are the same bytes on every turn."""

    kind: ClassVar[str] = "reason"
    effect: ClassVar[Effect] = "model"

    model: ModelRef
    instructions: str = ""

    async def run(self, inputs: ReasonIn, ctx: Context) -> ReasonOut:
        """Make one model call."""
        system = render("loom.nodes", "prompts/reason.j2", {"instructions": self.instructions})
        tools = [tool.schema for tool in ctx.tools.values()]
        reply = await ctx.model(self.model).complete((*system, *inputs.messages), tools=tools)
        turn = Message(role="assistant", content=reply.text, tool_calls=reply.tool_calls)
        return ReasonOut(messages=(turn,), calls=reply.tool_calls, output=reply.text)
