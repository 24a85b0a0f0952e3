"""Tests of the node that asks a person about tool calls. How a run waits for the answers is told of the agent."""

import pytest

from loom.errors import AnswerError
from loom.nodes.approve import Approve, ApproveOut
from loom.testing import run_node
from loom.types.decisions import Decision, Outcome
from loom.types.events import Event

pytestmark = pytest.mark.anyio


def decided(digest: str, outcome: Outcome = "ask") -> Decision:
    return Decision(call_id="1", tool="pay", outcome=outcome, digest=digest, reason="it costs", arguments={"sum": 1})


async def approved(*decisions: Decision, answers: dict[str, object], events: list[Event] | None = None) -> ApproveOut:
    return await run_node(Approve(), {"decisions": decisions}, answers=answers, events=events)


async def test_each_call_in_question_is_asked_about() -> None:
    decisions = decided("a"), decided("b", "allow"), decided("c"), decided("d", "deny")
    events: list[Event] = []
    out = await approved(*decisions, answers={"0: a": True, "2: c": False}, events=events)
    assert out.approved == ("a",)
    assert out.open_questions == 0
    assert [decision.outcome for decision in out.decisions] == ["ask", "allow", "deny", "deny"]
    assert out.decisions[2].reason == "the call was not approved"
    assert [(event.type, event.payload["digest"]) for event in events] == [("veto.denied", "c")]


async def test_of_two_equal_calls_one_may_be_approved() -> None:
    out = await approved(decided("a"), decided("a"), answers={"0: a": False, "1: a": True})
    assert [decision.outcome for decision in out.decisions] == ["deny", "ask"]
    assert out.approved == ("a",)


async def test_an_answer_that_is_neither_yes_nor_no_is_refused() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await approved(decided("a"), answers={"0: a": "perhaps"})
    assert caught.group_contains(AnswerError)
