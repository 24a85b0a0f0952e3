"""Tests of the node that puts large tool results aside."""

from itertools import count

import pytest

from loom.context.view import ref_of, tokens_in
from loom.context.window import Edits, Window
from loom.nodes.compress import Compress, CompressOut
from loom.nodes.observe import HISTORY
from loom.testing import run_node
from loom.types.events import Event
from loom.types.messages import Message, ToolCall

pytestmark = pytest.mark.anyio
WINDOW = Window(max_tokens=1000)
UNEDITED = Edits()


def talk(*sizes: int | tuple[int, ...], call_id: str = "call_0") -> tuple[Message, ...]:
    """Return a conversation with a turn of calls, all of one id, for each size in characters of their results."""
    letters, messages = count(ord("a")), [Message(role="user", content="Read all.")]
    for turn in sizes:
        results = turn if isinstance(turn, tuple) else (turn,)
        calls = tuple(ToolCall(id=call_id, name="read") for _ in results)
        messages.append(Message(role="assistant", tool_calls=calls))
        texts = [chr(next(letters)) * size for size in results]
        messages += [Message(role="tool", name="read", tool_call_id=call_id, content=text) for text in texts]
    return tuple(messages)


async def compressed(
    messages: tuple[Message, ...], edits: Edits = UNEDITED, events: list[Event] | None = None, target: float = 0.5
) -> CompressOut:
    node = Compress(window=WINDOW, target=target, keep_last=1)
    return await run_node(node, {"messages": messages, "edits": edits}, events=events)


def letters(view: tuple[Message, ...]) -> str:
    """Return the first letter of each result."""
    return "".join(message.text[0] for message in view if message.role == "tool")


async def test_the_largest_results_are_put_aside_until_there_is_room() -> None:
    messages, events = talk(400, 2000, 900, 400), list[Event]()
    out = await compressed(messages, events=events)
    view = out.edits.view((), messages)
    assert letters(view) == "a[cd", "with the largest aside the rest is below the target"
    assert out.rho == WINDOW.rho("", view, ()) < 0.7
    (event,) = events
    assert event.type == "context.compressed"
    assert event.payload["tokens_after"] == round(out.rho * 1000) < event.payload["tokens_before"]


async def test_nothing_is_lost_and_no_call_stands_without_its_result() -> None:
    messages = talk(2000, 2000, 2000)
    out = await compressed(messages, target=0.1)
    view = out.edits.view((), messages)
    assert letters(view) == "[[c"
    assert sorted(out.kept.values()) == ["a" * 2000, "b" * 2000]
    for place, ref in out.edits.cleared:
        assert out.kept[ref] == messages[place].text
        assert ref in view[place].text
    shape = [(one.role, one.name, one.tool_call_id, one.tool_calls) for one in messages]
    assert [(one.role, one.name, one.tool_call_id, one.tool_calls) for one in view] == shape


async def test_calls_of_one_id_are_told_apart() -> None:
    messages = talk((2000, 40, 1000), 40)
    out = await compressed(messages)
    assert letters(out.edits.view((), messages)) == "[bcd"


async def test_what_the_model_has_not_seen_stays() -> None:
    messages, events = talk(40, (2000, 2000, 2000)), list[Event]()
    out = await compressed(messages, events=events)
    assert (out.edits, out.kept, events) == (UNEDITED, {}, [])
    assert out.rho > 1


async def test_what_is_shorter_than_a_reference_stays() -> None:
    messages = talk(*[40] * 60)
    assert (await compressed(messages)).edits == UNEDITED


async def test_what_is_aside_already_and_what_was_handed_off_stays_so() -> None:
    messages = talk(2000, 2000, 1200, 40)
    first = await compressed(messages)
    assert letters(first.edits.view((), messages)) == "[[cd"
    again = await compressed(messages, first.edits, target=0.1)
    assert again.edits.cleared[:2] == first.edits.cleared
    assert list(again.kept.values()) == ["c" * 1200]
    renewed = Edits(since=5)
    assert [place for place, _ in (await compressed(messages, renewed, target=0.1)).edits.cleared] == [6]


async def test_of_what_has_a_preview_only_that_is_saved() -> None:
    messages = talk(2000, 1200, 40)
    ref = ref_of(messages[2].text)
    shown_in_part = Edits(cleared=((2, ref),), previews=((2, 800),))
    view = shown_in_part.view((), messages)
    out = await compressed(messages, shown_in_part, target=0.4)
    assert letters(out.edits.view((), messages)) == "a[c", "the other is larger as it is shown"
    assert out.edits.previews == ((2, 800),)
    out = await compressed(messages, shown_in_part, target=0.1)
    assert letters(out.edits.view((), messages)) == "[[c"
    assert (out.edits.cleared[0], out.edits.previews) == ((2, ref), ())
    assert out.kept[ref] == messages[2].text
    assert out.rho == WINDOW.rho("", out.edits.view((), messages), ()) < WINDOW.rho("", view, ())


async def test_earlier_runs_take_room_and_are_left_alone() -> None:
    messages, earlier = talk(400, 40), (Message(role="user", content="x" * 4000),)
    node = Compress(window=WINDOW, keep_last=0)
    out = await run_node(node, {"messages": messages}, resources={HISTORY: earlier})
    view = out.edits.view(earlier, messages)
    assert out.rho == tokens_in(view) / 1000 + 0.004 > 1
    assert view[0] == earlier[0]
