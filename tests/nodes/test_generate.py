"""Tests of the node that produces text."""

import pytest
from syrupy.assertion import SnapshotAssertion

from loom.nodes.generate import Generate
from loom.testing import ScriptedModel, run_node
from tests.nodes.sprints import BRIEF, CONTRACT, FAILED, MODEL

pytestmark = pytest.mark.anyio
INPUTS: dict[str, dict[str, object]] = {
    "first": {"brief": "short", "spec": BRIEF, "contract": CONTRACT},
    "later": {"brief": BRIEF, "contract": CONTRACT, "sprints": [FAILED]},
    "without_contract": {"brief": BRIEF},
}


async def test_the_reply_is_the_output(node_snapshot: SnapshotAssertion) -> None:
    assert (
        await run_node(Generate(model=MODEL), INPUTS["first"], model=ScriptedModel([" As it is.\n"])) == node_snapshot
    )


@pytest.mark.parametrize("in_files", [False, True], ids=["text", "files"])
@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS)
async def test_the_prompt_is_as_reviewed(
    inputs: dict[str, object], in_files: bool, snapshot: SnapshotAssertion
) -> None:
    model = ScriptedModel(["x"])
    await run_node(Generate(model=MODEL, in_files=in_files), inputs, model=model)
    assert model.requests[0].messages == snapshot
