import contextlib
import datetime
import enum
import math
import types
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import anyio
import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    OnErrorOmit,
    StringConstraints,
    WithJsonSchema,
    WrapValidator,
    computed_field,
    model_validator,
)
from pydantic_core import from_json, to_json

from loom import (
    END,
    START,
    AnswerError,
    Context,
    Graph,
    MemoryCheckpointer,
    NodeError,
    Result,
    Runtime,
    State,
    append,
    node,
)
from loom.core.result import Ask
from loom.core.values import values_of
from loom.runs.answers import Shown, answer_records
from loom.runs.app import CompiledGraph
from loom.runs.notes import Totals

# Any, in this module: answers and their types.


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    barks: bool


class Tree(BaseModel):
    name: str = Field(alias="n")
    children: tuple["Tree", ...] = ()


class Strict(BaseModel, extra="forbid"):
    number: Annotated[int, Field(ge=1, le=9)]


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


class Computed(BaseModel, extra="forbid"):
    side: int = 2

    @computed_field  # type: ignore[prop-decorator]  # as pydantic would have it
    @property
    def area(self) -> int:
        return self.side**2


class Endless(BaseModel):
    most: float = math.inf


class Ahead(BaseModel, regex_engine="python-re"):
    name: Annotated[str, Field(pattern=r"^(?!x)a+$")]


class Stripped(BaseModel, str_strip_whitespace=True):
    name: Annotated[str, Field(max_length=3)]


class FromText(BaseModel):
    a: int

    @model_validator(mode="before")
    @classmethod
    def read(cls, given: Any) -> Any:
        return {"a": given.partition("-")[0]} if isinstance(given, str) else given


class Grade(enum.StrEnum):
    A = "a"


class Loose(enum.Enum):
    RED = "r"

    @classmethod
    def _missing_(cls, value: object) -> "Loose":
        return {"R": cls.RED}[str(value)]


class Pair(NamedTuple):
    a: int
    b: int = 2


class Unwritable:
    def __repr__(self) -> str:
        raise ValueError("no text")


def nested(depth: int) -> list[Any]:
    inside: list[Any] = []
    for _ in range(depth):
        inside = [inside]
    return inside


def ask_for(answer_type: Any, kind: str = "ask") -> Totals:
    ask = Ask("a1", kind, "key", "Which?", "node", "", values_of(answer_type).schema(Shown), {})
    return Totals(open_asks={"a1": ask})


def taken(answer_type: Any, answer: Any, kind: str = "ask") -> Any:
    """Return what is saved of an answer."""
    (record,) = answer_records(ask_for(answer_type, kind), {"a1": answer}, 5.0)
    assert (record["kind"], record["id"], record["at"]) == ("answer", "a1", 5.0)
    return record["value"]


TAKEN: list[tuple[Any, Any, Any]] = [
    (str, "yes", "yes"),
    (bool, True, True),
    (int, 5, 5),
    (float, 5, 5),
    (float, 5.5, 5.5),
    (float, float("-inf"), "-Infinity"),
    (None, None, None),
    (int | None, None, None),
    (list[int], [1, 2], [1, 2]),
    (list[int], (1, 2), [1, 2]),
    (tuple[int, str], (1, "a"), [1, "a"]),
    (tuple[int, ...], [1, 2], [1, 2]),
    (set[int], {3}, [3]),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
    (Literal["a", 1], 1, 1),
    (int, 5.0, 5.0),
    (Literal[1.5, 2], 2.0, 2.0),
    (Colour, Colour.RED, "r"),
    (Colour, "b", "b"),
    (datetime.date, datetime.date(2026, 1, 2), "2026-01-02"),
    (datetime.date, "2026-01-02", "2026-01-02"),
    (datetime.datetime, "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
    (datetime.time, "03:04:05", "03:04:05"),
    (datetime.timedelta, datetime.timedelta(hours=1), "PT1H"),
    (uuid.UUID, uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Decimal, Decimal("1.50"), "1.50"),
    (bytes, b"\xff\x00", "_wA="),
    (Strict, {"number": 3}, {"number": 3}),
    (Strict, Strict(number=3), {"number": 3}),
    (Pet, {"kind": "cat"}, {"kind": "cat"}),
    (Pet, Dog(kind="dog", barks=False), {"kind": "dog", "barks": False}),
    (Tree, Tree(n="a", children=(Tree(n="b"),)), {"name": "a", "children": [{"name": "b", "children": []}]}),
    (Annotated[str, Field(min_length=2, pattern="^a+$")], "aaa", "aaa"),
    (Annotated[list[int], Field(max_length=2)], [1, 2], [1, 2]),
    (Annotated[int, Field(multiple_of=5)], 15, 15),
    (Any, {"any": [1, None]}, {"any": [1, None]}),
    (object, 5, 5),
    (Annotated[str, Field(pattern=r"^\p{L}+$")], "é", "é"),
    (Ahead, {"name": "aa\n"}, {"name": "aa\n"}),
    (Annotated[float, Field(multiple_of=0.1)], 0.3, 0.3),
    (Computed, Computed(), {"side": 2}),
    (Computed, {"side": 3}, {"side": 3}),
    (Endless, Endless(), {"most": "Infinity"}),
    (Literal[Grade.A], Grade.A, "a"),
    (Decimal, 1.5, 1.5),
    (Decimal, Decimal("1E+5"), "1E+5"),
    (Annotated[Decimal, Field(max_digits=3)], "_1_5", "_1_5"),
    (Annotated[bytes, Field(max_length=3)], b"abc", "YWJj"),
    (Annotated[str, StringConstraints(strip_whitespace=True, max_length=3)], "  ada  ", "  ada  "),
    (Annotated[str, AfterValidator(str.strip), Field(max_length=3)], "  ada  ", "  ada  "),
    (Stripped, {"name": "  ada  "}, {"name": "  ada  "}),
    (Annotated[set[int], Field(max_length=1)], [1, 1], [1, 1]),
    (Annotated[int, BeforeValidator(len)], "abc", "abc"),
    (Annotated[int, WrapValidator(lambda value, check: check(len(value)))], "abc", "abc"),
    (list[FromText], ["1-2"], ["1-2"]),
    (Loose, "R", "R"),
    (list[OnErrorOmit[int]], ["x", 1], ["x", 1]),
    (Pair, {"a": 1}, {"a": 1}),
    (complex, 5, 5),
]


@pytest.mark.parametrize(("answer_type", "answer", "saved"), TAKEN)
def test_an_answer_of_the_type_is_saved_as_json(answer_type: Any, answer: Any, saved: Any) -> None:
    assert taken(answer_type, answer) == saved
    values_of(answer_type).read(saved)  # and is of the type


MANY: list[Any] = [
    0, 1, 4, -1, 1.0, 1.5, 0.3, 1e30, None, "", "a", "ab", "abcd", " a ", "1", "1.5", "1E+5", "NaN",
    "2020-01-01", "2030-01-01", "2020-01-01T00:00:00", "10:20", "P1D", "00000000-0000-0000-0000-000000000001", "YWJj",
    "1.2.3.4", "1+2j", [], [1], [1, 1], ["a"], [1, "x"], [[1]], {}, {"a": 1}, {"number": 3}, {"kind": "cat"},
    {"side": 2}, {"name": " ada "}, {"1": 2}, {"2020-01-01": 1},
]  # fmt: skip


@pytest.mark.parametrize("answer_type", [one for one, *_ in TAKEN])
def test_what_a_type_takes_as_it_is_its_schema_never_refuses(answer_type: Any) -> None:
    for wanted in (answer_type, list[answer_type]):
        strict: Any = values_of(wanted).load_json  # which refuses texts that stand for numbers, as schemas do
        for answer in MANY:
            try:
                strict(to_json(answer), strict=True)
            except (KeyError, TypeError, ValueError):
                continue
            taken(wanted, answer)


def test_a_validator_that_comes_before_may_say_what_it_takes() -> None:
    assert taken(Annotated[int, BeforeValidator(len, json_schema_input_type=str)], "abc") == "abc"


REFUSED: list[tuple[Any, Any, Any]] = [
    (str, 5, "the answer must be of type string, got 5"),
    (bool, "yes", "the answer must be of type boolean, got 'yes'"),
    (bool, 1, "must be of type boolean"),
    (int, True, "must be of type integer"),
    (int, 1.5, "must be of type integer"),
    (float, "5", "must be of type number"),
    (float, True, "must be of type number"),
    (None, 0, "must be of type null"),
    (int | None, "x", "the answer must be integer or null, got 'x'"),
    (Strict | None, "x", "the answer must be Strict or null"),
    (list[int], 5, "must be of type array"),
    (list[int], [1, "x"], "the answer[1] must be of type integer"),
    (list[list[int]], [[1], ["x"]], "the answer[1][0] must be of type integer"),
    (tuple[int, str], [1, 2], "the answer[1] must be of type string"),
    (tuple[int, str], [1], "must be of length at least 2"),
    (tuple[int, str], [1, "a", 3], "must be of length at most 2"),
    (dict[str, int], {"a": "x"}, "the answer.a must be of type integer"),
    (dict[str, int], [1], "must be of type object"),
    (Literal["a", 1], "b", "must be one of ['a', 1], got 'b'"),
    (Literal["a", 1], True, "must be one of"),
    (Literal["a"], "b", "must be one of ['a']"),
    (Colour, "g", "must be one of ['r', 'b']"),
    (datetime.date, "soon", "the answer must be a date, got 'soon'"),
    (datetime.datetime, "2026-13-01", "must be a date-time"),
    (datetime.time, "25:00", "must be a time"),
    (datetime.timedelta, "long", "must be a duration"),
    (uuid.UUID, "1", "must be a uuid"),
    (Strict, {}, 'the answer lacks "number"'),
    (Strict, {"number": "x"}, "the answer.number must be of type integer"),
    (Strict, {"number": 0}, "the answer.number must be at least 1"),
    (Strict, {"number": 10}, "the answer.number must be at most 9"),
    (Strict, {"number": 3, "more": 1}, 'the answer has the unknown field "more"'),
    (Pet, {"kind": "cow"}, "the answer must be Cat or Dog"),
    (Pet, {"kind": "dog"}, "the answer must be Cat or Dog"),
    (Tree, {"name": "a", "children": [{"children": []}]}, 'the answer.children[0] lacks "name"'),
    (Annotated[int, Field(gt=3)], 3, "must be above 3"),
    (Annotated[float, Field(lt=3)], 3.0, "must be below 3"),
    (Annotated[int, Field(multiple_of=5)], 7, "must be a multiple of 5"),
    (Annotated[str, Field(min_length=2)], "a", "must be of length at least 2"),
    (Annotated[str, Field(max_length=2)], "aaa", "must be of length at most 2"),
    (Annotated[str, Field(pattern="^a+$")], "b", "must be like ^a+$"),
    (Annotated[list[int], Field(max_length=2)], [1, 2, 3], "must be of length at most 2"),
    (str, "\ud800", "cannot be saved as JSON"),
    (Any, object(), "cannot be saved as JSON"),
    (Any, Unwritable(), "a value of type Unwritable that cannot be shown cannot be saved as JSON: "),
    (Any, nested(195), "cannot be saved as JSON: its JSON could not be read back"),
    (list[int], [10**5000], "a value of type list that cannot be shown cannot be saved as JSON: "),
    (Annotated[int, BeforeValidator(len, json_schema_input_type=str)], 3, "must be of type string, got 3"),
    (Ahead, {"name": "b"}, "the answer.name must be like ^(?!x)a+$"),
    (Annotated[str, Field(pattern=r"^\p{L}+$")], "1", r"must be like ^\p{L}+$"),
    (Annotated[int, Field(ge=1)] | types.NoneType, 0, "the answer must be integer or null, got 0"),
]


@pytest.mark.parametrize(("answer_type", "answer", "flaw"), REFUSED)
def test_an_answer_of_another_type_is_refused(answer_type: Any, answer: Any, flaw: str) -> None:
    with pytest.raises(AnswerError) as caught:
        taken(answer_type, answer)
    assert str(caught.value).startswith('ask "a1" ("Which?") of node "node": ')
    assert flaw in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "saved"),
    [
        ("retry", ["retry"]),
        ("skip", ["skip"]),
        (5, ["result", 5]),
        (Result(5), ["result", 5]),
        (Result(Strict(number=5)), ["result", {"number": 5}]),
    ],
)
def test_an_effect_in_doubt_takes_two_words_and_any_result(answer: Any, saved: Any) -> None:
    assert taken(Any, answer, "in_doubt") == saved


def test_a_word_may_be_the_result_of_an_effect_in_doubt() -> None:
    assert taken(str, Result("retry"), "in_doubt") == ["result", "retry"]
    assert taken(str, "no word", "in_doubt") == ["result", "no word"]


def test_an_effect_in_doubt_refuses_a_result_of_another_type() -> None:
    with pytest.raises(AnswerError, match='must be of type integer, got \'x\'; or answer "retry" or "skip"'):
        taken(int, "x", "in_doubt")


def test_an_ask_that_is_not_in_doubt_takes_no_words() -> None:
    with pytest.raises(AnswerError, match="must be of type integer"):
        taken(int, "retry")


def test_an_unknown_id_is_refused_with_those_that_are_open() -> None:
    with pytest.raises(AnswerError, match='no ask "zz" is open; open are "a1"'):
        answer_records(ask_for(str), {"zz": "yes"}, 0)
    with pytest.raises(AnswerError, match='no ask "zz" is open; open are none'):
        answer_records(Totals(), {"zz": "yes"}, 0)


def test_an_ask_that_was_answered_is_refused_with_its_answer() -> None:
    with pytest.raises(AnswerError, match="ask \"a1\" was answered already, with 'yes'"):
        answer_records(Totals(answers={"a1": "yes"}), {"a1": "no"}, 0)


def test_answers_that_are_no_mapping_are_refused() -> None:
    given: Any = ["yes"]
    with pytest.raises(AnswerError, match=r"answers are given by the id of their ask"):
        answer_records(ask_for(str), given, 0)


def foreign(schema: Mapping[str, Any]) -> Any:
    """Return a type that shows a JSON Schema of the user's own."""
    return Annotated[int, WithJsonSchema(dict(schema))]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "file"},
        {"type": ["string", "file"]},
        {"type": 5},
        {"type": "integer", "minimum": "0"},
        {"type": "integer", "multipleOf": 0},
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": 5},
        {"type": "array", "prefixItems": 5},
        {"type": "array", "items": False},
        {"type": "object", "properties": 5},
        {"type": "object", "required": 5},
        {"type": "string", "maxLength": "3"},
        {"$ref": "#/nowhere"},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
        {"anyOf": 5},
        {"enum": 5},
    ],
)
@pytest.mark.parametrize("answer", ["abcd", 5, [1], {"a": 1}])
def test_what_is_not_understood_of_a_schema_refuses_nothing_and_raises_nothing(schema: Any, answer: Any) -> None:
    ask = Ask("a1", "ask", "key", "Which?", "node", "", schema, {})
    with contextlib.suppress(AnswerError):
        (record,) = answer_records(Totals(open_asks={"a1": ask}), {"a1": answer}, 5.0)
        assert record["value"] == answer


def test_a_schema_of_the_users_own_is_held_to_where_it_is_understood() -> None:
    assert taken(foreign({"type": ["string", "null"]}), None) is None
    assert taken(foreign({"type": ["string", "file"]}), "x") == "x"
    assert taken(foreign({"type": "integer", "minimum": "0"}), 5) == 5
    with pytest.raises(AnswerError, match=r"must be of type \['string', 'null'\], got 5"):
        taken(foreign({"type": ["string", "null"]}), 5)


def test_a_schema_says_where_the_type_takes_more_than_it_tells() -> None:
    assert values_of(Annotated[int, BeforeValidator(len)]).schema(Shown) == {
        "type": "integer",
        "$comment": "its own validator decides",
    }
    assert values_of(Strict).schema(Shown) == values_of(Strict).schema()


# In runs


class Log(State):
    items: list[int] = []
    log: Annotated[list[str], append] = []


@node(writes="log")
async def asks(ctx: Context) -> list[str]:
    return [f"{ctx.node} {await ctx.ask('Well?', answer_type=bool)}"]


@node(writes="log")
async def works(ctx: Context) -> list[str]:
    return [ctx.node]


def fan(**failing: bool) -> CompiledGraph[Log]:
    """Return a graph of which two branches ask, beside one that only works."""
    graph = Graph("fan", Log)
    graph.node("a", asks)
    graph.node("b", asks)
    graph.node("c", works)
    graph.node("d", works)
    graph.node("join", works)
    graph.edge(START, ["a", "b", "c"])
    graph.edge("c", "d")
    graph.edge(["a", "b", "d"], "join", END)
    return graph.compile()


@pytest.mark.anyio
async def test_several_branches_ask_at_once_and_are_answered_one_by_one() -> None:
    app = fan()
    first = await app.run(run_id="r")
    assert (first.status, first.steps, [ask.branch for ask in sorted(first.asks, key=lambda ask: ask.node)]) == (
        "paused",
        2,
        ["0", "1"],
    )
    assert (await app.resume("r")).asks == first.asks, "without answers the same asks, with the same ids"
    a, b = sorted(first.asks, key=lambda ask: ask.node)
    second = await app.resume("r", answers={b.id: False})
    assert (second.status, second.steps, second.asks) == ("paused", 3, (a,))
    third = await app.resume("r", answers={a.id: True})
    assert third.state.log == ["a True", "b False", "c", "d", "join"]


@pytest.mark.anyio
async def test_an_answer_that_is_refused_changes_nothing() -> None:
    app, store = fan(), MemoryCheckpointer()
    runtime = Runtime(checkpointer=store)
    a, b = (await app.run(run_id="r", runtime=runtime)).asks
    await app.resume("r", answers={a.id: True}, runtime=runtime)
    before = await store.read("r")
    wrong: list[dict[str, Any]] = [{b.id: "yes"}, {"zz": True}, {a.id: True}, {b.id: True, "zz": True}, {b.id: None}]
    for answers in wrong:
        with pytest.raises(AnswerError):
            await app.resume("r", answers=answers, runtime=runtime)
    assert await store.read("r") == before
    result = await app.resume("r", answers={b.id: True}, runtime=runtime)
    assert result.status == "completed"
    with pytest.raises(AnswerError, match="was answered already"):
        await app.resume("r", answers={b.id: True}, runtime=runtime)


@pytest.mark.anyio
async def test_open_asks_outlive_the_failure_of_a_sibling() -> None:
    trouble = [ValueError("once")]

    @node(writes="log")
    async def fails(log: list[str]) -> list[str]:
        if trouble:
            raise trouble.pop()
        return ["fixed"]

    graph = Graph("failing", Log)
    graph.node("asks", asks)
    graph.node("works", works)
    graph.node("fails", fails)
    graph.node("join", works)
    graph.edge(START, ["asks", "works"])
    graph.edge("works", "fails")
    graph.edge(["asks", "fails"], "join", END)
    app, store = graph.compile(), MemoryCheckpointer()
    runtime = Runtime(checkpointer=store)
    with pytest.raises(NodeError, match="once"):
        await app.run(run_id="r", runtime=runtime)
    asked = [record for record in (await store.read("r")).records if b'"ask"' in record]
    assert len(asked) == 1
    paused = await app.resume("r", runtime=runtime)
    assert paused.asks[0].id.encode() in asked[0]
    result = await app.resume("r", answers={paused.asks[0].id: True}, runtime=runtime)
    assert result.state.log == ["asks True", "works", "fixed", "join"]


@pytest.mark.anyio
async def test_asks_stand_in_the_order_of_their_branches_and_as_they_were_asked() -> None:
    @node(writes="log")
    async def each_twice(item: int, ctx: Context) -> list[str]:
        await anyio.sleep((12 - item) / 1000)
        async with anyio.create_task_group() as group:
            for word in ("first", "then"):
                group.start_soon(ctx.ask, f"{item} {word}?")
        return []

    graph = Graph("many", Log)
    graph.node("ask", each_twice)
    graph.each(START, "ask", over="items", bind="item", max_concurrency=12)
    graph.edge("ask", END)
    store = MemoryCheckpointer()
    runtime = Runtime(checkpointer=store)
    told = [f"{item} {word}?" for item in range(12) for word in ("first", "then")]
    paused = await graph.compile().run({"items": list(range(12))}, run_id="r", runtime=runtime)
    again = await graph.compile().resume("r", runtime=runtime)
    assert [ask.question for ask in paused.asks] == [ask.question for ask in again.asks] == told
    assert from_json((await store.read("r")).records[-1])["asks"] == [ask.id for ask in paused.asks]


@pytest.mark.anyio
async def test_an_ask_of_a_loop_is_a_new_one_each_time() -> None:
    graph = Graph("loop", Log)
    graph.node("asks", asks)
    graph.edge(START, "asks")
    graph.switch("asks", {"len(log) >= 3": END}, otherwise="asks")
    app = graph.compile()
    result = await app.run(run_id="r")
    ids: list[str] = []
    while result.asks:
        ids.append(result.asks[0].id)
        result = await app.resume("r", answers={ids[-1]: True})
    assert len(set(ids)) == 3


@pytest.mark.anyio
async def test_asks_and_answers_are_told_as_events() -> None:
    graph = Graph("told", Log)
    graph.node("asks", asks)
    graph.edge(START, "asks", END)
    app = graph.compile()
    (ask,) = (await app.run(run_id="r")).asks
    await app.resume("r", answers={ask.id: True})
    told = [event async for event in app.events("r") if event.type.startswith("ask.")]
    assert [event.type for event in told] == ["ask.opened", "ask.answered"]
    assert told[0].payload["id"] == ask.id
    assert told[0].payload["kind"] == "ask"
    assert told[1].payload == {"id": ask.id, "value": True}
