"""Tests of the form in which rules compare values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from loom.types.folding import folded, folded_text, is_same, parts, texts_of

JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "text",
    [
        "production",
        "Production",
        "PRODUCTION",
        " production\t",
        "\nproduction\r\n",
        "\u00a0production\u3000",
        "pro\u200bduction",  # zero width space
        "\ufeffproduction",
        "produc\u00adtion",  # soft hyphen
        "produc\u0000tion",
        "\u2066production\u2069",  # direction marks
        "product\ufe0fion",  # variation selector
        "production\u3164",  # Hangul filler
        "\uff50\uff52\uff4f\uff44\uff55\uff43\uff54\uff49\uff4f\uff4e",  # full width
        "\U0001d429roduction",  # mathematical bold
    ],
)
def test_texts_that_read_the_same_are_folded_to_the_same(text: str) -> None:
    assert folded_text(text) == "production"


def test_white_space_inside_a_text_and_accents_are_kept() -> None:
    assert folded_text(" a  b\n c ") == "a  b\n c"
    assert folded_text("Café") != folded_text("Cafe")
    assert folded_text("Cafe\u0301") == folded_text("CAFÉ")


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert folded_text(folded_text(text)) == folded_text(text)


@given(JSON)
def test_a_value_is_the_same_as_itself_folded_or_not(value: JsonValue) -> None:
    assert is_same(value, value)
    assert is_same(folded(folded(value)), folded(value))


@given(JSON, JSON)
def test_being_the_same_works_both_ways(left: JsonValue, right: JsonValue) -> None:
    assert is_same(left, right) == is_same(right, left)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (0, None, False),
        ("", None, False),
        ("null", None, False),
        ("1", 1, True),
        ("true", True, True),
        ("1", True, False),
        ([1, "a"], [1.0, "a"], True),
        ([1], [True], False),
        ([], {}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
    ],
)
def test_values_are_compared_as_json(left: JsonValue, right: JsonValue, same: bool) -> None:
    assert is_same(left, right) is same


def test_every_value_inside_a_list_or_mapping_is_a_part() -> None:
    value: JsonValue = {"a": [1, {"b": None}], "c": "x"}
    assert parts(value) == [value, [1, {"b": None}], 1, {"b": None}, None, "x"]


def test_texts_are_those_of_values_not_of_keys_and_null_has_none() -> None:
    assert texts_of({"key": ["x", 1, True, None, 1.5]}) == ["x", "1", "true", "1.5"]
