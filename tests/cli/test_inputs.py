import datetime
from pathlib import Path
from typing import Literal

import pytest

from loom.cli.inputs import inputs_from, pair, pairs, value_of
from loom.core.state import State
from loom.core.values import values_of
from loom.errors import ConfigError


class Fields(State):
    text: str = ""
    number: int = 0
    items: list[int] = []


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (str, "5", "5"),
        (str, "null", "null"),
        (str, '"quoted"', '"quoted"'),
        (str, "", ""),
        (int, "5", 5),
        (float, "5", 5),
        (bool, "true", True),
        (list[int], "[1, 2]", [1, 2]),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (str | None, "null", None),
        (str | None, "5", "5"),
        (str | None, "word", "word"),
        (int | None, "null", None),
        (Literal["1", "2"], "1", "1"),
        (Path, "a/b", "a/b"),
        (datetime.date, "2026-01-31", "2026-01-31"),
        (object, "5", 5),
        # What fits in no way is left for the graph to refuse, as JSON where it is that.
        (list[int], "5", 5),
        (int, "five", "five"),
    ],
)
def test_a_value_is_json_where_that_fits_and_text_else(kind: object, text: str, value: object) -> None:
    assert value_of(text, values_of(kind)) == value


def test_a_later_input_wins_over_an_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "in.json"
    file.write_text('{"text": "file", "number": 1}')
    given = [f"@{file}", "text=a=b", "number=2", "number=3"]
    assert inputs_from(given, Fields) == {"text": "a=b", "number": 3}
    assert inputs_from([*given, f"@{file}"], Fields) == {"text": "file", "number": 1}


def test_an_unknown_field_is_left_for_the_graph_to_refuse() -> None:
    assert inputs_from(["other=1"], Fields) == {"other": "1"}


@pytest.mark.parametrize("text", ["", "key", "=value", " =value"])
def test_a_pair_has_a_key_and_an_equals_sign(text: str) -> None:
    with pytest.raises(ConfigError, match=f'--set takes name=value; got "{text}"'):
        pair(text, "--set")


def test_pairs_are_split_at_the_first_equals_sign() -> None:
    assert pairs(["a=1", " b =c=d", "a=2"], "--set") == {"a": "2", "b": "c=d"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[1]", "holds a JSON list; expected an object, field by field"),
        (b"{", "holds no JSON: Expecting property name"),
        (b"\xff", "it is not UTF-8 text"),
    ],
)
def test_a_file_must_hold_an_object(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "in.json"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        inputs_from([f"@{file}"], Fields)
