from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loom import SpecError
from loom.spec.text import data_from

# Any, in this module: JSON and YAML.


def read(text: str, name: str = "g.yaml") -> Any:
    return data_from(text, name)[0]


def refusal(text: str, name: str = "g.yaml") -> str:
    with pytest.raises(SpecError) as caught:
        read(text, name)
    return str(caught.value)


def test_yaml_and_json_give_the_same_data_and_yaml_its_lines() -> None:
    text = "name: g\nnodes:\n  - name: a\n    join: true\n  - {name: b, timeout_s: 0.5}\n"
    data, source = data_from(text, "g.yaml")
    assert data == {"name": "g", "nodes": [{"name": "a", "join": True}, {"name": "b", "timeout_s": 0.5}]}
    assert read('{"name": "g", "nodes": [{"name": "a", "join": true}]}', "g.json")["nodes"] == [
        {"name": "a", "join": True}
    ]
    assert {written: source.lines[written] for written in [("nodes", 0, "join"), ("nodes", 1), ("nodes",)]} == {
        ("nodes", 0, "join"): 4,
        ("nodes", 1): 5,
        ("nodes",): 2,
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("2026-11-22", "2026-11-22"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("0o17", "0o17"),
        ("017", "017"),
        ("1e3", "1e3"),
        ("=", "="),
        (".inf", ".inf"),
        ("<<", "<<"),
        ("-7", -7),
        ("1.5", 1.5),
        ("1.0e+20", 1e20),
        ("true", True),
        ("~", None),
        ('"5"', "5"),
        ("!!str 5", "5"),
        ('"\\ud83d"', "\ud83d"),
    ],
)
def test_a_plain_scalar_is_what_every_version_of_yaml_takes_it_for(text: str, value: object) -> None:
    found = read(f"x: {text}\n")["x"]
    assert (found, type(found)) == (value, type(value))


def test_a_key_is_a_text_whatever_it_looks_like() -> None:
    assert read("on: 1\n5: 2\ntrue: 3\n? null\n: 4\n") == {"on": 1, "5": 2, "true": 3, "null": 4}


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json, max_size=4))
def test_what_a_yaml_writer_wrote_is_read_as_it_was(data: dict[str, Any]) -> None:
    assert read(yaml.safe_dump(data, sort_keys=False)) == data


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", '"g.yaml", line 3: the key "a" stands twice in one mapping'),
        ("a:\n  - {x: 1, x: 2}\n", '"g.yaml", line 2: the key "x" stands twice'),
        ("a: &a [1]\nb: *a\n", '"g.yaml", line 2: got the alias "*a"; write out what it stands for'),
        ("a: &a\n  b: *a\n", "line 2: got the alias"),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            'line 1: got a value with the tag "python/object/apply:os.system"',
        ),
        ("a: !own 5\n", 'line 1: got a value with the tag "!own"'),
        ("a: !!int x\n", 'line 1: got a value with the tag "int"'),
        ("a: !!map 5\n", 'line 1: got a value with the tag "map"'),
        ("? [a]\n: 1\n", "line 1: got a key that is no text"),
        ("a: [1\n", "line 2: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n---\nb: 2\n", '"g.yaml", line 2: got another document; a file holds one graph'),
        ("", '"g.yaml": it is empty'),
        ("# only this\n", '"g.yaml": it is empty'),
        ("a: \x00", '"g.yaml": unacceptable character'),
        ("a: " + "9" * 5000, '"g.yaml": Exceeds the limit'),
        ("[" * 5000 + "]" * 5000, '"g.yaml" is nested too deep'),
    ],
)
def test_what_is_more_than_data_or_less_is_told_with_its_line(text: str, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 2}', '"g.json": the key "a" stands twice in one object'),
        ('{"a": NaN}', '"g.json": NaN is no number of JSON'),
        ('{\n "a": }', '"g.json", line 2, column 7: Expecting value'),
        ("[" * 100_000, '"g.json" is nested too deep'),
    ],
)
def test_json_is_as_strict(text: str, said: str) -> None:
    assert said in refusal(text, "g.json")


def test_aliases_of_aliases_are_refused_before_they_grow() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert "line 2: got the alias" in refusal("\n".join(lines))
