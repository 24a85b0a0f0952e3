"""Tests of the node that plans."""

import pytest
from syrupy.assertion import SnapshotAssertion

from loom.nodes.plan import Plan
from loom.testing import ScriptedModel, run_node
from tests.nodes.sprints import BRIEF, MODEL

pytestmark = pytest.mark.anyio


async def test_a_brief_becomes_a_specification(node_snapshot: SnapshotAssertion) -> None:
    model = ScriptedModel(["\nadd(a, b) returns the sum.\n"])
    assert await run_node(Plan(model=MODEL), {"brief": BRIEF}, model=model) == node_snapshot


async def test_the_prompt_is_as_reviewed(snapshot: SnapshotAssertion) -> None:
    model = ScriptedModel(["x"])
    await run_node(Plan(model=MODEL), {"brief": BRIEF}, model=model)
    assert model.requests[0].messages == snapshot


async def test_an_empty_reply_leaves_the_brief_as_it_is() -> None:
    out = await run_node(Plan(model=MODEL), {"brief": BRIEF}, model=ScriptedModel([" \n"]))
    assert out.spec == BRIEF
