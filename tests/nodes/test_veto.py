"""Tests of the node that forbids tool calls."""

import pytest
from syrupy.assertion import SnapshotAssertion

from loom.nodes.veto import Veto
from loom.testing import run_node
from loom.types.events import Event
from loom.types.messages import ToolCall

pytestmark = pytest.mark.anyio
CALLS = {"calls": [ToolCall(id=f"call_{number}", name=name) for number, name in enumerate(("read", "write", "drop"))]}


async def test_each_call_is_judged(node_snapshot: SnapshotAssertion) -> None:
    node = Veto(allow=frozenset({"read", "drop"}), deny=frozenset({"drop"}))
    assert await run_node(node, CALLS) == node_snapshot


@pytest.mark.parametrize(
    ("allow", "deny", "allowed"),
    [
        (None, set[str](), [True, True, True]),
        (None, {"drop"}, [True, True, False]),
        (set[str](), set[str](), [False, False, False]),
        ({"read"}, set[str](), [True, False, False]),
    ],
)
async def test_allow_and_deny_decide(allow: set[str] | None, deny: set[str], allowed: list[bool]) -> None:
    node = Veto(allow=None if allow is None else frozenset(allow), deny=frozenset(deny))
    assert [not why for why in (await run_node(node, CALLS)).vetoes] == allowed


async def test_each_decision_is_an_event() -> None:
    events: list[Event] = []
    await run_node(Veto(deny=frozenset({"drop"})), CALLS, events=events)
    assert [event.payload["allowed"] for event in events if event.type == "tool.judged"] == [True, True, False]
    assert events[-1].payload["why"] == 'tool "drop" is denied'
