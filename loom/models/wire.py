"""Requests and replies in the form of OpenAI's chat protocol, from which and to which litellm translates. No I/O."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter

from loom.errors import ProviderError, ProviderUnavailableError
from loom.models.blocks import Json, readable, wire_content
from loom.models.endings import is_unreadable
from loom.models.ids import own_id, without_thought
from loom.models.pieces import Pieces
from loom.models.providers import Provider, Structured
from loom.models.thinking import Thoughts, given_back
from loom.types.characters import mended
from loom.types.messages import MALFORMED, Message, ToolCall
from loom.types.models import ModelReply, ModelRequest, ToolSchema
from loom.types.stream import ModelDelta, TextDelta, ThinkingDelta, ToolCallDelta
from loom.types.usage import Usage

# Any: what a protocol's reader hands back; which attributes its chunks have differs by provider.
Record = Any
ARGUMENTS: TypeAdapter[Json] = TypeAdapter(Json)


def request_arguments(request: ModelRequest, provider: Provider) -> Json:
    """Return what `request` asks, in litellm's names of OpenAI's parameters; only what it sets."""
    arguments: Json = {"messages": [_message(message, provider) for message in readable(request.messages, provider)]}
    if request.tools:
        arguments["tools"] = [_tool(tool) for tool in request.tools]
    if request.max_output_tokens is not None:
        arguments["max_tokens"] = request.max_output_tokens
    if request.temperature is not None:
        arguments["temperature"] = request.temperature
    if request.response_type is not None:
        _demand(request.response_type, provider.structured, arguments)
    return arguments


def _message(message: Message, provider: Provider) -> Json:
    wire: Json = {"role": message.role, "content": wire_content(message.content, provider)}
    if message.tool_calls:
        # A turn of calls alone has no text; some providers refuse an empty one.
        wire["content"] = wire["content"] or None
        wire["tool_calls"] = [
            {
                "id": _id(call.id, provider),
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        wire["tool_call_id"] = _id(message.tool_call_id, provider)
    if message.name is not None:
        wire["name"] = message.name
    if message.thinking:
        wire |= given_back(message, provider.prefix)
    return wire


def _id(call_id: str, provider: Provider) -> str:
    return call_id if provider.prefix == "gemini" else without_thought(call_id)


def _tool(tool: ToolSchema) -> Json:
    parameters = tool.parameters or {"type": "object", "properties": {}}
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }


def _demand(response_type: type[BaseModel], structured: Structured, arguments: Json) -> None:
    """Ask for the JSON of `response_type` in the strongest way the provider knows."""
    schema = response_type.model_json_schema()
    if structured in {"schema", "closed"} and is_closed(schema):
        # litellm turns the type into the strict form that providers enforce.
        arguments["response_format"] = response_type
    elif structured == "schema":
        # The strict form has no free keys: it would make an always empty object of a mapping.
        arguments["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": response_type.__name__, "schema": schema, "strict": False},
        }
    else:
        if structured == "object":
            arguments["response_format"] = {"type": "json_object"}
        words = (
            "Reply with one JSON object that fits this JSON Schema, and with nothing else:\n"
            f"{json.dumps(schema, ensure_ascii=False)}"
        )
        arguments["messages"] = _with_instruction(arguments["messages"], words)


def _with_instruction(messages: Sequence[Json], words: str) -> list[Json]:
    if messages and messages[0]["role"] == "system":
        first = messages[0]
        told: str | list[Json] = first["content"]
        joined = f"{told}\n\n{words}" if isinstance(told, str) else [*told, {"type": "text", "text": words}]
        return [{**first, "content": joined}, *messages[1:]]
    return [{"role": "system", "content": words}, *messages]


def is_closed(schema: Json) -> bool:
    """Return whether a JSON Schema names every key of every object, as providers' strict mode demands."""
    # An empty schema is what `Any` becomes.
    if not schema.keys() & {"type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"}:
        return False
    if schema.get("type") == "object" and ("properties" not in schema or schema.get("additionalProperties")):
        return False
    parts: list[Json] = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    parts += [part for key in ("prefixItems", "anyOf", "oneOf", "allOf") for part in schema.get(key, ())]
    if "items" in schema:
        parts.append(schema["items"])
    return all(map(is_closed, parts))


class Assembly:
    """The reply, put together from a stream's chunks."""

    def __init__(self, model: str, turn: int, prefix: str = "") -> None:
        """`model` is named in errors; `turn` makes ids for calls that come without one; `prefix` names the protocol."""
        self._model = model
        self._turn = turn
        self._text: list[str] = []
        self._said, self._thought = Pieces(), Pieces()
        self._calls: list[_Call] = []
        self._thoughts = Thoughts(prefix)
        self._usage: Record = None
        self._finish_reason: str | None = None

    @property
    def usage(self) -> Record:
        """What the last chunk said of tokens, or None."""
        return self._usage

    def add(self, chunk: Record) -> list[ModelDelta]:
        """Take one chunk in; return what of it can be shown at once."""
        self._usage = getattr(chunk, "usage", None) or self._usage
        shown: list[ModelDelta] = []
        for choice in (chunk.choices or ())[:1]:
            self._finish_reason = choice.finish_reason or self._finish_reason
            if (delta := choice.delta) is None:
                continue
            # Both names are used: the second by vLLM and Ollama.
            if thought := getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None):
                shown += _thinking(self._thought.take(thought))
            self._thoughts.add(delta, self._text, len(self._calls))
            if text := delta.content:
                shown += self._add_text(self._said.take(text))
            shown += [self._add_call(piece) for piece in delta.tool_calls or ()]
        return shown

    def rest(self) -> list[ModelDelta]:
        """Return what can be shown now that no chunk comes any more."""
        shown = [*_thinking(self._thought.rest()), *self._add_text(self._said.rest())]
        return [*shown, *(self._written(call, rest) for call in self._calls if (rest := call.pieces.rest()))]

    def _add_text(self, text: str) -> list[ModelDelta]:
        if not text:
            return []
        self._text.append(text)
        return [TextDelta(delta=text)]

    def _add_call(self, piece: Record) -> ToolCallDelta:
        call = next((call for call in reversed(self._calls) if call.index == piece.index), None)
        # Some servers give every call of a turn the same index; a new id is then the only sign of a new call.
        if call is None or (piece.id and call.given_id and piece.id != call.given_id):
            call = _Call(piece.index)
            self._calls.append(call)
        if piece.id and not call.given_id:
            call.given_id = piece.id
            call.id = own_id(mended(piece.id), {other.id for other in self._calls})
        call.name = call.name or mended(piece.function.name or "")
        return self._written(call, call.pieces.take(piece.function.arguments or ""))

    def _written(self, call: "_Call", written: str) -> ToolCallDelta:
        call.arguments += written
        return ToolCallDelta(index=self._calls.index(call), id=call.id, name=call.name, arguments=written)

    def reply(self, cost_usd: float | None) -> ModelReply:
        """Return what has arrived; `rest` is asked for before.

        Raises `ProviderUnavailableError` where it has no end or the provider could not read it itself, and
        `ProviderError` for a tool call that was cut off.
        """
        text = "".join(self._text)
        if self._finish_reason is None:
            raise ProviderUnavailableError(
                f'model "{self._model}" broke off after {len(text)} characters: '
                "the stream ended without a finish reason"
            )
        if is_unreadable(self._finish_reason):
            raise ProviderUnavailableError(
                f'model "{self._model}" wrote what its provider cannot read ({self._finish_reason})'
            )
        return ModelReply(
            text=text,
            tool_calls=tuple(self._tool_call(number, call) for number, call in enumerate(self._calls)),
            usage=_usage(self._usage, cost_usd),
            finish_reason=self._finish_reason,
            thinking=self._thoughts.blocks(),
        )

    def _tool_call(self, number: int, call: "_Call") -> ToolCall:
        # No text at all is how a call without arguments is streamed.
        text = call.arguments.strip() or "{}"
        name, call_id = call.name, call.id or f"call_{self._turn}_{number + 1}"
        try:
            return _written_call(call_id, name, text)
        except ValueError as error:
            if self._finish_reason == "length":  # trying again would be cut off as well
                raise ProviderError(
                    f'model "{self._model}" called tool "{name}" and was cut off in its arguments: {text!r}; '
                    "raise max_output_tokens"
                ) from error
            return ToolCall(id=call_id, name=name, arguments={MALFORMED: text})


def _written_call(call_id: str, name: str, text: str) -> ToolCall:
    arguments = ARGUMENTS.validate_json(text)
    call = ToolCall(id=call_id, name=name, arguments=arguments)
    if call.arguments != arguments:  # a NaN and what is too large for a float would be kept as null
        raise ValueError(f"not all of {text!r} is JSON that can be kept")
    return call


class _Call:
    """A tool call while its pieces arrive."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.given_id = ""
        self.id = ""
        self.name = ""
        self.arguments = ""
        self.pieces = Pieces()


def _thinking(text: str) -> list[ModelDelta]:
    return [ThinkingDelta(delta=text)] if text else []


def _usage(usage: Record, cost_usd: float | None) -> Usage:
    if usage is None:
        return Usage(cost_usd=None)
    details = getattr(usage, "prompt_tokens_details", None)
    return Usage(
        input_tokens=usage.prompt_tokens or 0,
        output_tokens=usage.completion_tokens or 0,
        cached_tokens=getattr(details, "cached_tokens", None) or 0,
        cost_usd=cost_usd,
    )
