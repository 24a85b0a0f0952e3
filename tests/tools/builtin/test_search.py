"""Tests of searching texts."""

import time

import pytest

from loom.errors import ToolExecutionError
from loom.tools.builtin.search import MAX_MATCHES, Match, search

TEXTS = {"a.py": "import os\r\nx = 1\n", "b.py": "# Import\nimport sys\x0cimport re\n", "empty": ""}


def found(pattern: str, *, ignore_case: bool = False) -> list[Match]:
    return search(TEXTS, pattern, ignore_case=ignore_case, timeout_s=10)[0]


def test_lines_are_found_with_path_and_number() -> None:
    assert found("^import") == [("a.py", 1, "import os"), ("b.py", 2, "import sys\x0cimport re")]
    assert found("IMPORT$", ignore_case=True) == [("b.py", 1, "# Import")]
    assert found(r"\d") == [("a.py", 2, "x = 1")]
    assert found("nothing") == []


def test_only_the_first_lines_are_returned() -> None:
    many = {"a": "x\n" * (MAX_MATCHES + 1)}
    found, has_more = search(many, "x", ignore_case=False, timeout_s=10)
    assert (len(found), has_more, found[-1].line) == (MAX_MATCHES, True, MAX_MATCHES)
    assert not search({"a": "x\n" * MAX_MATCHES}, "x", ignore_case=False, timeout_s=10)[1]
    (long,), _ = search({"a": "y" * 5000}, "y", ignore_case=False, timeout_s=10)
    assert len(long.text) == 300


def test_a_pattern_that_takes_for_ever_is_stopped() -> None:
    began = time.monotonic()
    with pytest.raises(ToolExecutionError, match="took longer than 1 s; make it simpler"):
        search({"a": "a" * 60 + "!"}, r"(a|a)+$", ignore_case=False, timeout_s=1)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("pattern", ["(", "[", "(?P<x>a)(?P<x>b)", "*", "(" * 20_000 + ")" * 20_000])
def test_what_is_no_regular_expression_is_told(pattern: str) -> None:
    with pytest.raises(ToolExecutionError, match=r"is no regular expression|make it simpler"):
        search(TEXTS, pattern, ignore_case=False, timeout_s=10)


def test_any_text_can_be_searched() -> None:
    assert search({"ü\ud800": "é\ud800\0"}, "é", ignore_case=False, timeout_s=10)[0] == [("ü\ud800", 1, "é\ud800\0")]
