"""Tests of the node that agrees on a contract."""

import json

import pytest
from syrupy.assertion import SnapshotAssertion

from loom.nodes.negotiate import OF_THE_BRIEF, Negotiate
from loom.testing import ScriptedModel, run_node
from tests.nodes.sprints import BRIEF, FAILED, MODEL

pytestmark = pytest.mark.anyio
NODE = Negotiate(model=MODEL, checks=("tests pass",))


async def criteria(*replies: str, node: Negotiate = NODE) -> tuple[str, ...]:
    model = ScriptedModel(replies)
    out = await run_node(node, {"brief": BRIEF}, model=model)
    model.assert_done()
    return out.contract.criteria


async def test_a_contract_is_agreed_on(node_snapshot: SnapshotAssertion) -> None:
    reply = json.dumps({"criteria": ["add adds", {"id": "c2", "text": "the tests", "check": "tests pass"}]})
    inputs = {"brief": "short", "spec": BRIEF, "sprints": [FAILED]}
    assert await run_node(NODE, inputs, model=ScriptedModel([reply])) == node_snapshot


@pytest.mark.parametrize("inputs", [{"brief": BRIEF}, {"brief": BRIEF, "sprints": [FAILED]}], ids=["first", "later"])
async def test_the_prompt_is_as_reviewed(inputs: dict[str, object], snapshot: SnapshotAssertion) -> None:
    model = ScriptedModel(['{"criteria": []}'])
    await run_node(NODE, inputs, model=model)
    assert model.requests[0].messages == snapshot


async def test_every_check_is_a_criterion_whatever_the_model_says() -> None:
    assert await criteria('{"criteria": ["add adds"]}') == ("add adds", "tests pass")
    assert await criteria('{"criteria": ["tests pass", "add adds", "tests pass"]}') == ("tests pass", "add adds")
    assert await criteria('{"criteria": []}') == ("tests pass",)


async def test_a_check_that_there_is_not_is_only_text() -> None:
    reply = '{"criteria": [{"text": " it lints ", "check": "rm -rf /"}, ""]}'
    assert await criteria(reply) == ("it lints", "tests pass")


async def test_what_cannot_be_read_is_asked_for_once_more() -> None:
    assert await criteria("Sure!", '{"criteria": ["add adds"]}') == ("add adds", "tests pass")


async def test_two_replies_that_cannot_be_read_leave_the_checks_or_the_brief() -> None:
    too_many = json.dumps({"criteria": [str(number) for number in range(21)]})
    assert await criteria("Sure!", too_many) == ("tests pass",)
    assert await criteria("Sure!", "Sure!", node=Negotiate(model=MODEL)) == (OF_THE_BRIEF,)
