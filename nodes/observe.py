"""Take in what has arrived: the prompt at first, then what came of tool calls."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from loom.context.view import tokens_in
from loom.context.window import Window
from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.prompts.template import render
from loom.tools.door import as_door
from loom.types.assembly import unchecked
from loom.types.content import MessageContent, TextBlock
from loom.types.given import check_count
from loom.types.messages import Message, ToolCall, ToolResult

HISTORY = "history"
"""The resource that holds the messages of earlier runs of the session, oldest first."""

MAX_TURNS = "max_turns"
"""The resource that says after how many turns of the model a run stops, where it is another number than the node's."""


class ObserveIn(BaseModel):
    """The prompt, the conversation so far (oldest first), and what came of the last turn's calls, in their order.

    `rho` is how full the model's window was before that turn, the last of `turns`.
    """

    prompt: MessageContent
    context: str = ""
    messages: tuple[Message, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()
    rho: float = 0.0
    turns: int = 0


class ObserveOut(BaseModel):
    """What the conversation grows by, and how full the model's window then is."""

    messages: tuple[Message, ...]
    rho: float


_message, _out = unchecked(Message), unchecked(ObserveOut)


class Observe(Node[ObserveIn, ObserveOut]):
    """Add what is new to the conversation, so that each tool call is followed by its result.

    `instructions` are those of the model that will be asked: they take room in its `window` too. After `max_turns`
    turns of the model, or as many as the runtime says, the run is stopped: what came of the last calls is added by a
    resume with a higher limit.
    """

    kind: ClassVar[str] = "observe"
    effect: ClassVar[Effect] = "pure"

    instructions: str = ""
    window: Window = Window()
    max_turns: Annotated[int, Field(ge=1)] | None = None

    async def run(self, inputs: ObserveIn, ctx: Context) -> ObserveOut:
        """Call nothing.

        Raises:
            ConfigError: the runtime's limit of turns is no whole number of at least 1.
        """
        max_turns: int | None = ctx.resources.get(MAX_TURNS, self.max_turns)
        if max_turns is not None:
            check_count(f'the resource "{MAX_TURNS}"', max_turns)
        if max_turns is not None and inputs.turns >= max_turns:
            ctx.stop("max_iterations")
        if not inputs.messages:
            asked = Message(role="user", content=_asked(inputs))
            view, tools = (*ctx.resources.get(HISTORY, ()), asked), as_door(ctx.tools).schemas()
            return _out(messages=(asked,), rho=self.window.rho(self.instructions, view, tools))
        told = [_told(call.name, result) for call, result in zip(inputs.calls, inputs.results, strict=True)]
        grown = tokens_in((inputs.messages[-1], *told))
        return _out(messages=tuple(told), rho=inputs.rho + grown / self.window.max_tokens)


def _told(tool: str, result: ToolResult) -> Message:
    """Return a result as a message, with all fields set, so that it passes on without a copy."""
    return _message(
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
