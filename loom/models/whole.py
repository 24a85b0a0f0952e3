"""Replies that come in one piece, from servers that do not stream, as the events that they would have been. No I/O.

Each raises whatever reading raises for JSON that is no reply of its protocol.
"""

import json
from collections.abc import Iterator
from typing import Any

from loom.models.blocks import Json

# Any: JSON of a server.
Body = Any

# What of a block of Anthropic's comes in which deltas.
DELTAS = {
    "text": {"text": "text_delta"},
    "thinking": {"thinking": "thinking_delta", "signature": "signature_delta"},
    "tool_use": {"input": "input_json_delta"},
}


def openai(body: Body) -> list[Json]:
    """Return a chat completion as the chunk that says all of it."""
    choice: Json = body["choices"][0]
    message: Json = choice["message"]
    calls = [call | {"index": number} for number, call in enumerate(message.get("tool_calls") or ())]
    return [body | {"choices": [choice | {"delta": message | {"tool_calls": calls}}]}]


def gemini(body: Body) -> list[Json]:
    """Return what Gemini says without events: one chunk, or a list of them."""
    chunks: list[Json] = [body] if isinstance(body, dict) else body
    if not any(chunk.keys() & {"candidates", "promptFeedback"} for chunk in chunks):
        raise ValueError("no reply")
    return chunks


def anthropic(body: Body) -> list[Json]:
    """Return a message of Anthropic's as the events that it is streamed in."""
    ended: Json = {"type": "message_delta", "delta": {"stop_reason": body["stop_reason"]}}
    blocks = [event for number, block in enumerate(body["content"]) for event in _block(number, block)]
    return [{"type": "message_start", "message": body}, *blocks, ended]


def _block(number: int, block: Json) -> Iterator[Json]:
    deltas = DELTAS.get(block["type"], {})
    empty: Json = {key: {} if key == "input" else "" for key in deltas}
    yield {"type": "content_block_start", "index": number, "content_block": block | empty}
    for key, kind in deltas.items():
        said = {"partial_json": json.dumps(block[key])} if key == "input" else {key: block.get(key, "")}
        yield {"type": "content_block_delta", "index": number, "delta": {"type": kind} | said}
    yield {"type": "content_block_stop", "index": number}
