import pytest

from loom.cli.words import duration, moment, one_line, printable, spent


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.00 s"),
        (0.034, "0.03 s"),
        (12.44, "12.4 s"),
        (60, "1 min 00 s"),
        (125.9, "2 min 05 s"),
        (3725, "1 h 02 min"),
    ],
)
def test_a_duration_has_the_digits_that_matter(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_money_is_told_where_it_is_known() -> None:
    assert spent(1204, 310, 0.00421) == "1,204 tokens in, 310 out, $0.0042"
    assert spent(1204, 310, None) == spent(1204, 310, 0.0) == "1,204 tokens in, 310 out"


def test_a_moment_is_local_time() -> None:
    assert len(moment(0.0)) == len("2026-01-31 12:00:00")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("two\n  lines", "two lines"),
        (["a", 1, None], '["a", 1, null]'),
        ("x" * 500, "x" * 399 + "…"),
        ("red \x1b[31m", "red \N{REPLACEMENT CHARACTER}[31m"),
    ],
)
def test_a_value_is_told_on_one_line(value: object, line: str) -> None:
    assert one_line(value) == line


def test_what_steers_a_terminal_is_replaced_and_the_rest_is_kept() -> None:
    assert printable("für 日本 →\n\ttext\x07") == "für 日本 →\n\ttext\N{REPLACEMENT CHARACTER}"
