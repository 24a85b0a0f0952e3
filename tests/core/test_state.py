import copy
import functools
import operator
import sys
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from types import ModuleType
from typing import Annotated, Any, Generic, Literal, Optional, TypeVar

import pytest
from annotated_types import Gt, Predicate
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PlainSerializer,
    ValidationError,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from loom import END, START, ConfigError, Graph, LoomError, NodeError, Reducer, State, add, append, merge, node
from loom.core.state import fields_of, reduce, reducer_flaw, state_from
from loom.types.annotations import type_name

T = TypeVar("T")
BEFORE_312 = pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic takes it since then")


class Note(State):
    title: str
    tags: Annotated[list[str], append] = []
    count: Annotated[int, add] = 0


# The record.


def test_a_state_is_frozen() -> None:
    note = Note(title="a")
    with pytest.raises(ValidationError, match="frozen"):
        setattr(note, "title", "b")  # noqa: B010 - what a type checker would refuse


def test_a_state_refuses_fields_it_does_not_have() -> None:
    with pytest.raises(ValidationError, match="tilte"):
        Note.model_validate({"title": "a", "tilte": "b"})


def test_a_field_that_was_never_written_says_so() -> None:
    note = state_from(Note, {"tags": ["x"]})
    with pytest.raises(AttributeError, match='field "title" of Note was never written and has no default'):
        _ = note.title
    assert note.tags == ["x"]


def test_a_name_that_is_no_field_is_an_attribute_error_too() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        getattr(Note(title="a"), "nothing")  # noqa: B009 - what a type checker would refuse
    assert not hasattr(Note(title="a"), "nothing")


def test_a_state_made_of_checked_values_is_like_any_other() -> None:
    made = state_from(Note, {"title": "a", "tags": [], "count": 0})
    assert made == Note(title="a")
    assert made.model_dump() == {"title": "a", "tags": [], "count": 0}
    assert copy.deepcopy(made) == made


def test_a_state_with_absent_fields_can_be_shown_and_saved() -> None:
    note = state_from(Note, {"count": 2})
    assert repr(note) == "Note(count=2)"
    assert note.model_dump_json() == '{"count":2}'


def test_the_version_of_a_state_is_1_unless_given() -> None:
    class Second(Note, version=2):
        pass

    class Third(Second):
        pass

    class Several(State, Generic[T], version=4):
        one: T

    assert [kind.state_version for kind in (Note, Second, Third, Several[int])] == [1, 2, 2, 4]


def test_constraints_and_validators_in_a_fields_type_hold() -> None:
    class Strict(State):
        size: Annotated[int, Field(gt=0)] = 1
        word: Annotated[str, AfterValidator(str.upper), PlainSerializer(str.lower)] = ""

    size, word = fields_of(Strict).values()
    with pytest.raises(ValidationError, match="greater than 0"):
        size.values.validate(0)
    assert word.values.validate("a") == "A"
    assert word.values.dump("A") == b'"a"'


def declare(body: Mapping[str, object]) -> None:
    type("Bad", (State,), {"__annotations__": {"one": int}, "one": 0, "__module__": __name__, **body})


def unchanged(cls: type, value: T) -> T:
    return value


def shown(self: object) -> dict[str, object]:
    return {}


def shown_field(self: object, one: object) -> object:
    return one


@pytest.mark.parametrize(
    ("body", "what", "remedy"),
    [
        ({"check": field_validator("one")(unchanged)}, 'validator "check"', "AfterValidator(fn)"),
        ({"check": model_validator(mode="before")(unchanged)}, 'validator "check"', "AfterValidator(fn)"),
        ({"show": field_serializer("one")(shown_field)}, 'serializer "show"', "PlainSerializer(fn)"),
        ({"show": model_serializer(shown)}, 'serializer "show"', "PlainSerializer(fn)"),
        ({"_kept": 0}, 'private attribute "_kept"', "make it a field"),
    ],
    ids=["field validator", "model validator", "field serializer", "model serializer", "private attribute"],
)
def test_what_writes_would_bypass_is_refused_with_the_remedy(
    body: Mapping[str, object], what: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        declare(body)
    assert f'state "Bad" has the {what}, which writes would bypass; ' in str(caught.value)
    assert remedy in str(caught.value)


def test_a_type_defined_after_its_state_is_found() -> None:
    source = """
from __future__ import annotations
from typing import Annotated
from pydantic import BaseModel
from loom import State, append
class Late(State):
    items: Annotated[list[Item], append] = []
class Item(BaseModel):
    name: str
"""
    module = ModuleType("late")
    sys.modules["late"] = module
    exec(source, vars(module))
    field = fields_of(module.Late)["items"]
    assert type_name(field.values.type) == "list[Item]"
    assert field.reducer is append
    del sys.modules["late"]


def test_a_type_that_exists_nowhere_is_told_when_a_graph_is_made() -> None:
    lost = type("Lost", (State,), {"__annotations__": {"item": "Nowhere"}, "__module__": __name__})
    with pytest.raises(ConfigError, match='state "Lost" names the type "Nowhere", which does not exist'):
        Graph("lost", lost)


NOT_A_NUMBER: Any = "a"


class Old(typing.TypedDict):
    name: str


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


def of_one_field(annotation: object, **more: object) -> type[State]:
    """Return a state with the field `one` of this type."""
    return type("Kind", (State,), {"__annotations__": {"one": annotation}, "__module__": __name__, **more})


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        pytest.param(Old, r"Old: Please use `typing_extensions.TypedDict`", marks=BEFORE_312),
        (Annotated[str, Field(pattern="(")], 'str: SchemaError: Error building "str" validator:; .*unclosed group'),
        (Annotated[int, Field(gt=NOT_A_NUMBER)], "int: SchemaError: .*'gt' must be coercible to an integer"),
        (
            Annotated[int | str, Field(discriminator="k")],
            r"int \| str: TypeError: The core schema type 'int' is not a valid",
        ),
    ],
)
def test_a_type_by_which_no_value_can_be_checked_is_told_with_its_field(annotation: object, said: str) -> None:
    with pytest.raises(ConfigError, match=f'^state "Kind", field "one": no value can be checked by the type {said}'):
        Graph("kind", of_one_field(annotation))


def test_a_state_that_is_no_model_is_told() -> None:
    with pytest.raises(ConfigError, match=r'state "Kind" is no model that pydantic can make: .* Invalid extra'):
        Graph("kind", of_one_field(int, model_config={"extra": "some"}))


@pytest.mark.parametrize(
    ("annotation", "default", "said"),
    [
        (int, "x", "'x' does not fit int: Input should be a valid integer, unable to parse"),
        (int, None, "None does not fit int: Input should be a valid integer"),
        (Annotated[int, Field(gt=5)], 1, "1 does not fit int: Input should be greater than 5"),
        (Annotated[int, Field(max_length=3)], 1, "1 does not fit int: TypeError: Unable to apply constraint 'max_len"),
        (list[int], ["a"], "['a'] does not fit list[int]: 0: Input should be a valid integer"),
    ],
)
def test_a_default_that_is_no_value_of_its_field_is_told_when_a_graph_is_made(
    annotation: object, default: object, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Graph("kind", of_one_field(annotation, one=default))
    assert str(caught.value).startswith(f'state "Kind", field "one": its default {said}')


def test_a_default_is_taken_as_its_field_takes_any_value() -> None:
    assert fields_of(of_one_field(float, one=1))["one"].default({}) == 1
    assert fields_of(of_one_field(object, one=Fraction(1)))["one"].has_default, "that it cannot be saved is LOOM205"


@pytest.mark.parametrize("one", [Annotated[Cat | Dog, Field(discriminator="kind")], None])
def test_what_tells_the_members_of_a_union_apart_is_part_of_the_fields_type(one: object) -> None:
    kind = of_one_field(one) if one else of_one_field(Cat | Dog, one=Field(discriminator="kind"))
    values = fields_of(kind)["one"].values
    assert values.validate({"kind": "dog"}) == Dog()
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        values.validate({"kind": "cow"})


@pytest.mark.parametrize("version", ["2", 0, True, 1.5])
def test_a_version_that_is_no_whole_number_is_refused(version: Any) -> None:
    with pytest.raises(ConfigError, match=f'state "Bad": version must be a whole number from 1 on; got {version!r}'):
        type("Bad", (State,), {"__module__": __name__}, version=version)


def test_fields_are_known_in_the_order_they_were_declared() -> None:
    fields = fields_of(Note)
    assert list(fields) == ["title", "tags", "count"]
    assert [field.has_default for field in fields.values()] == [False, True, True]
    assert [field.reducer for field in fields.values()] == [None, append, add]
    assert [field.key for field in fields.values()] == [b'"title"', b'"tags"', b'"count"']
    assert fields_of(Note) is fields


def test_a_default_is_made_anew_each_time_and_may_follow_the_fields_before_it() -> None:
    class Defaults(State):
        names: list[str] = []
        start: int = 3
        end: int = Field(default_factory=lambda data: data["start"] + 1)

    names, _, end = fields_of(Defaults).values()
    assert names.default({}) is not names.default({})
    assert end.default({"names": [], "start": 9}) == 10


# Reducers.


def reduced(annotation: object, old: object, write: object) -> Any:
    """Return what a field of this type holds after a write."""
    kind: type[State] = type("Kind", (State,), {"__annotations__": {"one": annotation}, "__module__": __name__})
    return reduce(fields_of(kind)["one"], old, write)


@pytest.mark.parametrize(
    ("annotation", "old", "write", "new"),
    [
        (Annotated[list[int], append], [1], [2, 3], [1, 2, 3]),
        (Annotated[tuple[int, ...], append], (1,), (2,), (1, 2)),
        (Annotated[dict[str, int], merge], {"a": 1, "b": 1}, {"b": 2}, {"a": 1, "b": 2}),
        (Annotated[set[int], merge], {1}, {2}, {1, 2}),
        (Annotated[frozenset[int], merge], frozenset({1}), frozenset({2}), frozenset({1, 2})),
        (Annotated[int, add], 1, 2, 3),
        (Annotated[float, add], 0.5, 0.25, 0.75),
        (Annotated[Decimal, add], Decimal("0.1"), Decimal("0.2"), Decimal("0.3")),
        (Annotated[Fraction, add], Fraction(1, 3), Fraction(1, 6), Fraction(1, 2)),
        (int, 1, 2, 2),
        (Annotated[int, Reducer(max)], 3, 2, 3),
        (Annotated[str, Reducer(lambda old, new: f"{old}{new}")], "a", "b", "ab"),
    ],
)
def test_two_writes_are_combined_by_the_reducer(annotation: object, old: object, write: object, new: object) -> None:
    assert reduced(annotation, old, write) == new


@given(st.lists(st.integers()), st.lists(st.integers()))
def test_a_write_leaves_what_was_there_before_as_it_was(old: list[int], write: list[int]) -> None:
    before, written = list(old), list(write)
    new = reduced(Annotated[list[int], append], old, write)
    new.append(1)
    assert (old, write) == (before, written)


def test_a_reducers_own_result_is_checked_and_seen_as_it_comes_back() -> None:
    class Item(BaseModel):
        name: str

    assert reduced(Annotated[list[Item], Reducer(lambda old, new: [{"name": "x"}])], [], []) == [Item(name="x")]
    assert reduced(Annotated[Any, Reducer(lambda old, new: (old, new))], 1, 2) == [1, 2]


def wrong_type(old: int, write: int) -> str:
    return "text"


def raising(old: int, write: int) -> float:
    return old / 0


@pytest.mark.parametrize("fn", [wrong_type, raising])
def test_a_reducer_that_fails_is_named_with_its_field(fn: Callable[[int, int], object]) -> None:
    with pytest.raises(LoomError, match=f'reducer "{fn.__name__}" of field "one" failed.*int') as caught:
        reduced(Annotated[int, Reducer(fn)], 1, 2)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("annotation", "old", "write", "message"),
    [
        (Annotated[list[int], Field(max_length=2), append], [1, 2], [3], "at most 2 items"),
        (Annotated[int, add, Field(le=3)], 2, 2, "less than or equal to 3"),
        (Annotated[set[int], Field(max_length=1), merge], {1}, {2}, "at most 1 item"),
    ],
)
def test_a_limit_of_a_field_holds_for_what_is_combined(
    annotation: object, old: object, write: object, message: str
) -> None:
    with pytest.raises(LoomError, match=message):
        reduced(annotation, old, write)


def test_a_limit_of_a_field_holds_in_a_run_of_many_steps() -> None:
    class Few(State):
        lines: Annotated[list[str], Field(max_length=3), append] = []

    @node(writes="lines")
    def say(lines: list[str]) -> list[str]:
        return ["hello"]

    graph = Graph("few", Few)
    graph.node("say", say)
    graph.edge(START, "say")
    graph.switch("say", {"len(lines) >= 9": END}, otherwise="say")
    with pytest.raises(NodeError, match=r'(?s)step 4.*reducer "append" of field "lines" failed.*at most 3 items'):
        graph.compile().run_sync()


def test_a_reducer_is_shown_by_its_name() -> None:
    def newest(old: int, new: int) -> int:
        return max(old, new)

    class First:
        def __call__(self, old: int, new: int) -> int:
            return old

    assert [repr(one) for one in (append, merge, add)] == ["append", "merge", "add"]
    assert repr(Reducer(newest)) == "newest"
    assert repr(Reducer(newest, "latest")) == "latest"
    assert repr(Reducer(First())) == "reducer"


@pytest.mark.parametrize(
    ("annotation", "flaw"),
    [
        (Annotated[str, append], 'reducer "append" wants list or tuple, got str'),
        (Annotated[dict[str, int], append], 'reducer "append" wants list or tuple, got dict[str, int]'),
        (Annotated[list[str] | None, append], 'reducer "append" wants list or tuple, got list[str] | None'),
        (Annotated[Any, append], 'reducer "append" wants list or tuple, got Any'),
        (Annotated[list[int], merge], 'reducer "merge" wants dict or set or frozenset, got list[int]'),
        (Annotated[str, add], 'reducer "add" wants Number, got str'),
        (Annotated[bool, add], 'reducer "add" wants Number, got bool'),
        (Annotated[list[int], append], ""),
        (Annotated[list[int], Field(max_length=3), append], ""),
        (Annotated[list[int] | tuple[int, ...], append], ""),
        (Annotated[int | float, add], ""),
        (Annotated[str, Reducer(max)], ""),
        (str, ""),
    ],
)
def test_a_reducer_must_suit_the_fields_type(annotation: object, flaw: str) -> None:
    assert reducer_flaw(fields_of(of_one_field(annotation))["one"]) == flaw


def latest(old: list[int], new: list[int]) -> list[int]:
    return new


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (Annotated[list[int], operator.add], "<built-in function add> in its type is no reducer"),
        (Annotated[int, max], "<built-in function max> in its type is no reducer"),
        (Annotated[list[int], latest], "<function latest at"),
        (Annotated[list[int], functools.partial(latest)], "functools.partial("),
        (Annotated[list[int], list[int].__add__], "<slot wrapper '__add__'"),
        (Annotated[list[int], Reducer], "<class 'loom.core.state.Reducer'> in its type is no reducer"),
        (Annotated[list[int], append, Field(max_length=3), max], "<built-in function max> in its type"),
    ],
)
def test_what_is_meant_for_a_reducer_is_never_passed_over(annotation: object, said: str) -> None:
    with pytest.raises(ConfigError, match=r"and would be passed over; (wrap|call) it, ") as caught:
        Graph("kind", of_one_field(annotation))
    assert str(caught.value).startswith(f'state "Kind", field "one": {said}')


@pytest.mark.parametrize(
    "annotation",
    [
        Optional[Annotated[list[int], append]],  # noqa: UP045 - as it is written
        dict[str, Annotated[int, Field(gt=1), Reducer(max)]],
        Annotated[list[Annotated[int, add]], append],
    ],
)
def test_a_reducer_inside_of_a_type_is_never_passed_over(annotation: object) -> None:
    with pytest.raises(ConfigError, match=r'"Kind", field "one": a reducer stands inside of its type (list|dict)'):
        Graph("kind", of_one_field(annotation))


@pytest.mark.parametrize(
    "metadata",
    [
        Field(gt=1),
        Gt(1),
        Predicate(lambda value: value > 1),
        AfterValidator(abs),
        "a text",
        {"a": 1},
        Fraction(1),
        str.upper,
    ],
    ids=lambda one: type(one).__name__,
)
def test_other_metadata_stands_beside_a_reducer(metadata: object) -> None:
    assert fields_of(of_one_field(Annotated[int, add, metadata]))["one"].reducer == add


async def promised(old: int, new: int) -> int:
    return new


class Promising:
    async def __call__(self, old: int, new: int) -> int:
        return new


@pytest.mark.parametrize("fn", [5, None, promised, functools.partial(promised), Promising()])
def test_a_reducer_takes_a_plain_function(fn: Any) -> None:
    with pytest.raises(ConfigError, match=r"Reducer takes a plain function, fn\(old, write\) -> new; got "):
        Reducer(fn)


# In a run.


def test_the_first_write_to_an_absent_field_becomes_its_value() -> None:
    class Log(State):
        lines: Annotated[list[str], append]

    @node(writes="lines")
    def say() -> list[str]:
        return ["hello"]

    graph = Graph("log", Log)
    graph.node("say", say)
    graph.edge(START, "say", END)
    assert graph.compile().run_sync().state.lines == ["hello"]


def test_an_input_to_a_field_with_a_reducer_replaces_its_default() -> None:
    class Log(State):
        lines: Annotated[list[str], append] = ["default"]

    @node(writes="lines")
    def say() -> list[str]:
        return ["hello"]

    graph = Graph("log", Log)
    graph.node("say", say)
    graph.edge(START, "say", END)
    app = graph.compile()
    assert app.run_sync({"lines": ["given"]}).state.lines == ["given", "hello"]
    assert app.run_sync().state.lines == ["default", "hello"]
