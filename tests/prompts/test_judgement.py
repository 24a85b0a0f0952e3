"""Tests of reading a judge's verdicts."""

import json
import re

import pytest

from loom.prompts.judgement import Judgement, judgement_in, verdicts_on
from loom.types.contracts import SprintContract, Verdict

CONTRACT = SprintContract(sprint=1, goal="g", criteria=("It adds", "tests pass", "It is short"), eval_tools=("pytest",))
JUDGED = ("c1", "c3")
ADDS = {"id": "c1", "passed": True, "evidence": "a + b"}
SHORT = {"id": "c3", "passed": False, "evidence": "90 lines", "critique": "Shorten it."}


def judged(*entries: object, critique: str = "") -> Judgement:
    return judgement_in(json.dumps({"verdicts": entries, "critique": critique}), CONTRACT, JUDGED)


def test_each_judged_criterion_gets_its_verdict() -> None:
    assert judged(ADDS, SHORT, critique=" So so. ") == Judgement(
        verdicts=(
            Verdict(id="c1", criterion="It adds", passed=True, evidence="a + b"),
            Verdict(id="c3", criterion="It is short", passed=False, evidence="90 lines", critique="Shorten it."),
        ),
        critique="So so.",
    )


def test_an_entry_without_an_id_is_matched_by_its_exact_text() -> None:
    by_text = {"criterion": "It adds", "passed": True, "evidence": "a + b"}
    assert judged(by_text, SHORT) == judged(ADDS, SHORT)
    with pytest.raises(ValueError, match='there is no criterion "It Adds"; expected "c1", "c3"'):
        judged(by_text | {"criterion": "It Adds"}, SHORT)


@pytest.mark.parametrize(
    "checked",
    [
        {"id": "c2", "passed": True, "evidence": "I ran them"},
        {"id": "c2", "passed": True},
        {"criterion": "tests pass", "passed": True, "evidence": "I ran them"},
        {"id": "tests", "criterion": "tests pass", "passed": True, "evidence": "I ran them"},
    ],
)
def test_what_is_said_of_an_executed_check_is_ignored(checked: dict[str, object]) -> None:
    assert judged(ADDS, checked, SHORT) == judged(ADDS, SHORT)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([ADDS], 'there is no entry for "c3"'),
        ([], 'there is no entry for "c1", "c3"'),
        ([ADDS, ADDS, SHORT], 'criterion "c1" has two entries; expected one'),
        ([ADDS, SHORT, ADDS | {"id": "c9"}], 'there is no criterion "c9"'),
        ([ADDS | {"evidence": " "}, SHORT], 'the entry of criterion "c1" has no evidence'),
        ([ADDS | {"passed": "yes"}, SHORT], "verdicts.0.passed"),
        ([ADDS | {"passed": 1}, SHORT], "verdicts.0.passed"),
    ],
)
def test_anything_but_one_entry_with_evidence_for_each_is_refused(entries: list[object], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        judged(*entries)


def test_a_judge_is_asked_for_exactly_one_entry_for_each_criterion() -> None:
    schema = verdicts_on(JUDGED).model_json_schema()
    entries = schema["properties"]["verdicts"]
    assert (entries["minItems"], entries["maxItems"]) == (2, 2)
    assert schema["$defs"]["Entry"]["properties"]["id"]["enum"] == ["c1", "c3"]
    assert list(schema["$defs"]["Entry"]["properties"]) == ["id", "evidence", "passed", "critique"]


def test_what_a_judge_is_asked_for_can_be_read() -> None:
    asked_for = verdicts_on(("c1",)).model_validate({"verdicts": [{**ADDS, "critique": ""}], "critique": ""})
    assert judgement_in(asked_for.model_dump_json(), CONTRACT, ("c1",)).verdicts[0].passed
