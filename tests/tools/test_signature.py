"""Tests of what arguments a function takes."""

from __future__ import annotations

import datetime
import enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import AliasChoices, BaseModel, Field

from loom.errors import ConfigError
from loom.tools.signature import arguments_of


class Colour(enum.Enum):
    RED = "red"


class Point(BaseModel):
    x: int
    y: int = 0


def draw(
    point: Point,
    more: list[Point],
    colour: Colour = Colour.RED,
    width: Literal[1, 2] | None = None,
    at: datetime.datetime | None = None,
    label: Annotated[str, Field(max_length=3, description="short")] = "",
) -> str:
    return ""


def test_postponed_annotations_nested_models_lists_enums_and_optionals_are_in_the_schema() -> None:
    schema = arguments_of(draw, "draw").model_json_schema()
    assert schema["required"] == ["point", "more"]
    assert schema["properties"]["more"] == {"items": {"$ref": "#/$defs/Point"}, "title": "More", "type": "array"}
    assert schema["properties"]["width"]["anyOf"] == [{"enum": [1, 2], "type": "integer"}, {"type": "null"}]
    assert schema["properties"]["label"]["description"] == "short"
    assert schema["additionalProperties"] is False


def test_arguments_are_converted_to_their_types() -> None:
    given = arguments_of(draw, "draw").model_validate({"point": {"x": "1"}, "more": [{"x": 2, "y": 3}], "width": 2})
    assert dict(given) == {
        "point": Point(x=1),
        "more": [Point(x=2, y=3)],
        "colour": Colour.RED,
        "width": 2,
        "at": None,
        "label": "",
    }


def test_a_default_of_none_means_that_null_is_taken() -> None:
    def find(limit: int = None) -> str:  # type: ignore[assignment]  # noqa: RUF013
        return ""

    model = arguments_of(find, "find")
    assert dict(model.model_validate({"limit": None})) == {"limit": None}
    assert model.model_json_schema()["properties"]["limit"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]


def test_defaults_that_would_not_do_as_arguments_are_refused() -> None:
    def wrong(limit: int = "many") -> str:  # type: ignore[assignment]
        return ""

    def live(sink: Any = object) -> str:
        return ""

    with pytest.raises(ConfigError, match='tool "wrong": the default of "limit" is not of its type: \'many\''):
        arguments_of(wrong, "wrong")
    with pytest.raises(ConfigError, match='tool "live": the default of "sink" is no JSON'):
        arguments_of(live, "live")


def test_an_alias_is_refused_because_rules_go_by_the_name() -> None:
    def one(path: Annotated[str, Field(alias="file")]) -> str:
        return ""

    def two(path: str = Field(validation_alias=AliasChoices("file", "path"))) -> str:
        return ""

    for fn in (one, two):
        with pytest.raises(ConfigError, match='the parameter "path" has an alias'):
            arguments_of(fn, "t")
