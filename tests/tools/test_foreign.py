"""Tests of arguments of tools that cannot validate them beforehand."""

from collections.abc import Mapping
from typing import Any

import pytest

from loom.errors import ToolExecutionError
from loom.tools.foreign import as_json, held_against_schema
from loom.types.models import ToolSchema


class Foreign:
    name = "f"

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = ToolSchema(name="f", parameters=dict(schema))


def held(schema: Mapping[str, Any], **arguments: Any) -> dict[str, Any]:
    foreign: Any = Foreign(schema)
    return held_against_schema(foreign, arguments)


def test_defaults_of_the_schema_are_filled_in() -> None:
    schema = {"properties": {"a": {"default": [1]}, "b": {"default": 2}, "c": {}, "d": True}}
    filled = held(schema, b=3)
    assert filled == {"a": [1], "b": 3}
    filled["a"].append(2)
    assert held(schema) == {"a": [1], "b": 2}


def test_what_is_missing_or_unknown_is_told() -> None:
    with pytest.raises(ToolExecutionError, match='tool "f" was not called: "a" must be given'):
        held({"properties": {"a": {}}, "required": ["a"]})
    with pytest.raises(ToolExecutionError, match=r'no argument "ab"; it has "abc".* Did you mean "abc"'):
        held({"properties": {"abc": {}}, "additionalProperties": False}, ab=1)
    assert held({"properties": {"a": {}}}, other=1) == {"other": 1}
    assert held({}, other=1) == {"other": 1}


@pytest.mark.parametrize("value", [object(), {1: 2}, (1, 2), float("nan"), "\ud800", {"x": float("inf")}])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        as_json({"a": value})
