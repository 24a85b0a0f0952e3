import datetime
import enum
import math
from functools import cached_property
from typing import Annotated, Any, Literal, cast

import pytest
from annotated_types import Gt
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    PrivateAttr,
    RootModel,
    Tag,
    computed_field,
    field_validator,
    model_serializer,
)
from pydantic_core import CoreSchema

from loom.context.window import Edits
from loom.core.values import exact_dumper, values_of
from loom.types.content import DocumentBlock, ImageBlock, MessageContent, TextBlock
from loom.types.decisions import Decision, ToolRun
from loom.types.exact import exactness, is_only_fields
from loom.types.frozen import FrozenDict, FrozenJson, FrozenTexts
from loom.types.messages import Message, ToolCall, ToolResult
from loom.types.usage import Usage

# Any: what is tested here takes every type and its values.


class Text(str):
    __slots__ = ()


class Mood(enum.StrEnum):
    GOOD = "good"


class Point(BaseModel, frozen=True):
    x: int
    name: str | None = None


class Spot(Point, frozen=True):
    z: int = 0


class Loud(Point, frozen=True):
    def cry(self) -> str:
        return f"{self.name}!"


class Path(BaseModel, frozen=True):
    points: tuple[Point, ...] = ()
    weight: float = 1.0
    kind: Literal["open", 1, True] | None = "open"


class Named(Point, frozen=True):
    @cached_property
    def title(self) -> str:
        return f"{self.name}!"


# Models that are more than their fields.


class Tree(BaseModel, frozen=True):
    children: tuple["Tree", ...] = ()


class Loose(BaseModel):
    x: int = 0


class Box(BaseModel, frozen=True):
    tags: list[str] = []


class Open(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Stripped(BaseModel):
    model_config = ConfigDict(frozen=True, str_strip_whitespace=True)
    name: str = ""


class Hidden(BaseModel, frozen=True):
    _seen: int = PrivateAttr(default=0)


class Aliased(BaseModel, frozen=True):
    user_id: int = Field(alias="userId")


class Excluded(BaseModel, frozen=True):
    hidden: int = Field(default=0, exclude=True)


class Validating(BaseModel, frozen=True):
    x: int = 0

    @field_validator("x")
    @classmethod
    def _twice(cls, x: int) -> int:
        return x * 2


class Serializing(BaseModel, frozen=True):
    x: int = 0

    @model_serializer
    def _short(self) -> dict[str, int]:
        return {"x": self.x + 1}


class Computing(BaseModel, frozen=True):
    x: int = 0

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def y(self) -> int:
        return self.x


class Starting(BaseModel, frozen=True):
    x: int = 0

    def __init__(self, x: int = 0) -> None:
        super().__init__(x=x + 1)


class Posted(BaseModel, frozen=True):
    x: int = 0

    def model_post_init(self, context: Any, /) -> None:
        object.__setattr__(self, "x", 1)


class Schemed(BaseModel, frozen=True):
    x: int = 0

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler(source)


class Listed(RootModel[tuple[int, ...]], frozen=True):
    pass


class Late(BaseModel, frozen=True):
    x: int = Field(default=0, validate_default=True)


class Limited(BaseModel, frozen=True):
    x: int = Field(default=1, gt=0)


class Cat(BaseModel, frozen=True):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel, frozen=True):
    kind: Literal["dog"] = "dog"
    tags: list[str] = []


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]

MORE_THAN_FIELDS = [
    Open,
    Stripped,
    Hidden,
    Aliased,
    Excluded,
    Validating,
    Serializing,
    Computing,
    Starting,
    Posted,
    Schemed,
    Listed,
    Late,
]


@pytest.mark.parametrize("model", MORE_THAN_FIELDS)
def test_a_model_with_code_or_settings_of_its_own_is_more_than_its_fields(model: type[BaseModel]) -> None:
    assert not is_only_fields(model)
    assert exactness(model) is None


@pytest.mark.parametrize("model", [Point, Spot, Path, Named, Tree, Loose, Box, Limited, Message, Edits])
def test_a_model_of_plain_fields_is_nothing_but_them(model: type[BaseModel]) -> None:
    assert is_only_fields(model)


@pytest.mark.parametrize(
    "annotation",
    [
        Loose,
        Box,
        Tree,
        Limited,
        Any,
        object,
        list,
        bytes,
        datetime.date,
        Mood,
        list[int],
        list[Point],
        tuple[int, str],
        tuple[Box, ...],
        dict[str, Any],
        Literal[Mood.GOOD],
        Literal[b"a"],
        Annotated[int, Gt(0)],
        Annotated[int, AfterValidator(abs)],
        Annotated[list[int], Field(max_length=2)],
        Annotated[Dog | Box, Discriminator(lambda _: "dog")],
        Annotated[Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(lambda _: "dog")],
        Point | Path,
        str | datetime.date,
        tuple[int, ...] | tuple[str, ...],
        Literal[1] | bool,
        Literal[0, "a"] | None | float,
        int | Literal[True],
        Literal[1] | Literal[True],  # noqa: PYI030 - one Literal of both can be told
        Edits,
    ],
)
def test_of_values_that_may_change_or_come_back_as_something_else_nothing_is_told(annotation: object) -> None:
    assert exactness(annotation) is None


# What is made by validation is exact.

names = st.text(max_size=5)
words = st.none() | st.booleans() | st.integers() | st.floats() | names
json = st.recursive(
    words | st.dates(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2) | st.sets(st.integers()),
    max_leaves=5,
)
arguments = st.dictionaries(names, json, max_size=3)
texts = st.dictionaries(names, names, max_size=2)
sources = st.fixed_dictionaries({"type": st.just("url"), "url": names})
blocks = st.builds(TextBlock, text=names) | st.builds(ImageBlock, source=sources)
content = names | st.lists(blocks, max_size=2).map(tuple)
calls = st.builds(ToolCall, id=names, name=names, arguments=arguments) | st.builds(ToolCall, id=names, name=names)
results = st.builds(ToolResult, tool_call_id=names, content=content)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=content,
    tool_calls=st.lists(calls, max_size=2).map(tuple),
    tool_call_id=st.none() | names,
) | st.builds(Message, role=st.just("user"))
decisions = st.builds(
    Decision,
    call_id=names,
    tool=names,
    outcome=st.sampled_from(["allow", "ask", "deny"]),
    digest=names,
    arguments=arguments,
    retry_after_s=st.none() | st.floats(),
)
points = st.builds(Point, x=st.integers(), name=st.none() | names)
paths = st.builds(
    Path,
    points=st.lists(points, max_size=2).map(tuple),
    weight=st.floats(),
    kind=st.sampled_from(["open", 1, True, None]),
)
RECORDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (MessageContent, content),
    (ToolCall, calls),
    (tuple[ToolResult, ...], st.lists(results, max_size=2).map(tuple)),
    (tuple[Message, ...], st.lists(messages, max_size=2).map(tuple)),
    (tuple[Decision, ...], st.lists(decisions, max_size=2).map(tuple)),
    (ToolRun, st.builds(ToolRun, result=results, kept=texts, notes=st.lists(names, max_size=2).map(tuple))),
    (Usage, st.builds(Usage, input_tokens=st.integers(), cost_usd=st.none() | st.floats())),
    (Point | None, st.none() | points),
    (Path, paths),
    (tuple[Pet, ...], st.lists(st.builds(Cat) | st.builds(Dog, tags=st.lists(names)), max_size=2).map(tuple)),
    (Point | tuple[int, ...] | str | float, points | st.lists(st.integers()).map(tuple) | names | st.floats()),
    (tuple[int | float | bool | str | None, ...], st.lists(words).map(tuple)),
    (tuple[Literal[1, "a"] | None, ...], st.lists(st.sampled_from([1, "a", None])).map(tuple)),
    (FrozenJson, arguments),
    (FrozenTexts, texts),
]


def form(value: object) -> object:
    """Return a value with the types of all that it is made of, in a form in which a NaN equals another."""
    if isinstance(value, BaseModel):
        return type(value), sorted(value.model_fields_set), form(vars(value))
    if isinstance(value, dict):
        content = cast(dict[object, object], value)
        return type(content), [(form(key), form(item)) for key, item in content.items()]
    if isinstance(value, (list, tuple)):
        items = cast(list[object], value)
        return type(items), [form(item) for item in items]
    return type(value), repr(value)


@given(st.sampled_from(RECORDS).flatmap(lambda one: st.tuples(st.just(one[0]), one[1])))
def test_a_record_is_seen_as_it_is_read(case: tuple[Any, Any]) -> None:
    annotation, drawn = case
    values = values_of(annotation)
    seen, saved = values.settle(drawn)
    assert saved == values.dump(values.validate(drawn))
    assert form(seen) == form(values.load_json(saved))


CALL = ToolCall(id="1", name="t", arguments={"a": [1]})
RESULT = ToolResult(tool_call_id="1", content="a", is_error=False)
RUN = ToolRun(result=RESULT)
HELD = FrozenDict(a=[[1]])
IMAGE = ImageBlock(source={"type": "url", "url": "u"})
MESSAGE = Message(role="assistant", content=(TextBlock(text="a"),), tool_calls=(CALL,))
PATH = Path(points=(Point(x=1, name="a"),), weight=1.0, kind=True)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (tuple[Message, ...], (Message.model_validate_json(MESSAGE.model_dump_json()),)),
        (ToolResult, RESULT),
        (ToolRun, ToolRun(result=RESULT, kept={"a": "b"}, notes=("c",), is_told=True)),
        (Path, PATH),
        (tuple[Pet, ...], (Cat(kind="cat"),)),
        (Path | None, PATH),
        (Point | None, None),
    ],
)
def test_what_passes_through_an_agents_state_need_not_be_read_back(annotation: object, value: object) -> None:
    values = values_of(annotation)
    seen, saved = values.settle(value)
    assert seen is value
    assert saved == values.dump(value)
    assert exact_dumper()({"a": value}) == b'{"a":%b}' % saved


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (tuple[Message, ...], (Message(role="user", content="a"), MESSAGE)),
        (ToolRun, ToolRun(result=ToolResult(tool_call_id="1", content="a"), kept={"a": "b"}, notes=("c",))),
        (Decision, Decision(call_id="1", tool="t", outcome="ask", digest="d", arguments={"a": {}})),
        (Usage, Usage()),
        (Path, Path(points=(Point(x=1),), weight=1.0, kind=1)),
        (Path | str | None, Path(points=(Point(x=1), Point(x=2, name="a")))),
        (tuple[Pet, ...], (Cat(kind="cat"), Cat())),
        (tuple[tuple[Point, ...], ...], ((), (Point(x=1),))),
    ],
)
def test_later_steps_see_every_field_of_a_record_as_set_though_nobody_set_it(annotation: object, value: object) -> None:
    values = values_of(annotation)
    before = form(value)
    seen, saved = values.settle(value)
    assert form(value) == before
    assert form(seen) == form(values.load_json(saved)) != before
    assert seen == value


def test_what_was_not_set_need_not_be_read_back() -> None:
    call = ToolCall(id="1", name="t")
    (seen,), _ = values_of(tuple[Message, ...]).settle((MESSAGE.model_copy(update={"tool_calls": (call, CALL)}),))
    assert seen.tool_calls[1].arguments is CALL.arguments


def test_a_record_is_left_as_it_is_where_another_field_has_to_be_read_back() -> None:
    message = MESSAGE.model_copy(update={"name": Text("a")})
    before = form(message)
    (seen,), _ = values_of(tuple[Message, ...]).settle((message,))
    assert form(message) == before != form(seen)


def test_a_record_that_a_later_step_sees_is_its_own() -> None:
    given = Point(x=1)
    seen, _ = values_of(Point).settle(given)
    vars(given)["x"] = 2
    given.model_fields_set.clear()
    assert form(seen) == form(Point(x=1, name=None))


# Whatever else a record may hold is read back, and so refused where it does not fit.


@pytest.mark.parametrize(
    ("annotation", "value", "seen"),
    [
        (Point, Spot(x=1), Point(x=1)),
        (Point, Loud(x=1), Point(x=1)),
        (tuple[Point, ...], (Spot(x=1),), (Point(x=1),)),
        (Point, Point(x=1).model_copy(update={"name": Text("a")}), Point(x=1, name="a")),
        (Point, Point(x=1).model_copy(update={"name": Mood.GOOD}), Point(x=1, name="good")),
        (Point, Point(x=1).model_copy(update={"x": True}), Point(x=1)),
        (Point, Point(x=1).model_copy(update={"x": 2**70}), Point(x=2**70)),
        (Path, Path().model_copy(update={"points": [Point(x=1)]}), Path(points=(Point(x=1),))),
        (Path, Path().model_copy(update={"points": ({"x": 1},)}), Path(points=(Point(x=1),))),
        (Path, Path().model_copy(update={"weight": 2}), Path(weight=2.0)),
        (Path, Path(weight=math.inf), Path(weight=math.inf)),
        (Path, Path().model_copy(update={"kind": Text("open")}), Path()),
        (ToolCall, CALL.model_copy(update={"arguments": {"a": ({1},)}}), CALL.model_copy(update={"arguments": HELD})),
        (ToolRun, RUN.model_copy(update={"kept": {"a": "b"}}), ToolRun(result=RUN.result, kept={"a": "b"})),
        (FrozenTexts, {"a": "b"}, FrozenDict(a="b")),
        (Usage, Usage.model_construct(input_tokens="1"), Usage(input_tokens=1)),
        (MessageContent, (IMAGE,), (IMAGE,)),
        (tuple[int, ...], [1], (1,)),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_what_is_not_exactly_of_the_type_is_seen_as_it_is_read(annotation: object, value: object, seen: object) -> None:
    values = values_of(annotation)
    got, saved = values.settle(value)
    assert form(got) == form(values.load_json(saved))
    assert got == seen


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Point, Point.model_construct()),
        (Point, Point.model_construct(x="a")),
        (Point, Point(x=1).model_copy(update={"name": 3})),
        (Point, Point.model_construct(name="a", y=1)),
        (tuple[Point, ...], (Point.model_construct(x=None),)),
        (tuple[Message, ...], (MESSAGE.model_copy(update={"role": "nobody"}),)),
        (tuple[Message, ...], (MESSAGE.model_copy(update={"tool_calls": (ToolCall.model_construct(id=1),)}),)),
        (ToolCall, CALL.model_copy(update={"arguments": ["a"]})),
        (ToolRun, ToolRun.model_construct(result=RUN.result, kept=FrozenDict(a=1))),
        (Limited, Limited(x=1).model_copy(update={"x": -1})),
        (MessageContent, (ImageBlock.model_construct(source=FrozenDict(type="url")),)),
        (MessageContent, (DocumentBlock.model_construct(source={}),)),
        (Usage, Usage(cost_usd=1.0).model_copy(update={"cost_usd": "much"})),
        (Point, Point(x=1, name="\ud800")),
        (Point, Point(x=10**5000)),  # longer than what can be read back
    ],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_what_is_none_of_the_type_is_refused_however_it_was_made(annotation: object, value: object) -> None:
    with pytest.raises(ValueError, match=r"validation error|surrogates"):
        values_of(annotation).settle(value)


def test_what_a_record_keeps_besides_its_fields_is_not_seen_later() -> None:
    given = Named(x=1, name="a")
    assert given.title == "a!"
    seen, _ = values_of(Named).settle(given)
    assert seen is not given
    assert vars(seen) == {"x": 1, "name": "a"}
