"""Tests of the node that asks the model what to do."""

import pytest
from syrupy.assertion import SnapshotAssertion

from loom.nodes.reason import Reason
from loom.testing import ScriptedModel, call, run_node
from loom.tools.tool import tool
from loom.types.messages import MALFORMED, Message, ThinkingBlock, ToolCall
from loom.types.models import ModelReply
from tests.nodes.sprints import MODEL

pytestmark = pytest.mark.anyio
INPUTS = {"messages": [Message(role="user", content="What is 1 + 1?")]}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def test_what_the_model_wants_is_kept(node_snapshot: SnapshotAssertion) -> None:
    model = ScriptedModel([[call("add", a=1, b=1), call("add", a=2, b=2)]])
    assert await run_node(Reason(model=MODEL), INPUTS, model=model) == node_snapshot


async def test_the_request_is_as_reviewed(snapshot: SnapshotAssertion) -> None:
    model = ScriptedModel(["2"])
    await run_node(Reason(model=MODEL, instructions="Be exact."), INPUTS, model=model, tools={"add": add})
    assert model.requests[0].model_dump() == snapshot


async def test_without_instructions_there_is_no_system_message() -> None:
    model = ScriptedModel(["2"])
    out = await run_node(Reason(model=MODEL), INPUTS, model=model)
    assert [message.role for message in model.requests[0].messages] == ["user"]
    assert (out.output, out.calls) == ("2", ())


async def test_what_the_model_thought_is_a_part_of_its_turn() -> None:
    reply = ModelReply(text="2", thinking=(ThinkingBlock(text="One and one.", signature="s"),))
    out = await run_node(Reason(model=MODEL), INPUTS, model=ScriptedModel([reply]))
    assert out.messages == (Message(role="assistant", content="2", thinking=reply.thinking),)


async def test_a_default_temperature_says_that_it_is_one() -> None:
    model = ScriptedModel(["2", "2"])
    for is_default in (True, False):
        node = Reason(model=MODEL, temperature=0.7, temperature_is_default=is_default)
        await run_node(node, INPUTS, model=model)
    assert [(asked.temperature, asked.temperature_is_default) for asked in model.requests] == [
        (0.7, True),
        (0.7, False),
    ]


async def test_half_a_character_in_a_reply_costs_no_run() -> None:
    out = await run_node(Reason(model=MODEL), INPUTS, model=ScriptedModel(["a \ud83d"]))
    assert (out.output, out.messages[0].text) == ("a \ufffd", "a \ufffd")


async def test_calls_that_share_an_id_are_told_apart() -> None:
    calls = [ToolCall(id="a", name="add", arguments={"a": number}) for number in range(3)]
    calls.append(ToolCall(id="a_2", name="add"))
    out = await run_node(Reason(model=MODEL), INPUTS, model=ScriptedModel([calls]))
    assert [call.id for call in out.calls] == ["a", "a_2", "a_3", "a_2_2"]
    assert [call.arguments for call in out.calls] == [call.arguments for call in calls]
    assert out.messages[0].tool_calls == out.calls


async def test_half_a_character_in_a_call_costs_no_run_and_spoils_its_arguments() -> None:
    halves = [
        ToolCall(id="a", name="add", arguments={"a": ["x \ud83d"]}),
        ToolCall(id="b", name="add", arguments={"\ud83d": 1}),
        ToolCall(id="c \ud83d", name="add \ud83d", arguments={"a": 1}),
        ToolCall(id="d", name="add", arguments={"a": "😀"}),
    ]
    out = await run_node(Reason(model=MODEL), INPUTS, model=ScriptedModel([halves]))
    assert [(call.id, call.name, call.arguments) for call in out.calls] == [
        ("a", "add", {MALFORMED: '{"a": ["x \ufffd"]}'}),
        ("b", "add", {MALFORMED: '{"\ufffd": 1}'}),
        ("c \ufffd", "add \ufffd", {"a": 1}),
        ("d", "add", {"a": "😀"}),
    ]
    assert all(call.model_dump_json() for call in out.calls)
