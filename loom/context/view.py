"""The view of a transcript: what of it a model is shown, and how much of the window that takes.

A transcript only grows. What takes too much room is left out of the view by an edit: a tool's result by a
reference to it, everything before a renewal by the handoff. Nothing is lost, and a call and its result
stay together.
"""

import hashlib
from collections.abc import Mapping, Sequence

from pydantic_core import to_json

from loom.types.content import DocumentBlock, ImageBlock, MessageContent, TextBlock
from loom.types.handoff import HandoffArtifact
from loom.types.messages import Message, Role
from loom.types.models import ToolSchema

CHARACTERS_PER_TOKEN = 4
FRAME_TOKENS = 4  # what a message takes beside its text
IMAGE_TOKENS = 1600
DOCUMENT_TOKENS = 3000
LEAST_PREVIEW = 200  # characters: of a result put aside fewer would tell nothing


def tokens_in(messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
    """Return about how many tokens messages and tool schemas take, rounded up."""
    characters = 0
    for tool in tools:
        characters += len(tool.name) + len(tool.description) + len(to_json(tool.parameters))
    return _rounded(characters) + FRAME_TOKENS * len(tools) + sum(map(_tokens_in_message, messages))


def _tokens_in_message(message: Message) -> int:
    characters = 0
    for call in message.tool_calls:
        characters += len(call.name) + len(to_json(dict(call.arguments)))
    for block in message.thinking:
        # Of what is not shown the cipher tells about how long it is.
        characters += len(block.text or block.redacted or block.signature)
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


def shown(messages: Sequence[Message], cleared: Mapping[int, str], previews: Mapping[int, int]) -> tuple[Message, ...]:
    """Return a transcript as a model sees it: of results that were put aside, by their places, the references.

    Of those that have a preview so many characters are shown too.
    """
    if not cleared:
        return tuple(messages)
    return tuple(
        put_aside(message, cleared[place], previews.get(place, 0)) if place in cleared else message
        for place, message in enumerate(messages)
    )


def put_aside(message: Message, ref: str, room: int = 0) -> Message:
    """Return a tool's result with a reference in the place of its content, or, with `room`, of the text's middle.

    Head and tail then are about so many characters, and what is no text stays.
    """
    if not room:
        said = f"[the result of {message.name} was put aside: {len(message.text)} characters, ref {ref}]"
        return message.model_copy(update={"content": said})
    return _with_text(message, _preview_of(message.text, ref, room))


def _preview_of(text: str, ref: str, room: int) -> str:
    if len(text) <= room:
        return text
    end = room // 2
    note = f"[… {len(text) - 2 * end} of {len(text)} characters left out; the whole result is kept as {ref} …]"
    return f"{text[:end]}\n{note}\n{text[len(text) - end :]}"


def ref_of(text: str) -> str:
    """Return the reference of a text: equal texts have equal ones."""
    return f"out_{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:16]}"


def last_turn(messages: Sequence[Message]) -> int:
    """Return the place of the model's last turn, after which stand the results of its calls; the end, without one."""
    places = range(len(messages) - 1, -1, -1)
    return next((place for place in places if messages[place].role == "assistant"), len(messages))


def progress_of(messages: Sequence[Message], room: int, earlier: Sequence[Message] = ()) -> str:
    """Return in a few lines what was done in a transcript: its tool calls, counted, and the last words.

    What was done in `earlier` runs counts too, of which the last prompt is told. Of words longer than `room`
    characters the beginning and the end are told, of that prompt those of a quarter.
    """
    counts: dict[str, int] = {}
    for message in (*earlier, *messages):
        for call in message.tool_calls:
            counts[call.name] = counts.get(call.name, 0) + 1
    lines = [f"- called {name} {count} time{'s' if count > 1 else ''}" for name, count in counts.items()]
    if asked := _last_of("user", earlier):
        words = _ends_of(asked, room // 4).replace("\n", "\n  ")  # which may be a handoff with sections of its own
        lines.insert(0, f"- asked before: {words}")
    if said := _last_of("assistant", (*earlier, *messages)):
        lines.append(f"- last said: {_ends_of(said, room)}")
    return "\n".join(lines)


def _last_of(role: Role, messages: Sequence[Message]) -> str:
    return next((one.text for one in reversed(messages) if one.role == role and one.text), "")


def _ends_of(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    end = room // 2
    return f"{text[:end]} … {len(text) - 2 * end} characters left out … {text[len(text) - end :]}"


def handed_off(
    messages: Sequence[Message],
    *,
    sprint: int,
    rho: float,
    at: str,
    room: int,
    earlier: Sequence[Message] = (),
    unseen: Sequence[Message] = (),
) -> HandoffArtifact:
    """Return what is to be known of a transcript by whoever goes on without it; `at` is a time in ISO 8601.

    The goal is its first message. The last words, which may be those of `earlier` runs, take about `room` characters
    at most. `unseen` are results that nobody was shown: each is told, a long one by its ends and its reference.
    """
    results = [f"- the result of {one.name}, not seen yet: {_told(one)}" for one in unseen]
    return HandoffArtifact(
        goal=messages[0].text,
        sprint=sprint,
        progress_summary="\n".join([progress_of(messages, room, earlier), *results]),
        context_snapshot={"rho": round(rho, 3), "messages": len(earlier) + len(messages)},
        handoff_ts=at,
    )


def _told(result: Message) -> str:
    return _preview_of(result.text, ref_of(result.text), LEAST_PREVIEW)


def with_handoff(first: Message, handoff: HandoffArtifact) -> Message:
    """Return the message that a conversation begins anew with: the handoff, and what was no text in the first one."""
    return _with_text(first, handoff.to_system_prompt())


def _with_text(message: Message, text: str) -> Message:
    """Return a message with another text; what is none in its content stays."""
    if isinstance(message.content, str):
        return message.model_copy(update={"content": text})
    others = (block for block in message.content if not isinstance(block, TextBlock))
    return message.model_copy(update={"content": (*others, TextBlock(text=text))})
