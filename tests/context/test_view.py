"""Tests of what a model is shown of a transcript, and of how much room that takes."""

import pytest

from loom.context.view import handed_off, last_turn, progress_of, put_aside, ref_of, shown, tokens_in, with_handoff
from loom.types.content import DocumentBlock, ImageBlock, TextBlock
from loom.types.messages import Message, ThinkingBlock, ToolCall
from loom.types.models import ToolSchema

CALL = ToolCall(id="1", name="read", arguments={"path": "a"})
IMAGE = ImageBlock(source={"type": "url", "url": "https://example.org/a.png"})
DOCUMENT = DocumentBlock(source={"type": "url", "url": "https://example.org/a.pdf"})
TALK = (
    Message(role="user", content="Read a."),
    Message(role="assistant", content="I will.", tool_calls=(CALL, CALL.model_copy(update={"id": "2"}))),
    Message(role="tool", name="read", tool_call_id="1", content="x" * 400),
    Message(role="tool", name="read", tool_call_id="2", content="y" * 400),
)


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        (Message(role="user"), 4),
        (Message(role="user", content="12345"), 6),
        (Message(role="assistant", tool_calls=(CALL,)), 8),
        (Message(role="assistant", thinking=(ThinkingBlock(text="12345678", signature="123456789"),)), 6),
        (Message(role="assistant", thinking=(ThinkingBlock(signature="1234"), ThinkingBlock(redacted="1234"))), 6),
        (Message(role="user", content=(TextBlock(text="1234"), IMAGE, DOCUMENT)), 4 + 1 + 1600 + 3000),
    ],
)
def test_a_token_is_about_four_characters(message: Message, tokens: int) -> None:
    assert tokens_in([message]) == tokens


def test_tools_take_room_too() -> None:
    schema = ToolSchema(name="reader", description="Read.", parameters={"type": "object"})
    assert tokens_in((), (schema, schema)) == 2 * tokens_in((), (schema,)) == 2 * (4 + 7)


def test_what_was_put_aside_is_shown_as_a_reference_where_it_stood() -> None:
    view = shown(TALK, {2: "out_1"}, {})
    assert view[2].text == "[the result of read was put aside: 400 characters, ref out_1]"
    assert [view[0], view[1], view[3]] == [TALK[0], TALK[1], TALK[3]]
    assert (view[2].tool_call_id, view[2].role) == ("1", "tool")
    assert view[2] == put_aside(TALK[2], "out_1")


def test_what_was_put_aside_with_a_preview_has_the_reference_between_its_ends() -> None:
    note = "[… 300 of 400 characters left out; the whole result is kept as out_1 …]"
    preview = put_aside(TALK[2], "out_1", room=100)
    assert preview == TALK[2].model_copy(update={"content": f"{'x' * 50}\n{note}\n{'x' * 50}"})
    assert shown(TALK, {2: "out_1"}, {2: 100}) == (*TALK[:2], preview, TALK[3])
    assert put_aside(TALK[2], "out_1", room=400) == TALK[2]
    with_image = TALK[2].model_copy(update={"content": (TextBlock(text="x" * 400), IMAGE)})
    assert put_aside(with_image, "out_1", room=100).content == (IMAGE, TextBlock(text=preview.text))


def test_equal_texts_have_one_reference() -> None:
    assert ref_of("a") == ref_of("a") != ref_of("b")


def test_the_last_turn_begins_where_the_model_last_spoke() -> None:
    assert last_turn(TALK) == 1
    assert last_turn(TALK[:1]) == 1, "a model that never spoke has none"


def test_progress_counts_the_calls_and_has_the_last_words() -> None:
    assert progress_of(TALK, room=100) == "- called read 2 times\n- last said: I will."
    assert progress_of(TALK[:1], room=100) == ""


def test_of_last_words_that_are_long_both_ends_are_told() -> None:
    said = Message(role="assistant", content="First, " + "x" * 100_000 + " that is all.")
    told = progress_of([said], room=1000)
    assert told.startswith("- last said: First, xxx")
    assert told.endswith("xxx that is all.")
    assert " … 99020 characters left out … " in told
    assert len(told) < 1100
    whole = Message(role="assistant", content="x" * 1000)
    assert progress_of([whole], room=1000) == f"- last said: {whole.text}"


def test_the_goal_of_a_handoff_is_the_first_message_byte_by_byte() -> None:
    goal = "  Read a.\r\n\tDo it — now!\n\n"
    handoff = handed_off(
        (Message(role="user", content=goal), *TALK[1:]), sprint=2, rho=0.96789, at="2026-01-01", room=1000
    )
    assert (handoff.goal, handoff.sprint, handoff.handoff_ts) == (goal, 2, "2026-01-01")
    assert handoff.context_snapshot == {"rho": 0.968, "messages": 4}


def test_a_handoff_tells_of_earlier_runs_and_of_results_that_nobody_saw() -> None:
    handoff = handed_off(TALK[:1], sprint=1, rho=1.0, at="2026-01-01", room=1000, earlier=TALK[:2], unseen=TALK[2:3])
    assert handoff.progress_summary.splitlines() == [
        "- asked before: Read a.",
        "- called read 2 times",
        "- last said: I will.",
        f"- the result of read, not seen yet: {'x' * 100}",
        f"[… 200 of 400 characters left out; the whole result is kept as {ref_of('x' * 400)} …]",
        "x" * 100,
    ]
    assert handoff.context_snapshot["messages"] == 3


def test_a_conversation_begins_anew_with_the_handoff_and_the_images_of_the_prompt() -> None:
    handoff = handed_off(TALK, sprint=1, rho=1.0, at="2026-01-01", room=1000)
    assert with_handoff(TALK[0], handoff) == Message(role="user", content=handoff.to_system_prompt())
    first = Message(role="user", content=(TextBlock(text="Look."), IMAGE))
    assert with_handoff(first, handoff).content == (IMAGE, TextBlock(text=handoff.to_system_prompt()))
