"""Tests of the errors and their words."""

import pytest

from loom import Problem
from loom.errors import ConfigError, GraphError, LoomError, RateLimitError, did_you_mean, quoted


def test_every_error_is_a_loom_error_and_a_config_error_also_a_value_error() -> None:
    with pytest.raises(LoomError):
        raise RateLimitError("slow down", retry_after_s=2)
    with pytest.raises(ValueError, match="wrong"):
        raise ConfigError("wrong")


def test_a_graph_error_counts_errors_and_lists_every_finding() -> None:
    problems = [Problem("LOOM101", "edge()", "no"), Problem("LOOM107", "switch()", "hm", "warning")]
    error = GraphError("g", problems)
    assert error.problems == tuple(problems)
    assert str(error) == 'graph "g" has 1 problem:\n  LOOM101 at edge(): no\n  LOOM107 (warning) at switch(): hm'


def test_names_are_quoted_and_sorted() -> None:
    assert quoted(["b", "a"]) == '"a", "b"'
    assert quoted([]) == "none"


def test_a_close_name_is_suggested_and_a_far_one_is_not() -> None:
    assert did_you_mean("brif", ["brief", "score"]) == ' Did you mean "brief"?'
    assert did_you_mean("xyz", ["brief"]) == ""
