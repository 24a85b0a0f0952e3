"""Ask the model what to do next."""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import BaseModel
from pydantic_core import to_json

from loom.context.window import Edits
from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.models.ids import own_id
from loom.nodes.observe import HISTORY
from loom.prompts.template import render
from loom.tools.door import as_door
from loom.types.assembly import unchecked
from loom.types.characters import mended
from loom.types.events import happened
from loom.types.frozen import FrozenDict
from loom.types.messages import MALFORMED, Message, ToolCall
from loom.types.models import ModelRef


class ReasonIn(BaseModel):
    """The conversation so far, oldest first, what of it is left out, and how often the model was asked."""

    messages: tuple[Message, ...]
    edits: Edits = Edits()
    turns: int = 0


class ReasonOut(BaseModel):
    """What the conversation grows by, the tool calls that the model wants, what it said, why it ended, its turns."""

    messages: tuple[Message, ...]
    calls: tuple[ToolCall, ...]
    output: str
    turns: int
    finish_reason: str


_out = unchecked(ReasonOut)


class Reason(Node[ReasonIn, ReasonOut]):
    """Ask `model`, which is offered every tool of the runtime. `instructions` are the same bytes on every turn."""

    kind: ClassVar[str] = "reason"
    effect: ClassVar[Effect] = "model"

    model: ModelRef
    instructions: str = ""
    temperature: float | None = None
    temperature_is_default: bool = False
    max_output_tokens: int | None = None

    async def run(self, inputs: ReasonIn, ctx: Context) -> ReasonOut:
        """Make one model call. The last turn, which calls nothing, is an artifact."""
        view = inputs.edits.view(ctx.resources.get(HISTORY, ()), inputs.messages)
        reply = await ctx.model(self.model).complete(
            _system(self.instructions) + view,
            tools=as_door(ctx.tools).schemas(),
            temperature=self.temperature,
            temperature_is_default=self.temperature_is_default,
            max_output_tokens=self.max_output_tokens,
        )
        if not reply.tool_calls:
            ctx.emit(
                happened(type="artifact.created", payload={"artifact_id": f"{ctx.run_id}/output", "kind": "output"})
            )
        text, calls = mended(reply.text), _told_apart(reply.tool_calls)
        turn = Message(  # of a model of anybody's: checked
            role="assistant",
            content=text,
            tool_calls=calls,
            tool_call_id=None,  # with all fields set it passes on without a copy
            name=None,
            thinking=reply.thinking,
        )
        return _out(
            messages=(turn,),
            calls=calls,
            output=text,
            turns=inputs.turns + 1,
            finish_reason=reply.finish_reason,
        )


def _told_apart(calls: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
    """Return the calls of a turn as they can be saved, each with an id of its own."""
    own: dict[str, ToolCall] = {}
    for call in map(_whole, calls):
        own_call_id = own_id(call.id, own)
        own[own_call_id] = call if own_call_id == call.id else call.model_copy(update={"id": own_call_id})
    return tuple(own.values())


def _whole(call: ToolCall) -> ToolCall:
    """Return a call without halves of characters, with which it could not be saved; those in arguments spoil them."""
    arguments = call.arguments
    if type(arguments) is FrozenDict:  # of which to_json takes long to tell what it is
        arguments = dict(arguments)
    try:
        to_json((call.id, call.name, arguments))
    except ValueError:  # PydanticSerializationError is one
        return ToolCall(id=mended(call.id), name=mended(call.name), arguments=_readable(call.arguments))
    return call


# Any: what a model wrote, as JSON.
def _readable(arguments: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(arguments, ensure_ascii=False, default=repr)
    whole = mended(text)
    return arguments if whole == text else {MALFORMED: whole}


@lru_cache(maxsize=64)
def _system(instructions: str) -> tuple[Message, ...]:
    return render("loom.nodes", "prompts/reason.j2", {"instructions": instructions})
