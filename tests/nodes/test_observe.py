"""Tests of the node that takes in what has arrived."""

import pytest
from syrupy.assertion import SnapshotAssertion

from loom.nodes.observe import Observe
from loom.testing import run_node
from loom.types.messages import Message, ToolCall, ToolResult

pytestmark = pytest.mark.anyio


async def test_results_follow_in_the_order_of_calls(node_snapshot: SnapshotAssertion) -> None:
    inputs = {
        "prompt": "?",
        "messages": [Message(role="user", content="?")],
        "calls": [ToolCall(id="b", name="two"), ToolCall(id="a", name="one")],
        "results": [ToolResult(tool_call_id="b", content="2"), ToolResult(tool_call_id="a", content="1")],
    }
    assert await run_node(Observe(), inputs) == node_snapshot


async def test_a_conversation_begins_with_the_prompt() -> None:
    assert (await run_node(Observe(), {"prompt": "?"})).messages == (Message(role="user", content="?"),)


async def test_a_call_without_a_result_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="shorter"):
        await run_node(
            Observe(), {"prompt": "?", "messages": [Message(role="user")], "calls": [ToolCall(id="a", name="x")]}
        )
