import copy
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

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


def test_a_record_that_holds_it_is_shared_and_comes_back_from_json() -> None:
    values = values_of(tuple[Message, ...])
    messages = (Message(role="assistant", tool_calls=(ToolCall(id="1", name="t", arguments=GIVEN),)),)
    assert values.copy is None
    assert values.round_trip(messages, values.dump(messages)) == messages


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
