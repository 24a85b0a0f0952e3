import pytest
from pydantic import BaseModel, Field

from loom.types.assembly import assembled, unchecked
from loom.types.decisions import ToolRun
from loom.types.events import happened
from loom.types.frozen import FrozenDict
from loom.types.messages import Message, ToolResult


def test_a_record_put_together_is_as_one_that_was_checked() -> None:
    fields = {"tool_call_id": "c1", "content": "3", "is_error": False}
    made, checked = assembled(ToolResult, dict(fields)), ToolResult(tool_call_id="c1", content="3", is_error=False)
    assert made == checked
    assert (repr(made), hash(made), made.model_dump_json()) == (repr(checked), hash(checked), checked.model_dump_json())
    assert made.model_fields_set == set(fields)
    assert made.model_copy(update={"content": "4"}).content == "4"


def test_fields_may_be_left_uncounted() -> None:
    made = assembled(Message, Message(role="user", content="go").__dict__.copy(), {"role", "content"})
    assert made.model_dump(exclude_unset=True) == {"role": "user", "content": "go"}


def test_an_unchecked_record_is_as_one_that_was_checked_with_its_defaults() -> None:
    result = ToolResult(tool_call_id="c1", content="3")
    made, checked = unchecked(ToolRun)(is_told=True, result=result), ToolRun(is_told=True, result=result)
    assert made == checked
    assert (repr(made), made.model_dump_json()) == (repr(checked), checked.model_dump_json())
    assert made.model_fields_set == {"is_told", "result"}
    assert type(made.kept) is FrozenDict


def test_a_record_whose_defaults_are_made_anew_is_refused() -> None:
    class Numbered(BaseModel):
        id: str = Field(default_factory=lambda: "new")

    with pytest.raises(TypeError, match=r"Numbered is not for unchecked.*'id'"):
        unchecked(Numbered)


def test_a_default_that_can_be_changed_is_made_for_each() -> None:
    one, other = happened(type="a"), happened(type="b")
    one.payload["x"] = 1
    assert (other.payload, happened(type="c").payload) == ({}, {})
