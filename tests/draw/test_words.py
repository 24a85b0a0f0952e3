import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom.draw.words import arrow_text, cells, lines, shown, told, turns
from loom.types.outline import Outline, OutlineEdge, OutlineNode, Style


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("", [""]),
        ("score >= 0.8", ["score >= 0.8"]),
        ("two\nlines\r\nthree", ["two", "lines", "three"]),
        ("passed or sprint >= max_sprints or stalled", ["passed", "or sprint >= max_sprints", "or stalled"]),
        ("the quick brown fox jumps over the lazy dog", ["the quick brown fox jumps", "over the lazy dog"]),
        ("sum(price*count)<budget-already_spent", ["sum(price*count)<budget-", "already_spent"]),
        (f'kind in ["{"a" * 26}", "dddd"]', ["kind in [", '"' + "a" * 25, 'a", "dddd"]']),
        ("a_name_of_27_letters_in_all , b", ["a_name_of_27_letters_in_", "all , b"]),
        ("x" * 60, ["x" * 28, "x" * 28, "x" * 4]),
        ("語" * 20, ["語" * 14, "語" * 6]),
    ],
)
def test_long_texts_break_where_one_would_take_a_breath(text: str, broken: list[str]) -> None:
    assert lines(text) == broken


@given(st.text(max_size=200), st.integers(2, 40))
def test_lines_fit_and_lose_nothing_but_spaces(text: str, width: int) -> None:
    broken = lines(text, width)
    assert max(map(cells, broken)) <= width
    assert "".join("".join(broken).split()) == "".join(shown(text).split())


def test_what_should_not_begin_a_line_begins_one_where_nothing_else_can() -> None:
    assert lines("a)))", width=2) == ["a)", "))"]
    assert lines("語語", width=1) == ["語", "語"]


def test_a_sign_that_turns_the_direction_of_writing_is_shown_as_its_number() -> None:
    assert shown("admin\u202e and not ok") == "admin\\u202e and not ok"


def test_what_xml_forbids_is_shown_as_its_number() -> None:
    assert shown("a\x00b\ud800c\ufffe") == "a\\u0000b\\ud800c\\ufffe"


@pytest.mark.parametrize(
    ("style", "label", "text"),
    [
        ("edge", "", ""),
        ("fan_out", "", ""),
        ("switch", "x < 3", "x < 3"),
        ("otherwise", "", "otherwise"),
        ("each", "", "each"),
        ("each", "each task in tasks", "each task in tasks"),
        ("switch", "<lambda>", "unnamed function"),
    ],
)
def test_an_arrow_says_its_condition_or_its_style(style: Style, label: str, text: str) -> None:
    assert arrow_text(OutlineEdge("a", "b", label, style)) == text


def test_a_picture_is_told_edge_by_edge() -> None:
    edges = (OutlineEdge("START", "a"), OutlineEdge("a", "END", "x < 3", "switch"))
    outline = Outline("small", (OutlineNode("a", "node", "pure"),), edges)
    assert told(outline) == "START to a; a to END, x < 3"


def switch(*conditions: str) -> Outline:
    edges = [OutlineEdge("a", "END", condition, "switch") for condition in conditions]
    return Outline("g", (OutlineNode("a", "node", "pure"),), (*edges, OutlineEdge("a", "a", "", "otherwise")))


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ((), [0]),
        (("x > 1",), [0, 0]),
        (("x > 1", "x > 2"), [1, 2, 0]),
        (("x > 1", "x > 1", "x > 2", "x > 1"), [1, 1, 2, 3, 0]),
        (("x > 1", "x > 1"), [0, 0, 0]),
        (("<lambda>", "<lambda>"), [1, 2, 0]),
    ],
)
def test_the_conditions_of_a_switch_have_turns(conditions: tuple[str, ...], expected: list[int]) -> None:
    assert turns(switch(*conditions)) == expected


def test_turns_are_told() -> None:
    assert told(switch("x > 1", "x > 2")) == "a to END, 1. x > 1; a to END, 2. x > 2; a to a, otherwise"
