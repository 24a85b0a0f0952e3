"""Tests of calls' ids, by which alone a provider tells their results apart."""

import pytest

from loom import AgentConfig, create_agent, tool
from loom.models.ids import own_id, without_thought
from loom.models.litellm import client
from loom.types.stream import ToolCallDelta
from tests.models.loopback import HELLO, ask, calls, live, provider
from tests.models.protocols import ANTHROPIC, anthropic, call_block, piece, text_block


@tool(read_only=True)
async def double(x: int) -> int:
    """Double a number."""
    return 2 * x


@pytest.mark.parametrize(
    ("call_id", "taken", "own"),
    [
        ("a", set[str](), "a"),
        ("a", {"b"}, "a"),
        ("a", {"a"}, "a_2"),
        ("a", {"a", "a_2"}, "a_3"),
        ("a__thought__c2ln", {"a__thought__c2ln"}, "a_2__thought__c2ln"),
    ],
)
def test_a_call_gets_an_id_of_its_own(call_id: str, taken: set[str], own: str) -> None:
    assert own_id(call_id, taken) == own


def test_a_thought_is_no_part_of_an_id() -> None:
    assert without_thought("a__thought__c2ln") == without_thought("a") == "a"


@live
async def test_two_calls_with_one_id_go_back_with_two_and_each_with_its_result() -> None:
    same = calls(piece(0, "a", "double", '{"x": 1}'), piece(1, "a", "double", '{"x": 2}'))
    with provider(same, same, HELLO) as server:
        reply, heard = await ask(client(server.ref))
        await create_agent(AgentConfig(model=server.ref, tools=[double])).run("x")
    turn, *results = server.asked[2].body["messages"][1:]
    assert [call["id"] for call in turn["tool_calls"]] == ["a", "a_2"]
    assert [(result["tool_call_id"], result["content"]) for result in results] == [("a", "2"), ("a_2", "4")]
    shown = [delta.id for delta in heard if isinstance(delta, ToolCallDelta)]
    assert shown == [call.id for call in reply.tool_calls] == ["a", "a_2"]


@live
async def test_anthropic_is_told_two_calls_with_one_id_apart() -> None:
    blocks = [*call_block(0, "a", "double", '{"x":', " 1}"), *call_block(1, "a", "double", '{"x":', " 2}")]
    same = anthropic(*blocks, stop_reason="tool_use")
    with provider(same, anthropic(*text_block(0, "done"))) as server:
        agent = create_agent(AgentConfig(model=ANTHROPIC.ref(server.base), tools=[double]))
        assert (await agent.run("x")).output == "done"
    _, turn, results = server.asked[1].body["messages"]
    assert [(block["id"], block["input"]) for block in turn["content"]] == [("a", {"x": 1}), ("a_2", {"x": 2})]
    assert [(block["tool_use_id"], block["content"]) for block in results["content"]] == [("a", "2"), ("a_2", "4")]
