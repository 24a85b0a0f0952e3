"""Tests of the records of an agent's runs."""

import json
from typing import Any

import pytest

from loom import ConfigError, KnowledgeQuery, KnowledgeSource, RunContext, SessionConfig
from loom.knowledge.bundle import resolve
from loom.runtime.records import RunResult, RunState, artifacts_in
from loom.types.events import Event


def test_the_states_of_a_run_are_the_documented_words() -> None:
    words = {"queued", "running", "completed", "failed", "cancelled", "paused", "stopped"}
    assert {str(state) for state in RunState} == words


def test_a_context_of_nothing_is_no_text() -> None:
    assert RunContext().to_text() == ""


def test_a_context_is_json_with_its_inputs_and_its_knowledge() -> None:
    source = KnowledgeSource.inline("docs", ["Production deploys require approval."])
    knowledge = resolve(KnowledgeQuery(text="production deploys"), [source])
    payload = json.loads(RunContext(inputs={"goal": "ö", "n": [1, None]}, knowledge=knowledge).to_text())
    assert (payload["goal"], payload["n"]) == ("ö", [1, None])
    assert "Production deploys require approval." in json.dumps(payload["knowledge"])


def test_an_input_called_knowledge_beside_knowledge_is_refused() -> None:
    knowledge = resolve(KnowledgeQuery(text="x"), [])
    with pytest.raises(ConfigError, match="give the input another name"):
        RunContext(inputs={"knowledge": "mine"}, knowledge=knowledge).to_payload()


def test_an_input_that_is_no_json_is_refused_by_name() -> None:
    wrong: dict[str, Any] = {"when": object()}
    with pytest.raises(ConfigError, match=r"RunContext\(inputs"):
        RunContext(inputs=wrong)


@pytest.mark.parametrize("wrong", [float("nan"), [float("inf")], {"a": "half \ud800"}], ids=repr)
def test_an_input_that_cannot_be_saved_is_refused_where_it_is_given(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"RunContext\(inputs=…\) must be JSON that can be saved"):
        RunContext(inputs={"x": wrong})


def test_a_session_tells_its_metadata_in_a_copy() -> None:
    config = SessionConfig(id="demo", metadata={"a": 1})
    config.to_metadata()["b"] = 2
    assert config.to_metadata() == {"a": 1}


def test_an_id_that_cannot_be_shown_is_refused_where_it_is_given() -> None:
    for name in ("", "a\nb", "\u202e"):
        with pytest.raises(ConfigError, match=r"SessionConfig\(id=…\) must be printable text"):
            SessionConfig(id=name)


def test_a_result_of_nothing_is_complete_and_empty() -> None:
    result = RunResult()
    assert (result.run_id, result.state, result.output, result.finish_reason) == ("", RunState.COMPLETED, "", "")
    assert (result.events, result.artifacts, result.error) == ([], [], None)


def test_unknown_settings_of_a_session_are_refused() -> None:
    wrong: dict[str, Any] = {"idd": "x"}
    with pytest.raises(ConfigError, match=r"SessionConfig has no setting .* Did you mean"):
        SessionConfig(**wrong)


def test_the_newest_output_is_the_artifact() -> None:
    payload = {"artifact_id": "r/output", "kind": "output"}
    events = [Event(type="artifact.created", payload=payload, run_id="r", at=float(at)) for at in (1, 2)]
    (artifact,) = artifacts_in(events, "the end")
    assert (artifact.kind, artifact.title, artifact.content) == ("output", "Output", "the end")
    assert artifact.created_at.timestamp() == 2


def test_only_a_stopped_result_has_an_error() -> None:
    assert RunResult("r", RunState.STOPPED, stop_reason="max_iterations").error == {"message": "max_iterations"}
    assert RunResult("r", RunState.COMPLETED, output="Error: is just an answer").error is None
