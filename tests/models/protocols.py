"""The three protocols of providers, as a server on this machine speaks them."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from loom.types.models import ModelRef
from tests.models.loopback import HELLO, Answer, Json, calls, data, delta, events, openai

# Anthropic's protocol.


def anthropic(*blocks: Json, stop_reason: str | None = "end_turn", cut: bool = False) -> Answer:
    """Answer in Anthropic's protocol; without a `stop_reason` the stream ends after the blocks."""
    used = {"input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 1}
    message: Json = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], "usage": used}
    stopped = {"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": {"output_tokens": 7}}
    said: list[Json] = [{"type": "message_start", "message": message}, *blocks]
    if stop_reason is not None:
        said += [stopped, {"type": "message_stop"}]
    return events(*map(anthropic_event, said), cut=cut)


def anthropic_event(event: Json) -> str:
    return f"event: {event['type']}\n{data(event)}"


def block(index: int, start: Json, *deltas: Json) -> list[Json]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text_block(index: int, *pieces: str) -> list[Json]:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def call_block(index: int, id_: str, name: str, *pieces: str) -> list[Json]:
    start: Json = {"type": "tool_use", "id": id_, "name": name, "input": {}}
    return block(index, start, *({"type": "input_json_delta", "partial_json": piece} for piece in pieces))


def thinking_block(index: int, *pieces: str, signature: str) -> list[Json]:
    thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
    sealed = [{"type": "signature_delta", "signature": signature}] if signature else []
    return block(index, {"type": "thinking", "thinking": "", "signature": ""}, *thoughts, *sealed)


def redacted_block(index: int, data: str) -> list[Json]:
    return block(index, {"type": "redacted_thinking", "data": data})


# Gemini's protocol.


def gemini(*parts: Json, finish: str | None = "STOP", cut: bool = False) -> Answer:
    """Answer in Gemini's protocol, each part in a chunk of its own."""
    said = [gemini_chunk(part, finish if number == len(parts) else None) for number, part in enumerate(parts, start=1)]
    return events(*said, cut=cut)


def gemini_chunk(part: Json, finish: str | None = None) -> str:
    candidate: Json = {"index": 0, "content": {"role": "model", "parts": [part]}}
    if finish is not None:
        candidate["finishReason"] = finish
    used = {
        "promptTokenCount": 10,
        "candidatesTokenCount": 5,
        "totalTokenCount": 15,
        "cachedContentTokenCount": 4,
    }
    return data({"candidates": [candidate], "usageMetadata": used})


@dataclass(frozen=True)
class Protocol:
    """One protocol: how its models are named, what a first piece of text and whole answers look like."""

    name: str
    path: str
    ref: Callable[[str], ModelRef]
    first: str
    hello: Answer
    half: Callable[[bool], Answer]
    two_calls: Answer
    error: Callable[[str], Json]


def piece(index: int, id_: str, name: str, arguments: str) -> Json:
    return {"index": index, "id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


OPENAI = Protocol(
    name="openai",
    path="/v1/chat/completions",
    ref=lambda base: ModelRef.openai("gpt-4o-mini", api_base=f"{base}/v1"),
    first=data(delta(role="assistant", content="Hel")),
    hello=HELLO,
    half=lambda cut: openai(delta(role="assistant", content="Hel"), cut=cut),
    two_calls=calls(piece(0, "a", "add", '{"x": 1}'), piece(1, "b", "sub", '{"y": 2}')),
    error=lambda message: {"error": {"message": message, "type": "some_error"}},
)
ANTHROPIC = Protocol(
    name="anthropic",
    path="/v1/messages",
    ref=lambda base: ModelRef.anthropic("claude-sonnet-4-5", api_base=base),
    first="".join(map(anthropic_event, text_block(0, "Hel")[:2])),
    hello=anthropic(*text_block(0, "Hel", "lo")),
    half=lambda cut: anthropic(*text_block(0, "Hel"), stop_reason=None, cut=cut),
    two_calls=anthropic(
        *call_block(0, "a", "add", '{"x":', " 1}"), *call_block(1, "b", "sub", '{"y": 2}'), stop_reason="tool_use"
    ),
    error=lambda message: {"type": "error", "error": {"type": "some_error", "message": message}},
)
GEMINI = Protocol(
    name="gemini",
    path="/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
    ref=lambda base: ModelRef("gemini", "gemini-2.5-flash", api_base=f"{base}/v1beta"),
    first=gemini_chunk({"text": "Hel"}),
    hello=gemini({"text": "Hel"}, {"text": "lo"}),
    half=lambda cut: gemini({"text": "Hel"}, finish=None, cut=cut),
    two_calls=gemini(
        {"functionCall": {"name": "add", "args": {"x": 1}}}, {"functionCall": {"name": "sub", "args": {"y": 2}}}
    ),
    error=lambda message: {"error": {"code": 0, "message": message, "status": "SOME_ERROR"}},
)

every_protocol = pytest.mark.parametrize("protocol", [OPENAI, ANTHROPIC, GEMINI], ids=lambda protocol: protocol.name)
