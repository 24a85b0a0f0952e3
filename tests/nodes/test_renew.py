"""Tests of the node that begins a conversation anew."""

import pytest

from loom.context.window import Edits, Window
from loom.errors import ContextOverflowError
from loom.nodes.observe import HISTORY
from loom.nodes.renew import Renew, RenewOut
from loom.testing import run_node
from loom.types.content import ImageBlock, TextBlock
from loom.types.events import Event
from loom.types.messages import Message, ToolCall
from tests.nodes.test_compress import UNEDITED, letters, talk

pytestmark = pytest.mark.anyio
WINDOW = Window(max_tokens=1000)


async def renewed(
    messages: tuple[Message, ...], edits: Edits = UNEDITED, events: list[Event] | None = None, window: Window = WINDOW
) -> RenewOut:
    inputs = {"messages": messages, "edits": edits, "rho": 0.97}
    return await run_node(Renew(instructions="Be exact.", window=window), inputs, events=events)


async def test_a_handoff_stands_for_all_but_what_the_model_has_not_seen() -> None:
    messages, events = talk(2000, 1800, 400), list[Event]()
    out = await renewed(messages, events=events)
    assert out.edits.handoff
    view = out.edits.view((), messages)
    assert [message.role for message in view] == ["user", "assistant", "tool"]
    assert letters(view) == "c"
    assert view[0].text == out.edits.handoff.to_system_prompt()
    assert "- called read 3 times" in view[0].text
    assert out.rho == WINDOW.rho("Be exact.", view, ()) < 0.5
    (event,) = events
    assert (event.type, event.payload["sprint"]) == ("context.renewed", 1)
    assert event.payload["tokens_after"] == round(out.rho * 1000) < event.payload["tokens_before"]


async def test_the_goal_is_the_prompt_byte_by_byte() -> None:
    prompt = " Read\r\n\tall — of it.\n\n"
    out = await renewed((Message(role="user", content=prompt), *talk(4000)[1:]))
    assert out.edits.handoff
    assert out.edits.handoff.goal == prompt
    assert prompt in out.edits.view((), talk(4000))[0].text


async def test_what_the_model_has_not_seen_is_left_out_where_there_is_no_room_for_it() -> None:
    out = await renewed(talk(40, 8000))
    assert [message.role for message in out.edits.view((), talk(40, 8000))] == ["user"]
    assert out.rho < 1


async def test_last_words_that_fill_the_window_are_no_reason_to_give_up() -> None:
    said = Message(role="assistant", content="x" * 8000, tool_calls=(ToolCall(id="1", name="read"),))
    result = Message(role="tool", name="read", tool_call_id="1", content="short")
    out = await renewed((Message(role="user", content="Go on."), said, result))
    assert out.rho < 1
    assert out.edits.handoff
    assert "- last said: xxx" in out.edits.handoff.progress_summary


async def test_each_renewal_counts_and_tells_all_that_was_done() -> None:
    first = await renewed(talk(4000, 40))
    more = talk(4000, 40, 4000, 40)
    second = await renewed(more, first.edits)
    assert second.edits.handoff
    assert (second.edits.handoff.sprint, second.edits.since) == (2, 7)
    assert "called read 4 times" in second.edits.handoff.progress_summary


async def test_what_was_aside_and_is_not_shown_any_more_is_forgotten_by_the_view() -> None:
    out = await renewed(talk(4000, 4000, 40), Edits(cleared=((2, "out_1"),)))
    assert out.edits.cleared == ()


async def test_an_image_of_the_prompt_stays() -> None:
    image = ImageBlock(source={"type": "url", "url": "https://example.org/a.png"})
    messages = (Message(role="user", content=(TextBlock(text="Look."), image)), *talk(4000)[1:])
    out = await renewed(messages, window=Window(max_tokens=2000))
    assert out.edits.view((), messages)[0].content[0] == image


async def test_where_a_handoff_would_make_no_room_nothing_is_changed() -> None:
    messages, events = (Message(role="user", content="x" * 3900),), list[Event]()
    out = await renewed(messages, events=events)
    assert (out.edits, events) == (UNEDITED, [])
    assert 0.95 < out.rho < 1


async def test_earlier_runs_make_room() -> None:
    earlier = (Message(role="user", content="x" * 8000),)
    out = await run_node(Renew(window=WINDOW), {"messages": talk()}, resources={HISTORY: earlier})
    assert out.rho < 1
    assert len(out.edits.view(earlier, talk())) == 1


async def test_what_can_never_be_left_out_is_told_by_its_sizes() -> None:
    with pytest.raises(ContextOverflowError) as caught:
        await renewed((Message(role="user", content="x" * 8000),), window=Window(max_tokens=1000))
    told = str(caught.value)
    assert "the window holds 1000 tokens" in told
    assert "instructions 3, prompt and handoff 20" in told
    assert "tools 0, reserved for the reply 0" in told
