"""Thinking that a provider wants back: kept from its answers, given back in its words. No I/O.

Anthropic wants each block of it back as it was, where it stood in its turn, or refuses the request; DeepSeek wants the
text. No other provider is told of any: what one has thought is nothing to another, and most refuse or ignore it.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from loom.models.blocks import Json
from loom.types.characters import mended
from loom.types.messages import Message, ThinkingBlock

# Any: what a protocol's reader hands back; which attributes its chunks have differs by provider.
Record = Any

THINKING = {"thinking", "redacted_thinking"}
AFTER = "after"
"""Where a block of thinking stood, while litellm has it: it puts all blocks before the text."""


class Thoughts:
    """The thinking of one answer that its provider will want back; `prefix` names the provider's protocol."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._text: list[str] = []
        self._signed: list[ThinkingBlock] = []

    def add(self, delta: Record, said: Sequence[str], calls: int) -> None:
        """Take a chunk's thinking in; `said` and `calls` are the pieces of text and the calls before it."""
        if self._prefix == "deepseek":
            self._text.append(delta.reasoning_content or "")
        elif self._prefix == "anthropic":
            # To ask for it as an attribute, which mostly is not there, would take a fifth of a chunk's time.
            for block in delta.__dict__.get("thinking_blocks") or ():
                self._add_signed(block, said, calls)

    def _add_signed(self, block: Json, said: Sequence[str], calls: int) -> None:
        self._text.append(block.get("thinking") or "")
        # A signature or what is redacted is the last that comes of a block; what has neither was cut off.
        signature, redacted = block.get("signature") or "", block.get("data") or ""
        if signature or redacted:
            text, self._text = mended("".join(self._text)), []
            place = {"after_text": sum(map(len, said)), "after_calls": calls}
            self._signed.append(ThinkingBlock(text=text, signature=signature, redacted=redacted, **place))

    def blocks(self) -> tuple[ThinkingBlock, ...]:
        """Return what has arrived, oldest first."""
        if self._prefix == "deepseek" and (text := mended("".join(self._text))):
            return (ThinkingBlock(text=text),)
        return tuple(self._signed)


def given_back(message: Message, prefix: str) -> Json:
    """Return what a message on its way to a provider holds of its thinking: only what that provider has thought."""
    if prefix == "anthropic":
        signed = [_signed(block) for block in message.thinking if block.signature or block.redacted]
        return {"thinking_blocks": signed} if signed else {}
    if prefix == "deepseek":
        text = "".join(block.text for block in message.thinking if not block.signature)
        return {"reasoning_content": text} if text else {}
    return {}


def _signed(block: ThinkingBlock) -> Json:
    place = {AFTER: (block.after_text, block.after_calls)}
    if block.redacted:
        return {"type": "redacted_thinking", "data": block.redacted} | place
    return {"type": "thinking", "thinking": block.text, "signature": block.signature} | place


def put_in_place(messages: Sequence[Json]) -> None:
    """Put each block of thinking where it stood, in messages of Anthropic's protocol: a signature is for its place."""
    for message in messages:
        content: list[Json] | str = message["content"]
        if isinstance(content, list) and any(AFTER in block for block in content):
            message["content"] = list(_in_place(content))


def _in_place(content: Sequence[Json]) -> Iterator[Json]:
    thoughts: list[Json] = []
    # What one turn said follows its thinking: litellm makes one message of turns that follow each other.
    for is_thought, group in groupby(content, key=lambda block: AFTER in block):
        blocks = list(group)
        if is_thought:
            thoughts = blocks
        else:
            yield from _turn(thoughts, blocks) if thoughts else blocks


def _turn(thoughts: Sequence[Json], said: Sequence[Json]) -> list[Json]:
    text = "".join(block["text"] for block in said if block["type"] == "text")
    calls = [block for block in said if block["type"] != "text"]
    turn: list[Json] = []
    place = (0, 0)
    for thought in thoughts:
        turn += _between(text, calls, place, thought[AFTER])
        turn.append({key: value for key, value in thought.items() if key != AFTER})
        place = thought[AFTER]
    turn += _between(text, calls, place, (len(text), len(calls)))
    while turn and turn[-1]["type"] in THINKING:  # which no turn may end with: this one was cut off
        turn.pop()
    return turn


def _between(text: str, calls: Sequence[Json], start: tuple[int, int], end: tuple[int, int]) -> list[Json]:
    """Return what was said between two places; a text of nothing but space is refused by Anthropic."""
    piece = text[start[0] : end[0]]
    return [*([{"type": "text", "text": piece}] if piece.strip() else []), *calls[start[1] : end[1]]]
