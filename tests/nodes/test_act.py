"""Tests of the node that makes tool calls."""

import pytest
from syrupy.assertion import SnapshotAssertion

from loom.nodes.act import Act, ActOut
from loom.testing import run_node
from loom.tools.tool import tool
from loom.types.events import Event
from loom.types.messages import ToolCall

pytestmark = pytest.mark.anyio
MADE: list[str] = []


@tool
async def echo(text: str) -> str:
    MADE.append(text)
    return text


@tool
def fail() -> str:
    raise RuntimeError("no paper")


@pytest.fixture(autouse=True)
def _none_made() -> None:
    MADE.clear()


async def acted(*calls: ToolCall, vetoes: tuple[str, ...] = (), events: list[Event] | None = None) -> ActOut:
    inputs = {"calls": calls, "vetoes": vetoes or ("",) * len(calls)}
    return await run_node(Act(), inputs, tools={"echo": echo, "fail": fail}, events=events)


async def test_every_call_has_a_result(node_snapshot: SnapshotAssertion) -> None:
    calls = (
        ToolCall(id="call_1", name="echo", arguments={"text": "hello"}),
        ToolCall(id="call_2", name="echo", arguments={"text": "secret"}),
        ToolCall(id="call_3", name="ecko"),
        ToolCall(id="call_4", name="fail"),
        ToolCall(id="call_5", name="echo", arguments={"text": 1}),
    )
    assert await acted(*calls, vetoes=("", 'tool "echo" is denied', "", "", "")) == node_snapshot
    assert MADE == ["hello"]


async def test_two_calls_with_one_id_are_both_made() -> None:
    twice = [ToolCall(id="call_1", name="echo", arguments={"text": text}) for text in "ab"]
    assert [result.content for result in (await acted(*twice)).results] == ["a", "b"]
    assert MADE == ["a", "b"]


async def test_each_call_is_an_event() -> None:
    events: list[Event] = []
    await acted(ToolCall(id="call_1", name="fail"), events=events)
    payload = {"tool": "fail", "call": "call_1", "is_error": True}
    assert [event.payload for event in events if event.type == "tool.finished"] == [payload]


async def test_a_call_that_nobody_judged_is_not_made() -> None:
    with pytest.raises(ValueError, match="shorter"):
        await run_node(Act(), {"calls": [ToolCall(id="1", name="echo", arguments={"text": "x"})], "vetoes": ()})
    assert MADE == []
