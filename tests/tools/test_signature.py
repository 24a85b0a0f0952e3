"""Tests of what arguments a function takes."""

from __future__ import annotations

import datetime
import enum
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, Optional, cast

import pytest
from pydantic import AfterValidator, AliasChoices, BaseModel, Field, StringConstraints
from pydantic_core import from_json, to_json

from loom.errors import ConfigError
from loom.tools.signature import arguments_of, is_plain
from loom.tools.tool import tool
from loom.types.messages import MALFORMED


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


def taking_named(name: str, hint: Any) -> Callable[..., Any]:
    """Return a function with one parameter of that name, which returns what it was given."""

    def take(**given: Any) -> dict[str, Any]:
        return given

    take.__dict__["__signature__"] = inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY)])
    take.__annotations__ = {name: hint}
    return take


@pytest.mark.parametrize("name", ["model_config", MALFORMED])
def test_a_name_that_means_something_else_among_arguments_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f'tool "take": the parameter "{name}" needs another name'):
        arguments_of(taking_named(name, int), "take")


@pytest.mark.anyio
@pytest.mark.parametrize("hint", [str, datetime.date])
@pytest.mark.parametrize("name", sorted({name for name in dir(BaseModel) if name[0] != "_"} - {"model_config"}))
async def test_an_argument_may_have_any_other_name_that_a_model_has(name: str, hint: Any) -> None:
    take = tool(taking_named(name, hint))
    assert list(take.schema.parameters["properties"]) == [name]
    assert await take.call(take.validated({name: "2026-01-02"})) == f'{{"{name}":"2026-01-02"}}'


class Text(str):
    __slots__ = ()


class Shade(enum.StrEnum):
    DARK = "dark"


class Number(int):
    pass


class Fraction(float):
    pass


PLAIN: list[Any] = [
    str,
    int,
    float,
    bool,
    None,
    Optional[int],  # noqa: UP045
    str | None,
    list[str],
    list[float],
    dict[str, int],
    dict[str, list[bool | None]],
    list[dict[str, int]] | None,
    Literal["dark", 1, True] | None,
    Annotated[int, Field(description="how many")],
]
GIVEN: list[Any] = [
    "",
    "1",
    "yes",
    "dark",
    Text("x"),
    Shade.DARK,
    0,
    1,
    True,
    Number(3),
    2.0,
    -0.0,
    1e300,
    Fraction(4),
    None,
    [],
    ["1", Text("2"), Shade.DARK],
    ("3", "4"),
    [1, Number(2), True],
    [Fraction(1.5), 2],
    {"a": 1, Text("b"): Number(2), Shade.DARK: True},
    {"a": [True, None, 1]},
    [{"a": "1"}],
]


def exact(value: object) -> object:
    """Return a value with the types of all its parts, which comparing leaves out."""
    if isinstance(value, dict):
        return dict, [(exact(key), exact(item)) for key, item in cast("dict[object, object]", value).items()]
    if isinstance(value, list):
        return list, [exact(item) for item in cast("list[object]", value)]
    return type(value), repr(value)


def taking(hint: Any, default: Any = ...) -> type[BaseModel]:
    """Return the arguments of a function with a parameter of that type."""

    def take(x: Any) -> None: ...

    take.__annotations__["x"] = hint
    if default is not ...:
        take.__defaults__ = (default,)
    return arguments_of(take, "take")


@pytest.mark.parametrize("hint", PLAIN)
def test_plain_arguments_are_their_own_json_and_stay_the_same(hint: Any) -> None:
    model = taking(hint)
    assert is_plain(model)
    taken = 0
    for given in GIVEN:
        try:
            values = vars(model.model_validate({"x": given}))
        except ValueError:
            continue
        read = from_json(to_json(values))
        assert exact(values) == exact(read) == exact(vars(model.model_validate(read)))
        taken += 1
    assert taken


@pytest.mark.parametrize(
    ("hint", "default"),
    [
        (Any, ...),
        (list[Any], ...),
        (list, ...),
        (typing.List, ...),  # noqa: UP006
        (dict, ...),
        (dict[int, str], ...),
        (set[str], ...),
        (tuple[str, ...], ...),
        (int | str, ...),
        (int | str | None, ...),
        (bytes, ...),
        (datetime.datetime, ...),
        (Colour, ...),
        (Literal[Colour.RED], ...),
        (Point, ...),
        (Annotated[str, AfterValidator(lambda text: text * 2)], ...),
        (Annotated[str, StringConstraints(to_upper=True, max_length=1)], ...),
        (list[Annotated[str, StringConstraints(to_upper=True)]], ...),
        (int, Field(default=1, exclude=True)),
        (int, Field(default_factory=lambda: True)),
        (float, 1),
        (int, True),
        (int, "5"),
        (str, Shade.DARK),
        (list[int], [True]),
    ],
)
def test_what_validating_may_change_again_is_not_taken_to_be_plain(hint: Any, default: Any) -> None:
    assert not is_plain(taking(hint, default))


def test_defaults_of_the_type_itself_are_plain() -> None:
    def find(query: str = "", limit: int = 5, share: float = 0.5, deep: bool = False, tags: list[str] = None) -> str:  # type: ignore[assignment]  # noqa: RUF013
        return ""

    assert is_plain(arguments_of(find, "find"))
