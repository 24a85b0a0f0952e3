import copy
import datetime
import enum
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from loom.core.values import values_of
from loom.types.frozen import FREEZE, FrozenDict, FrozenJson, FrozenList, frozen
from loom.types.messages import Message, ToolCall

GIVEN: dict[str, Any] = {"list": [1, {"deep": [2]}], "text": "a"}


def changes(value: Any) -> list[Any]:
    return [
        lambda: value.__setitem__("text", "b"),
        lambda: value.pop("text"),
        lambda: value.update(text="b"),
        lambda: value.__ior__({"text": "b"}),
        lambda: value["list"].append(3),
        lambda: value["list"].__iadd__([3]),
        value["list"][1].clear,
        value["list"][1]["deep"].sort,
    ]


@pytest.mark.parametrize("number", range(8))
def test_nothing_in_it_can_be_changed(number: int) -> None:
    value = frozen(GIVEN)
    with pytest.raises(TypeError, match="belongs to a frozen record and cannot be changed; copy it"):
        changes(value)[number]()
    assert value == GIVEN


def test_it_is_the_same_as_what_it_was_made_of_and_a_copy_can_be_changed() -> None:
    value = frozen(GIVEN)
    assert isinstance(value, FrozenDict)
    assert isinstance(value["list"], FrozenList)
    assert frozen(value) is copy.deepcopy(value) is value
    assert dict(value) | {"text": "b"} == GIVEN | {"text": "b"}


class Mood(enum.StrEnum):
    GOOD = "good"


class Level(enum.IntEnum):
    HIGH = 2


class Spot(NamedTuple):
    x: int
    y: Any


class Point(BaseModel):
    x: int = 1


DAY = datetime.date(2026, 1, 2)


@pytest.mark.parametrize(
    ("given", "held"),
    [
        (DAY, "2026-01-02"),
        (Mood.GOOD, "good"),
        (Level.HIGH, 2),
        (2**70, 2**70),
        (math.inf, None),
        (math.nan, None),
        (b"ab", "ab"),
        ({1}, [1]),
        ((1, (2,)), [1, [2]]),
        (Spot(1, {DAY}), [1, ["2026-01-02"]]),
        (Point(), {"x": 1}),
        (MappingProxyType({"a": [1]}), {"a": [1]}),
        ({1: 2, None: [3], Mood.GOOD: 4, DAY: 5}, {"1": 2, "None": [3], "good": 4, "2026-01-02": 5}),
    ],
)
def test_what_is_no_json_is_held_as_its_json_reads(given: object, held: object) -> None:
    for made in (frozen({"deep": [given]})["deep"][0], FrozenDict(a=given)["a"], FrozenList([given])[0]):
        assert made == held
        assert is_all_frozen(made)


def is_all_frozen(value: object) -> bool:
    """Tell whether a value is JSON of the very types that reading gives, its containers frozen."""
    if type(value) is FrozenDict:
        return all(
            type(name) is str and is_all_frozen(item) for name, item in cast(Mapping[object, object], value).items()
        )
    if type(value) is FrozenList:
        return all(map(is_all_frozen, value))
    return value is None or type(value) in {str, int, float, bool}


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.sampled_from(Mood)
names = st.text() | st.integers() | st.sampled_from(Mood) | st.none()


@given(
    st.dictionaries(
        names,
        st.recursive(
            leaves,
            lambda inner: st.lists(inner) | st.dictionaries(names, inner) | st.sets(leaves) | st.tuples(inner, inner),
        ),
    )
)
def test_whatever_is_given_equals_what_is_read_back(given: dict[Any, Any]) -> None:
    held = frozen(given)
    assert is_all_frozen(held)
    assert repr(held) == repr(frozen(from_json(to_json(held))))
    assert repr(dict(held)) == repr(dict(frozen(from_json(to_json(given, inf_nan_mode="null")))))


@pytest.mark.parametrize("given", [{"a": object()}, {"a": {object()}}, {"a": b"\xff"}, {"a": {(object(),): 1}}])
def test_what_has_no_json_form_is_refused_when_it_is_saved(given: dict[str, Any]) -> None:
    call = ToolCall(id="1", name="t", arguments=given)
    with pytest.raises(ValueError, match=r"serializ|utf"):
        values_of(ToolCall).dump(call)


def nested(depth: int) -> dict[str, Any]:
    return {"a": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize("given", [nested(151), {"a": 10**5000}])
def test_what_could_not_be_read_back_is_refused_at_once(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"cannot be read back|out of range"):
        ToolCall(id="1", name="t", arguments=given)


def test_json_may_be_nested_deep() -> None:
    calls = (ToolCall(id="1", name="t", arguments=nested(149)),)
    values = values_of(tuple[ToolCall, ...])
    assert values.load_json(values.dump(calls)) == calls


def test_a_record_that_holds_it_is_shared_and_comes_back_from_json() -> None:
    values = values_of(tuple[Message, ...])
    messages = (Message(role="assistant", tool_calls=(ToolCall(id="1", name="t", arguments=GIVEN),)),)
    assert values.copy is None
    assert values.settle(messages)[0] == messages


def test_a_record_is_its_own_whatever_becomes_of_what_it_was_made_of() -> None:
    class Record(BaseModel):
        given: FrozenJson

    given: dict[str, Any] = {"a": [1]}
    record = Record(given=given)
    given["a"].append(2)
    assert record.given == {"a": [1]}


@pytest.mark.filterwarnings("error")
def test_a_default_that_is_frozen_stands_in_the_schema() -> None:
    class Record(BaseModel):
        names: FrozenJson = FrozenDict()
        rows: Annotated[list[int], FREEZE] = FrozenList()

    properties = Record.model_json_schema()["properties"]
    assert (properties["names"]["default"], properties["rows"]["default"]) == ({}, [])
