"""Tests of settings, checked where they are given."""

from collections.abc import Callable
from typing import Any

import pytest

from loom.errors import ConfigError
from loom.types.given import (
    check_count,
    check_flag,
    check_kind,
    check_list,
    check_name,
    check_number,
    check_one_of,
    check_seconds,
    check_text,
    check_texts,
)

Check = Callable[[str, Any], None]


def texts(place: str, given: Any) -> None:
    check_texts(place, given, '"a"')


def one_of(place: str, given: Any) -> None:
    check_one_of(place, given, ("a", "b"))


def from_zero(place: str, given: Any) -> None:
    check_count(place, given, least=0)


def some_texts(place: str, given: Any) -> None:
    check_texts(place, given, '"a"', is_needed=True)


@pytest.mark.parametrize(
    ("check", "given"),
    [
        (check_name, ["a", "A_b-9", "x" * 64]),
        (check_text, ["", "a"]),
        (check_flag, [True, False]),
        (check_seconds, [1, 0.001, 10**400]),
        (check_number, [0, 0.5, 10**400, float("inf")]),
        (check_count, [1, 10**30]),
        (from_zero, [0, 1]),
        (texts, [[], (), ["a"], ("a", "b"), {"a"}]),
        (some_texts, [["a"], {"a"}]),
    ],
)
def test_what_may_be_given_is_taken(check: Check, given: list[Any]) -> None:
    for each in given:
        check("here", each)


WRONG: list[tuple[Check, str, list[Any]]] = [
    (check_name, "a name that providers take", ["", "a b", "a\n", "é", "x" * 65, None]),
    (check_text, "a text", [None, b"a", 1]),
    (check_flag, "True or False", ["no", 0, 1, None]),
    (check_seconds, "more than 0 seconds", ["1", 0, -1, True, None, float("nan"), float("inf")]),
    (check_number, "a number of at least 0", ["1", -0.1, True, None, float("nan")]),
    (check_count, "a whole number of at least 1", ["1", 0, 1.0, True, None]),
    (from_zero, "a whole number of at least 0", [-1, False]),
    (texts, 'a list of texts, as in ["a"]', ["a", b"a", None, 1, [1], [""], [" "], ["a", None]]),
    (one_of, 'one of "a", "b"', ["c", "A", None, ["a"]]),
    (some_texts, 'a list of texts, as in ["a"]', [[], (), "a"]),
]


@pytest.mark.parametrize(("check", "expected", "given"), WRONG)
def test_what_may_not_be_given_is_told_with_its_place(check: Check, expected: str, given: list[Any]) -> None:
    for each in given:
        with pytest.raises(ConfigError) as caught:
            check("here", each)
        assert str(caught.value).startswith(f"here must be {expected}")
        assert str(caught.value).endswith(f"got {type(each).__name__}: {each!r:.80}")


def test_a_list_holds_what_it_should_and_the_place_of_what_it_should_not_is_told() -> None:
    check_list("Tool(names=…)", ["a", "b"], str)
    check_list("Tool(names=…)", (), str)
    check_kind("Tool(name=…)", "a", str)
    for given, told in {
        "ab": "Tool(names=…) must be a list of str; got str: 'ab'",
        3: "Tool(names=…) must be a list of str; got int: 3",
        ("a", 3): "Tool(names[1]=…) must be str; got int: 3",
    }.items():
        with pytest.raises(ConfigError) as caught:
            check_list("Tool(names=…)", given, str)
        assert str(caught.value) == told
