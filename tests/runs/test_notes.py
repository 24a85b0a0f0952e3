"""Tests of names inside inner graphs."""

from loom.runs.notes import branch_of, path_of


def test_a_path_names_the_graphs_around_a_node_from_the_outside() -> None:
    assert path_of((), "a") == "a"
    assert path_of((("", "outer"), ("0", "inner")), "a") == "outer/inner/a"


def test_a_branch_leaves_trunks_out() -> None:
    assert branch_of((), "") == ""
    assert branch_of((("", "outer"), ("0.1", "inner")), "2") == "0.1/2"
