"""Tests of the node that judges tool calls."""

import pytest
from syrupy.assertion import SnapshotAssertion

from loom.nodes.veto import Veto, VetoOut
from loom.testing import run_node
from loom.tools.door import Door
from loom.tools.tool import tool
from loom.types.events import Event
from loom.types.messages import ToolCall
from loom.types.policy import PolicyConfig, SafetyRule, ToolAccessPolicy, ToolPolicy, ToolRateLimitPolicy

pytestmark = pytest.mark.anyio
CALLED: list[str] = []


@tool(read_only=True)
def read(path: str = "a") -> str:
    CALLED.append(path)
    return path


@tool(requires_permission=True)
def write(path: str) -> str:
    CALLED.append(path)
    return path


@tool
def drop() -> str:
    CALLED.append("drop")
    return ""


DOOR = Door(
    [read, write, drop],
    policy=PolicyConfig(tools=ToolPolicy(access=ToolAccessPolicy(deny=["drop"]))),
    rules=[
        SafetyRule.when_argument_startswith(
            name="etc", tool_name="write", argument="path", prefix="/etc", reason="not there"
        )
    ],
)
CALLS = (
    ToolCall(id="1", name="read"),
    ToolCall(id="2", name="write", arguments={"path": "b"}),
    ToolCall(id="3", name="write", arguments={"path": " /ETC/passwd"}),
    ToolCall(id="4", name="drop"),
    ToolCall(id="5", name="reed"),
    ToolCall(id="6", name="read", arguments={"path": ["a"]}),
)


async def judged(*calls: ToolCall, door: Door = DOOR, events: list[Event] | None = None) -> VetoOut:
    return await run_node(Veto(), {"calls": calls}, tools=door, events=events)


async def test_each_call_is_judged_and_none_is_made(node_snapshot: SnapshotAssertion) -> None:
    assert await judged(*CALLS) == node_snapshot
    assert CALLED == []


async def test_each_decision_is_an_event_with_rule_reason_and_digest() -> None:
    events: list[Event] = []
    out = await judged(*CALLS, events=events)
    assert [event.type for event in events] == ["tool.judged"] * 2 + ["veto.denied"] * 4
    assert [event.payload["digest"] for event in events] == [decision.digest for decision in out.decisions]
    assert (events[2].payload["rule"], events[2].payload["reason"]) == ("etc", 'safety rule "etc": not there')
    assert all("arguments" not in event.payload for event in events)


async def test_tools_behind_no_door_are_judged_by_the_default_policy() -> None:
    @tool(destructive=True)
    def erase() -> str:
        return ""

    calls = [ToolCall(id="1", name="read"), ToolCall(id="2", name="erase")]
    out = await run_node(Veto(), {"calls": calls}, tools={"read": read, "erase": erase})
    assert [decision.outcome for decision in out.decisions] == ["allow", "deny"]


async def test_the_calls_of_one_turn_share_the_rate_limit() -> None:
    limit = ToolPolicy(rate_limits=ToolRateLimitPolicy(max_calls_per_minute=2))
    door = Door([read], policy=PolicyConfig(tools=limit), clock=lambda: 1000.0)
    out = await judged(*[ToolCall(id=str(number), name="read") for number in range(4)], door=door)
    assert [decision.by for decision in out.decisions] == ["", "", "rate_limit", "rate_limit"]
    assert out.decisions[2].retry_after_s == 60.0
