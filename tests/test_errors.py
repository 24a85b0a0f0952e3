"""Tests of the errors and their words."""

import pickle
import re
from collections.abc import Callable
from typing import Any, cast

import pytest

import loom.errors
from loom import Cache, Graph, Limits, Problem, Retry, Runtime, SqliteCheckpointer, State, node
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
    error_text,
    quoted,
    short,
)
from tests.runs.failures import Sullen


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


def test_an_error_is_told_by_its_type_and_text() -> None:
    assert error_text(ValueError("not now")) == "ValueError: not now"
    assert error_text(KeyError("a")) == "KeyError: 'a'"
    assert error_text(Sullen()) == "Sullen: its text cannot be told, RuntimeError"


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


TOO_LONG = 10**5000

TAKES: list[Callable[[Any], object]] = [
    lambda given: Limits(max_steps=given),
    lambda given: Retry(max_attempts=given),
    lambda given: Retry(on=given),
    lambda given: Cache(ttl_s=given),
    lambda given: Runtime(limits=given),
    lambda given: Runtime(clock=given),
    lambda given: Runtime(models=given),
    SqliteCheckpointer,
    lambda given: Graph("g", given),
    lambda given: Graph("g", State).node("n", given),
    lambda given: Graph("g", State).each("a", "b", over="items", bind="item", max_concurrency=given),
    lambda given: node(effect=given),
    lambda given: node(writes=given),
]


def test_any_value_can_be_shown() -> None:
    assert short("x" * 200) == "'" + "x" * 79
    assert short(TOO_LONG) == "a value of type int that cannot be shown"
    assert short(Rude()) == "a value of type Rude that cannot be shown"


@pytest.mark.parametrize("given", [-TOO_LONG, Rude()], ids=["too long", "rude"])
@pytest.mark.parametrize("take", TAKES, ids=str)
def test_a_wrong_value_that_cannot_be_shown_is_refused_all_the_same(take: Callable[[Any], object], given: Any) -> None:
    with pytest.raises(ConfigError, match=r"a value of type (int|Rude) that cannot be shown"):
        take(given)
