"""Tests of patterns of paths."""

import time

import pytest

from loom.tools.builtin.patterns import PathPattern

PATHS = ["a.py", "b.txt", "src/a.py", "src/b.py", "src/deep/er/a.py", "src/deep/.hidden", "[x].md", "tests/src/a.py"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.py", ["a.py"]),
        ("**/*.py", ["a.py", "src/a.py", "src/b.py", "src/deep/er/a.py", "tests/src/a.py"]),
        ("src/*.py", ["src/a.py", "src/b.py"]),
        ("./src/**/a.py", ["src/a.py", "src/deep/er/a.py"]),
        ("src/**", ["src/a.py", "src/b.py", "src/deep/er/a.py", "src/deep/.hidden"]),
        ("**", PATHS),
        ("**/src/**/a.py", ["src/a.py", "src/deep/er/a.py", "tests/src/a.py"]),
        ("src/[ab].??", ["src/a.py", "src/b.py"]),
        ("[[]x].md", ["[x].md"]),
        ("*", ["a.py", "b.txt", "[x].md"]),
        ("*/*/*/*", ["src/deep/er/a.py"]),
        ("A.PY", []),
        ("src", []),
        ("", []),
    ],
)
def test_a_pattern_matches_whole_paths(pattern: str, found: list[str]) -> None:
    assert [path for path in PATHS if PathPattern(pattern).matches(path)] == found


def test_no_pattern_takes_long() -> None:
    began = time.monotonic()
    assert not PathPattern("/".join(["**", "a*a*a*a*a*b"] * 20)).matches("/".join(["a" * 200] * 60))
    assert time.monotonic() - began < 10  # it would be years
