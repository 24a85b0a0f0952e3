# ruff: noqa: UP006, UP035, UP045 - the older spellings of types are among what is tested
import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Dict, ForwardRef, Generic, List, Literal, NewType, Optional, Protocol, TypeVar

import pytest
from annotated_types import Gt
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType, TypedDict

from loom.types.annotations import bare, fits, list_item, surely_fits, type_name

# Any: what is tested here takes every type.

T = TypeVar("T")


class Level(enum.IntEnum):
    LOW = 1


class Mood(enum.StrEnum):
    GOOD = "good"


class Point(BaseModel, frozen=True):
    x: int


class Loose(BaseModel):
    tags: list[str] = []


class Row(TypedDict):
    name: str
    size: int


UserId = NewType("UserId", int)
Names = TypeAliasType("Names", list[str])
Positive = Annotated[int, Gt(0)]


@pytest.mark.parametrize(
    ("annotation", "inner"),
    [
        (int, int),
        (None, type(None)),
        (Positive, int),
        (UserId, int),
        (Names, list[str]),
        (Annotated[Names, "x"], list[str]),
        (List, list),
        (Dict, dict),
        (List[int], List[int]),
        (tuple[()], tuple[()]),
        (int | None, int | None),
    ],
)
def test_a_bare_type_has_nothing_around_it(annotation: object, inner: object) -> None:
    assert bare(annotation) == inner


@pytest.mark.parametrize(
    ("annotation", "item"),
    [
        (list[int], int),
        (Annotated[list[str], Field(max_length=2)], str),
        (tuple[int, ...], int),
        (tuple[int, int], None),
        (list, Any),
        (tuple, Any),
        (set[int], None),
        (dict[str, int], None),
        (str, None),
        (list[int] | None, None),
    ],
)
def test_the_item_of_a_list_is_known_by_type(annotation: object, item: object) -> None:
    assert list_item(annotation) == item


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"),
        (Point, "Point"),
        (list[int], "list[int]"),
        (int | None, "int | None"),
        (Optional[int], "int | None"),
        (Any, "Any"),
        (Literal["a", 1], "Literal['a', 1]"),
        (type(None), "None"),
        (Point | None, "Point | None"),
        (dict[str, list[Point]], "dict[str, list[Point]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Positive, "int"),
        (Names, "list[str]"),
        (List, "list"),
        (Callable[[int, Point], None], "Callable[[int, Point], None]"),
        (ForwardRef("Later"), "ForwardRef('Later')"),
        (T, "~T"),
    ],
)
def test_a_type_is_named_as_it_is_written(annotation: object, name: str) -> None:
    assert type_name(annotation) == name


class Named(Protocol):
    name: str


class Page(BaseModel, Generic[T]):
    items: list[T] = []


FITTING: list[tuple[Any, Any]] = [
    (int, int),
    (int, float),
    (bool, int),
    (int, Any),
    (Any, int),
    (int, object),
    (int, int | None),
    (int | None, int | None | str),
    (None, int | None),
    (Point, BaseModel),
    (Level, int),
    (Mood, str),
    (list[int], list[int]),
    (list[int], list),
    (list, list[int]),
    (list[int], list[float]),
    (list[int], List[int]),
    (list[int], Sequence[int]),
    (list[int], list[int | None]),
    (tuple[int, ...], tuple[int, ...]),
    (tuple[int, str], tuple[int, ...]),
    (tuple[int, ...], Sequence[int]),
    (dict[str, int], Mapping[str, int]),
    (dict[str, Any], dict[str, int]),
    (Row, dict),
    (Row, dict[str, Any]),
    (dict, Row),
    (Literal["a"], str),
    (Literal["a"], Literal["a", "b"]),
    (Literal["a", 1], str | int),
    (Literal["a", 1], Literal["a"] | int),
    (Positive, int),
    (int, Positive),
    (UserId, int),
    (int, UserId),
    (Names, list[str]),
    (int, T),
    (T, int),
    (Point, Named),
    (Page[int], Page),
    (str, Annotated[str, Field(max_length=3)]),
]
UNFITTING: list[tuple[Any, Any]] = [
    (str, int),
    (int, str),
    (float, int),
    (int, bool),
    (int | None, int),
    (int | str, int),
    (None, int),
    (object, int),
    (BaseModel, Point),
    (Loose, Point),
    (list[int], list[str]),
    (list[int | None], list[int]),
    (list[list[int]], list[list[str]]),
    (list[str], str),
    (list[int], Sequence[str]),
    (list[int], set[int]),
    (list[int], tuple[int, ...]),
    (dict[str, int], dict[str, str]),
    (dict[str, int], dict[int, int]),
    (tuple[int, str], tuple[int, int]),
    (str, Literal["a"]),
    (Literal["c"], Literal["a", "b"]),
    (Literal["a"], int),
    (Literal["a", 1], str),
    (str, bytes),
]


@pytest.mark.parametrize(("source", "target"), FITTING)
def test_a_value_of_one_type_may_stand_where_another_is_wanted(source: object, target: object) -> None:
    assert fits(source, target)


@pytest.mark.parametrize(("source", "target"), UNFITTING)
def test_what_cannot_fit_is_refused(source: object, target: object) -> None:
    assert not fits(source, target)


@pytest.mark.parametrize(
    ("source", "target", "is_sure"),
    [
        (int, int, True),
        (Point, BaseModel, True),
        (list[int], list[int], True),
        (list[bool], list[int], True),
        (int | None, int | None | str, True),
        (Level, int, True),
        (Page[int], BaseModel, True),
        (str, Any, True),
        (list[int], list, True),
        (list, list[int], False),
        (int, float, False),
        (int, Positive, False),
        (int | None, int, False),
        (list[int], list[str], False),
        (Loose, Named, False),
        (BaseModel, Point, False),
    ],
)
def test_a_value_that_surely_fits_needs_no_check(source: object, target: object, is_sure: bool) -> None:
    assert surely_fits(source, target) is is_sure
