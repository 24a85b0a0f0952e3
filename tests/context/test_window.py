"""Tests of a model's window."""

from loom.context.view import handed_off, tokens_in
from loom.context.window import Edits, Window
from loom.types.messages import Message

TALK = (
    Message(role="user", content="Read."),
    Message(role="assistant", content="Yes."),
    Message(role="user", content="And?"),
)
EARLIER = (Message(role="user", content="Hello."),)
HANDOFF = handed_off(TALK, sprint=1, rho=0.9, at="2026-01-01", room=1000)


def test_without_edits_all_is_shown_after_what_was_earlier() -> None:
    assert Edits().view(EARLIER, TALK) == (*EARLIER, *TALK)


def test_what_was_put_aside_is_found_by_its_place() -> None:
    view = Edits(cleared=((1, "out_1"),)).view(EARLIER, TALK)
    assert [message.text[:11] for message in view] == ["Hello.", "Read.", "[the result", "And?"]


def test_after_a_renewal_the_handoff_stands_for_all_before() -> None:
    view = Edits(since=2, handoff=HANDOFF).view(EARLIER, TALK)
    assert [message.text for message in view] == [HANDOFF.to_system_prompt(), "And?"]


def test_of_what_was_put_aside_a_preview_may_be_shown() -> None:
    talk = (*TALK, Message(role="tool", name="read", tool_call_id="1", content="a" * 400))
    view = Edits(cleared=((1, "out_1"), (3, "out_2")), previews=((3, 200),)).view(EARLIER, talk)
    assert view[2].text.startswith("[the result")
    assert view[4].text.startswith("a" * 100 + "\n[… 200 of 400 characters left out; the whole result is kept as out_2")


def test_edits_come_back_from_json_as_they_were() -> None:
    edits = Edits(cleared=((1, "out_1"),), previews=((1, 200),), since=2, handoff=HANDOFF)
    assert Edits.model_validate_json(edits.model_dump_json()) == edits
    assert Edits.model_validate({"cleared": [(1, "out_1")]}).previews == ()  # as they were saved before there were any


def test_the_pressure_counts_instructions_and_what_is_kept_for_the_reply() -> None:
    window = Window(max_tokens=100, reserved_output_tokens=20)
    assert window.tokens("", (), ()) == 20 + 4
    assert window.tokens("12345678", TALK, ()) == 20 + 4 + 2 + tokens_in(TALK)
    assert window.rho("", (), ()) == 0.24
