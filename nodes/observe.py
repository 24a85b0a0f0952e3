"""Take in what has arrived: the prompt at first, then what came of tool calls."""

from typing import ClassVar

from pydantic import BaseModel

from loom.context.view import tokens_in
from loom.context.window import Window
from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.prompts.template import render
from loom.tools.door import as_door
from loom.types.content import MessageContent, TextBlock
from loom.types.messages import Message, ToolCall, ToolResult

HISTORY = "history"
"""The resource that holds the messages of earlier runs of the session, oldest first."""


class ObserveIn(BaseModel):
    """The prompt, the conversation so far (oldest first), and what came of the last turn's calls, in their order.

    `rho` is how full the model's window was before that turn.
    """

    prompt: MessageContent
    context: str = ""
    messages: tuple[Message, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()
    rho: float = 0.0


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
        if not inputs.messages:
            asked = Message(role="user", content=_asked(inputs))
            view, tools = (*ctx.resources.get(HISTORY, ()), asked), as_door(ctx.tools).schemas()
            return ObserveOut(messages=(asked,), rho=self.window.rho(self.instructions, view, tools))
        told = tuple(_told(call.name, result) for call, result in zip(inputs.calls, inputs.results, strict=True))
        grown = tokens_in((inputs.messages[-1], *told))
        return ObserveOut(messages=told, rho=inputs.rho + grown / self.window.max_tokens)


def _told(tool: str, result: ToolResult) -> Message:
    """Return a result as a message, with all fields set, so that it passes on without a copy."""
    return Message(
        role="tool",
        content=result.content,
        tool_calls=(),
        tool_call_id=result.tool_call_id,
        name=tool,
        thinking=(),
    )


def _asked(inputs: ObserveIn) -> MessageContent:
    if not inputs.context:
        return inputs.prompt
    (words,) = render("loom.nodes", "prompts/observe.j2", {"context": inputs.context})
    if isinstance(inputs.prompt, str):
        return f"{inputs.prompt}\n\n{words.text}"
    return (*inputs.prompt, TextBlock(text=words.text))
