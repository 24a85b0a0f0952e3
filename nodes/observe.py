"""Take in what has arrived: the prompt at first, then what came of tool calls."""

from typing import ClassVar

from pydantic import BaseModel

from loom.context.window import Edits, Window
from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.prompts.template import render
from loom.tools.door import as_door
from loom.types.content import MessageContent, TextBlock
from loom.types.messages import Message, ToolCall, ToolResult

HISTORY = "history"
"""The resource that holds the messages of earlier runs of the session, oldest first."""


class ObserveIn(BaseModel):
    """The prompt, the conversation so far (oldest first), and what came of the last turn's calls, in their order."""

    prompt: MessageContent
    context: str = ""
    messages: tuple[Message, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()
    edits: Edits = Edits()


class ObserveOut(BaseModel):
    """What the conversation grows by, and how full the model's window then is."""

    messages: tuple[Message, ...]
    rho: float


class Observe(Node[ObserveIn, ObserveOut]):
    """Add what is new to the conversation, so that each tool call is followed by its result.

    `instructions` are those of the model that will be asked: they take room in its `window` too.
    """

    kind: ClassVar[str] = "observe"
    effect: ClassVar[Effect] = "pure"

    instructions: str = ""
    window: Window = Window()

    async def run(self, inputs: ObserveIn, ctx: Context) -> ObserveOut:
        """Call nothing."""
        new = (_asked(inputs),) if not inputs.messages else tuple(_answered(inputs))
        view = inputs.edits.view(ctx.resources.get(HISTORY, ()), (*inputs.messages, *new))
        return ObserveOut(messages=new, rho=self.window.rho(self.instructions, view, as_door(ctx.tools).schemas()))


def _asked(inputs: ObserveIn) -> Message:
    if isinstance(inputs.prompt, str):
        (message,) = render("loom.nodes", "prompts/observe.j2", {"prompt": inputs.prompt, "context": inputs.context})
        return message
    if not inputs.context:
        return Message(role="user", content=inputs.prompt)
    (words,) = render("loom.nodes", "prompts/observe.j2", {"prompt": "", "context": inputs.context})
    return Message(role="user", content=(*inputs.prompt, TextBlock(text=words.text)))


def _answered(inputs: ObserveIn) -> list[Message]:
    return [
        Message(role="tool", name=call.name, tool_call_id=result.tool_call_id, content=result.content)
        for call, result in zip(inputs.calls, inputs.results, strict=True)
    ]
