"""The view of a transcript: what of it a model is shown, and how much of the window that takes.

A transcript only grows. What takes too much room is left out of the view by an edit: a tool's result by a
reference to it, everything before a renewal by the handoff. Nothing is lost, and a call and its result
stay together.
"""

import json
from collections.abc import Mapping, Sequence

from loom.types.content import DocumentBlock, ImageBlock, MessageContent, TextBlock
from loom.types.handoff import HandoffArtifact
from loom.types.messages import Message, ToolCall
from loom.types.models import ToolSchema

CHARACTERS_PER_TOKEN = 4
FRAME_TOKENS = 4  # what a message takes beside its text
IMAGE_TOKENS = 1600
DOCUMENT_TOKENS = 3000


def tokens_in(messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
    """Return about how many tokens messages and tool schemas take, rounded up."""
    characters = sum(len(tool.name) + len(tool.description) + len(json.dumps(tool.parameters)) for tool in tools)
    return _rounded(characters) + FRAME_TOKENS * len(tools) + sum(map(_tokens_in_message, messages))


def _tokens_in_message(message: Message) -> int:
    characters = sum(len(call.name) + len(json.dumps(call.arguments)) for call in message.tool_calls)
    return FRAME_TOKENS + _rounded(characters) + tokens_in_content(message.content)


def tokens_in_content(content: MessageContent) -> int:
    """Return about how many tokens a content takes, rounded up."""
    if isinstance(content, str):
        return _rounded(len(content))
    found = 0
    for block in content:
        match block:
            case TextBlock():
                found += _rounded(len(block.text))
            case ImageBlock():
                found += IMAGE_TOKENS
            case DocumentBlock():
                found += DOCUMENT_TOKENS
    return found


def _rounded(characters: int) -> int:
    return -(-characters // CHARACTERS_PER_TOKEN)


def shown(messages: Sequence[Message], cleared: Mapping[str, str]) -> tuple[Message, ...]:
    """Return a transcript as a model sees it: results that were cleared are references to them.

    `cleared` holds the reference of each by the id of its call.
    """
    if not cleared:
        return tuple(messages)
    return tuple(_without(message, cleared.get(message.tool_call_id or "")) for message in messages)


def _without(message: Message, ref: str | None) -> Message:
    if ref is None:
        return message
    said = f"[the result of {message.name} was put aside: {len(message.text)} characters, ref {ref}]"
    return message.model_copy(update={"content": said})


def progress_of(messages: Sequence[Message]) -> str:
    """Return in a few lines what was done in a transcript: its tool calls, counted, and the last words."""
    counts: dict[str, int] = {}
    for message in messages:
        for call in message.tool_calls:
            counts[call.name] = counts.get(call.name, 0) + 1
    lines = [f"- called {name} {count} time{'s' if count > 1 else ''}" for name, count in counts.items()]
    said = next((one.text for one in reversed(messages) if one.role == "assistant" and one.text), "")
    return "\n".join([*lines, *([f"- last said: {said}"] if said else [])])


def open_calls(messages: Sequence[Message]) -> list[ToolCall]:
    """Return the tool calls of a transcript that have no result."""
    answered = {message.tool_call_id for message in messages if message.role == "tool"}
    return [call for message in messages for call in message.tool_calls if call.id not in answered]


def handed_off(goal: str, messages: Sequence[Message], *, sprint: int, rho: float, at: str) -> HandoffArtifact:
    """Return what is to be known of a transcript by whoever goes on without it; `at` is a time in ISO 8601."""
    return HandoffArtifact(
        goal=goal,
        sprint=sprint,
        progress_summary=progress_of(messages),
        open_tasks=tuple(f"answer the call of {call.name}" for call in open_calls(messages)),
        context_snapshot={"rho": round(rho, 3), "messages": len(messages)},
        handoff_ts=at,
    )
