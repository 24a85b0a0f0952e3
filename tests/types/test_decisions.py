"""Tests of the records of what was decided."""

from loom.types.decisions import Decision, ToolRun
from loom.types.messages import ToolResult


def test_a_decision_comes_back_from_json_as_it_was() -> None:
    decision = Decision(call_id="1", tool="add", outcome="allow", digest="d", arguments={"a": [1, {"b": None}]})
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_what_came_of_a_call_comes_back_from_json_with_all_that_was_kept() -> None:
    run = ToolRun(result=ToolResult(tool_call_id="1", content="x"), kept={"out_1": "long"}, notes=("late",))
    assert ToolRun.model_validate_json(run.model_dump_json()) == run
