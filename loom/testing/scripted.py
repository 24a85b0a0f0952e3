"""A model that replies from a list: for tests of everything around a model."""

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from textwrap import shorten
from typing import Any, TypeGuard

from pydantic import BaseModel

from loom.errors import ConfigError, ProviderError, short
from loom.types.messages import Message, ThinkingBlock, ToolCall
from loom.types.models import Emit, ModelReply, ModelRequest
from loom.types.stream import TextDelta, ThinkingDelta, ToolCallDelta
from loom.types.usage import Usage

CHARACTERS_PER_TOKEN = 4
SHOWN = 200  # characters of a message or reply in an error

Failure = BaseException | type[BaseException]
Fixed = str | ToolCall | Sequence[ToolCall] | BaseModel | Failure
Reply = Fixed | Callable[[ModelRequest], Fixed | Awaitable[Fixed]]


# Any: the arguments are the model's own JSON.
def call(name: str, /, **arguments: Any) -> ToolCall:
    """Return a scripted wish to call the tool `name`; `ScriptedModel` gives it its id."""
    return ToolCall(id="", name=name, arguments=arguments)


class ScriptedModel:
    """A model that gives the listed replies in order, whatever it is asked.

    A reply is a text, `call("tool", x=1)`, a list of calls, a pydantic object (its JSON is the text), a whole
    `ModelReply`, an exception or its type (raised), or a sync or async function of the request that returns any of
    these. Calls without an id are numbered `call_1`, `call_2`, … over the model's life. A token is four characters, the
    cost is 0. `requests` holds what was asked, oldest first.

    Raises `ConfigError` for a reply of another type.
    """

    def __init__(self, replies: Sequence[Reply]) -> None:
        if isinstance(replies, str):
            raise ConfigError(f"ScriptedModel takes a list of replies, but got the text {_shown(replies)}")
        self.requests: list[ModelRequest] = []
        self._replies = tuple(replies)
        self._numbered = 0
        for position, reply in enumerate(self._replies, start=1):
            if isinstance(reply, type) or not callable(reply):
                _settled(reply, f"reply {position} of ScriptedModel")

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Give the next reply, as deltas first. Raises `ProviderError` when none is left."""
        self.requests.append(request)
        position = len(self.requests)
        if position > len(self._replies):
            asker = f' by node "{request.node}"' if request.node else ""
            raise ProviderError(
                f"ScriptedModel ran out: it has {counted(len(self._replies))} and was asked {position} times, "
                f"last{asker}: {_last_message(request)}"
            )
        reply = self._replies[position - 1]
        if callable(reply) and not isinstance(reply, type):
            answer = reply(request)
            reply = await answer if inspect.isawaitable(answer) else answer
        settled = _settled(reply, f"the function that is reply {position} of ScriptedModel")
        if not isinstance(settled, ModelReply):
            raise settled("scripted") if isinstance(settled, type) else settled
        finished = self._finished(settled, request)
        stream(finished, emit)
        return finished

    def assert_done(self) -> None:
        """Raise `AssertionError` if replies are left."""
        used, count = len(self.requests), len(self._replies)
        if used < count:
            raise AssertionError(
                f"ScriptedModel has {counted(count)}, {used} used and {count - used} left: "
                f"the next is {_shown(repr(self._replies[used]))}"
            )

    def _finished(self, reply: ModelReply, request: ModelRequest) -> ModelReply:
        calls: list[ToolCall] = []
        for wish in reply.tool_calls:
            if not wish.id:
                self._numbered += 1
            calls.append(wish if wish.id else wish.model_copy(update={"id": f"call_{self._numbered}"}))
        usage = reply.usage if "usage" in reply.model_fields_set else _usage(request, reply)
        return reply.model_copy(update={"tool_calls": tuple(calls), "usage": usage})


def pieces(text: str) -> list[str]:
    """Return `text` in the pieces it is streamed in: words with the space around them."""
    return re.findall(r"\s*\S+\s*|\s+", text)


def stream(reply: ModelReply, emit: Emit) -> None:
    """Emit `reply` as a provider would: its thinking and its text word by word, then each tool call."""
    for block in reply.thinking:
        for piece in pieces(block.text):
            emit(ThinkingDelta(delta=piece))
    for piece in pieces(reply.text):
        emit(TextDelta(delta=piece))
    for index, call in enumerate(reply.tool_calls):
        emit(ToolCallDelta(index=index, id=call.id, name=call.name, arguments=json.dumps(call.arguments)))


def counted(replies: int) -> str:
    """Return `1 reply`, `2 replies`, …"""
    return f"{replies} {'reply' if replies == 1 else 'replies'}"


def _settled(reply: Fixed, where: str) -> ModelReply | Failure:
    match reply:
        case ModelReply() | BaseException():
            return reply
        case type() if _can_be_raised(reply):
            return reply
        case str():
            return ModelReply(text=reply)
        case ToolCall():
            return ModelReply(tool_calls=(reply,), finish_reason="tool_calls")
        case BaseModel():
            return ModelReply(text=reply.model_dump_json())
        case list() | tuple() if reply and _are_calls(reply):
            return ModelReply(tool_calls=tuple(reply), finish_reason="tool_calls")
        case _:
            raise ConfigError(
                f'{where} must be a text, call("tool", …), a list of calls, a pydantic object, a ModelReply, '
                f"an exception or a function of the request, but got {short(reply)}"
            )


def _can_be_raised(kind: type) -> bool:
    return issubclass(kind, BaseException)


def _are_calls(items: Sequence[object]) -> TypeGuard[Sequence[ToolCall]]:
    return all(isinstance(item, ToolCall) for item in items)


def _usage(request: ModelRequest, reply: ModelReply) -> Usage:
    read = sum(_length(message.text, message.tool_calls, message.thinking) for message in request.messages)
    written = _length(reply.text, reply.tool_calls, reply.thinking)
    # Rounded up: a token that was begun counts.
    return Usage(input_tokens=-(-read // CHARACTERS_PER_TOKEN), output_tokens=-(-written // CHARACTERS_PER_TOKEN))


def _length(text: str, calls: Sequence[ToolCall], thinking: Sequence[ThinkingBlock]) -> int:
    called = sum(len(wish.name) + len(json.dumps(wish.arguments)) for wish in calls)
    return len(text) + called + sum(len(block.text) for block in thinking)


def _last_message(request: ModelRequest) -> str:
    if not request.messages:
        return "no messages"
    last: Message = request.messages[-1]
    return f"{last.role} said {_shown(last.text)}"


def _shown(text: str) -> str:
    return f'"{shorten(text, SHOWN, placeholder=" …")}"'
