"""Tests of contracts and what came of them."""

import pytest
from pydantic import ValidationError

from loom.types.contracts import SprintContract, SprintResult, Verdict

CONTRACT = SprintContract(sprint=1, goal="g", criteria=("a", "b", "c"))
MET = Verdict(id="c1", criterion="a", passed=True, evidence="e")
NOT_MET = Verdict(id="c2", criterion="b", passed=False, evidence="e")
SPRINT = SprintResult(
    sprint=1, passed=False, output="o", critique="x", contract=CONTRACT, verdicts=(MET, NOT_MET), error=None
)


def test_criteria_are_numbered_in_their_order() -> None:
    assert list(CONTRACT.numbered()) == [("c1", "a"), ("c2", "b"), ("c3", "c")]


def test_a_criterion_without_a_verdict_is_not_met() -> None:
    assert SPRINT.met == 1
    assert SPRINT.failing == {"b", "c"}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"sprint": 2, "critique": "y"}, True),
        ({"output": "other"}, False),
        ({"verdicts": (NOT_MET,)}, False),
        ({"error": "evaluator_error"}, False),
    ],
)
def test_a_sprint_came_out_as_another_by_output_and_failures(change: dict[str, object], same: bool) -> None:
    assert SPRINT.came_out_as(SPRINT.model_copy(update=change)) is same


def test_a_contract_cannot_be_changed_and_counts_from_one() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        CONTRACT.goal = "other"
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        SprintContract(sprint=0, goal="g", criteria=())


def test_a_sprint_survives_json() -> None:
    assert SprintResult.model_validate_json(SPRINT.model_dump_json()) == SPRINT
