"""Tests of a conversation in a window, for loops of one's own."""

import re
from typing import Any

import pytest

from loom import ConfigError, ContextError, ContextOverflowError
from loom.context import ContextManager
from loom.types.messages import Message, ToolCall

CALL = ToolCall(id="c1", name="read", arguments={"path": "a.py"})


def talk(turns: int, size: int = 400) -> list[Message]:
    """Return a conversation of turns of about `size` characters each."""
    said = [Message(role="user", content="Write the report")]
    for number in range(turns):
        said.append(Message(role="assistant", content=f"step {number}", tool_calls=(CALL,)))
        said.append(Message(role="tool", name="read", tool_call_id="c1", content="x" * size))
    return said


def test_pressure_grows_with_what_is_said_and_counts_what_is_reserved() -> None:
    empty, reserved = ContextManager(1000), ContextManager(1000, reserved_output_tokens=500)
    assert reserved.tokens - empty.tokens == 500
    before = empty.rho
    empty.extend(talk(3))
    assert before < empty.rho == empty.tokens / 1000


def test_the_view_is_all_that_was_said_until_a_renewal() -> None:
    manager = ContextManager(10_000, goal="A report", instructions="Be brief", constraints=["No pictures"])
    manager.extend(talk(2))
    first, *rest = manager.messages()
    assert (first.role, rest) == ("system", talk(2))
    assert all(text in first.text for text in ("A report", "Be brief", "- No pictures"))
    assert manager.last_handoff is None


def test_a_renewal_makes_room_and_hands_on_the_goal_and_what_was_done() -> None:
    manager = ContextManager(1000, goal="A report", constraints=["No pictures"])
    manager.extend(talk(12))
    assert manager.rho > 1
    fixed = manager.messages()[0]
    handoff = manager.renew()
    assert manager.rho < 1
    assert manager.last_handoff is handoff
    assert (handoff.goal, handoff.sprint) == ("A report", 1)
    assert "called read 12 times" in handoff.progress_summary
    shown = manager.messages()
    assert shown[0] == fixed
    assert shown[1].text == handoff.to_system_prompt()
    assert [message.role for message in shown[2:]] == ["assistant", "tool"]


def test_renewals_are_counted_and_what_comes_after_is_shown() -> None:
    manager = ContextManager(2000)
    manager.extend(talk(4))
    manager.renew()
    manager.extend([Message(role="user", content="And now the summary")])
    assert manager.messages()[-1].text == "And now the summary"
    second = manager.renew()
    assert (second.sprint, second.goal) == (2, "Write the report")


def test_of_results_that_have_no_room_in_the_last_turn_the_middle_is_left_out() -> None:
    manager = ContextManager(1000, goal="A report")
    whole = "first " + "x" * 9000 + " last"
    short = Message(role="tool", name="read", tool_call_id="c2", content="y" * 40)
    manager.extend([*talk(3)[:-1], Message(role="tool", name="read", tool_call_id="c1", content=whole), short])
    manager.renew()
    *_, turn, cut, last = manager.messages()
    assert (turn.text, last) == ("step 2", short)
    assert cut.text.startswith("first xxx")
    assert cut.text.endswith("xxx last")
    assert len(cut.text) > 1000, "as much as fits"
    (ref,) = re.findall(r"\[… \d+ of 9011 characters left out; the whole result is kept as (\w+) …\]", cut.text)
    assert manager.fetch(ref) == whole
    assert manager.rho < 1


def test_results_of_a_last_turn_that_has_no_room_are_told_in_the_handoff() -> None:
    manager = ContextManager(700, goal="A report")
    manager.extend(talk(1)[:1])
    manager.extend([Message(role="assistant", content="z" * 3000, tool_calls=(CALL,))])
    manager.extend([Message(role="tool", name="read", tool_call_id="c1", content="first " + "x" * 9000)])
    handoff = manager.renew()
    assert [message.role for message in manager.messages()] == ["system", "user"]
    assert "- the result of read, not seen yet: first xxx" in handoff.progress_summary
    (ref,) = re.findall(r"kept as (\w+)", manager.messages()[-1].text)
    assert manager.fetch(ref).startswith("first xxx")
    assert manager.rho < 1


def test_what_was_said_after_a_last_turn_that_has_no_room_is_shown() -> None:
    manager = ContextManager(500, goal="A report")
    asked = Message(role="user", content="And now the summary")
    manager.extend([*talk(1)[:1], Message(role="assistant", content="z" * 3000), asked])
    manager.renew()
    assert [message.role for message in manager.messages()] == ["system", "user", "user"]
    assert manager.messages()[-1] == asked
    manager.extend([Message(role="user", content="x" * 4000)])
    with pytest.raises(ContextOverflowError, match=r"said after the last turn 10\d\d"):
        manager.renew()


def test_a_reference_to_no_result_is_refused() -> None:
    manager = ContextManager(500)
    manager.extend(talk(1))
    with pytest.raises(ContextError, match=r"there is no result 'out_1'; a reference stands in messages\(\)"):
        manager.fetch("out_1")


def test_last_words_that_are_too_long_are_cut_in_the_handoff() -> None:
    manager = ContextManager(2000, goal="A report")
    manager.extend([Message(role="user", content="Begin"), Message(role="assistant", content="x" * 9000)])
    assert " … 7000 characters left out … " in manager.renew().progress_summary
    assert manager.rho < 1


def test_what_can_never_be_left_out_and_does_not_fit_is_told_in_numbers() -> None:
    manager = ContextManager(100, goal="A report", instructions="x" * 4000)
    manager.extend(talk(1))
    before = manager.messages()
    told = r"holds 100 tokens.*constraints 10\d\d, handoff .*, reserved for the reply 0"
    with pytest.raises(ContextOverflowError, match=told):
        manager.renew()
    assert manager.messages() == before
    assert manager.last_handoff is None


def test_an_empty_conversation_can_be_renewed() -> None:
    manager = ContextManager(1000, goal="A report")
    assert manager.renew().goal == "A report"
    assert [message.role for message in manager.messages()] == ["system", "user"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max_tokens": 0}, r"ContextManager\(max_tokens=…\) must be a whole number from 1, got 0"),
        ({"max_tokens": True}, "whole number from 1, got True"),
        ({"max_tokens": 10, "reserved_output_tokens": -1}, "reserved_output_tokens"),
        ({"max_tokens": 10, "constraints": "none"}, "must be a list of texts, got 'none'"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ContextManager(**settings)


def test_what_is_no_message_is_refused() -> None:
    manager = ContextManager(1000)
    wrong: list[Any] = [Message(role="user", content="x"), "y"]
    with pytest.raises(ConfigError, match=r"messages\[1\] must be a Message, got str"):
        manager.extend(wrong)
    assert manager.messages() == ()
