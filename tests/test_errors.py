"""Tests of the errors and their words."""

import pickle
import re
from typing import Any, cast

import pytest

import loom.errors
from loom import Problem
from loom.errors import (
    Change,
    ConfigError,
    GraphChangedError,
    GraphError,
    LoomError,
    NodeError,
    NoEdgeError,
    RateLimitError,
    did_you_mean,
    quoted,
)


def test_the_tree_in_the_docstring_is_the_tree_there_is() -> None:
    errors = {
        name: value
        for name, value in vars(loom.errors).items()
        if isinstance(value, type) and issubclass(value, LoomError)
    }
    assert set(re.findall(r"\w+Error", loom.errors.__doc__ or "")) - {"ValueError"} == set(errors)


def test_errors_of_a_run_say_where_it_stood() -> None:
    error = NodeError("failed", run_id="r", node="write", step=3, attempt=2)
    assert (str(error), error.run_id, error.node, error.step, error.attempt) == ("failed", "r", "write", 3, 2)
    assert NoEdgeError("no way", node="judge").node == "judge"
    changed = GraphChangedError("changed", [Change("write", "body")])
    assert changed.changes == (Change("write", "body"),)
    assert RateLimitError("slow down").retry_after_s is None


def test_every_error_is_a_loom_error_and_a_config_error_also_a_value_error() -> None:
    with pytest.raises(LoomError):
        raise RateLimitError("slow down", retry_after_s=2)
    with pytest.raises(ValueError, match="wrong"):
        raise ConfigError("wrong")


def test_a_graph_error_lists_every_finding_warnings_last_and_counts_them_apart() -> None:
    warning, error = Problem("LOOM107", "switch()", "hm", "warning"), Problem("LOOM201", "node", "no")
    raised = GraphError("g", [warning, error])
    assert raised.problems == (warning, error)
    assert (
        str(raised)
        == 'graph "g" has 1 problem and 1 warning:\n  LOOM201 at node: no\n  LOOM107 (warning) at switch(): hm'
    )
    assert str(GraphError("g", [warning, error] * 2)).startswith('graph "g" has 2 problems and 2 warnings:\n')
    assert str(GraphError("g", [error])) == 'graph "g" has 1 problem:\n  LOOM201 at node: no'


def test_names_are_quoted_and_sorted() -> None:
    assert quoted(["b", "a"]) == '"a", "b"'
    assert quoted([]) == "none"


def test_a_close_name_is_suggested_and_a_far_one_is_not() -> None:
    assert did_you_mean("brif", ["brief", "score"]) == ' Did you mean "brief"?'
    assert did_you_mean("xyz", ["brief"]) == ""
    assert did_you_mean("brief", []) == ""
    assert did_you_mean(cast(Any, 3), ["brief"]) == ""  # from code without types


@pytest.mark.parametrize(
    "error",
    [
        NodeError("it failed", run_id="r1", node="write", step=3, attempt=2),
        GraphError("g", [Problem("LOOM101", "edge", "no such node", "error")]),
        NoEdgeError("no way", node="judge"),
        RateLimitError("wait", retry_after_s=2.0),
        GraphChangedError("changed", [Change("write", "body")]),
        ConfigError("wrong"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_crosses_to_another_process_whole(error: LoomError) -> None:
    error.add_note("a note")
    came = pickle.loads(pickle.dumps(error))
    assert type(came) is type(error)
    assert (str(came), came.__dict__) == (str(error), error.__dict__)
