"""Tests of names inside inner graphs, and of what is noted of errors."""

from loom.runs.notes import branch_of, path_of, said
from tests.runs.failures import Sullen


def test_a_path_names_the_graphs_around_a_node_from_the_outside() -> None:
    assert path_of((), "a") == "a"
    assert path_of((("", "outer"), ("0", "inner")), "a") == "outer/inner/a"


def test_a_branch_leaves_trunks_out() -> None:
    assert branch_of((), "") == ""
    assert branch_of((("", "outer"), ("0.1", "inner")), "2") == "0.1/2"


def test_an_error_is_noted_by_its_type_and_text() -> None:
    assert said(ValueError("not now")) == "ValueError: not now"
    assert said(KeyError("a")) == "KeyError: 'a'"


def test_an_error_whose_text_cannot_be_told_is_noted_all_the_same() -> None:
    assert said(Sullen()) == "Sullen: its text cannot be told, RuntimeError"
