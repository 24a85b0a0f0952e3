import datetime
import functools
import math
import threading
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator

from loom import END, START, ConfigError, Context, Graph, Node, NodeError, State, append, node
from loom.core.node import AnyNode

pytestmark = pytest.mark.anyio


class Words(State):
    first: str = "a"
    second: str = "b"
    heard: str = ""
    size: int = 0
    absent: str  # given by nobody: a port with a default may find it so
    items: list[str] = []
    table: dict[str, list[str]] = {}


async def ran(work: AnyNode, *, renamed: dict[str, str] | None = None, **inputs: Any) -> Words:
    """Run one node and return the state after it. A node that never runs writes the field `absent`."""

    @node(writes="absent")
    async def never() -> str:
        raise AssertionError("nobody goes this way")

    graph = Graph("words", Words)
    graph.node("work", work, writes=renamed)
    graph.node("never", never)
    graph.edge(START, "work")
    graph.switch("work", {"size < -1": "never"}, otherwise=END)
    graph.edge("never", END)
    return (await graph.compile().run(inputs)).state


async def failure(work: AnyNode, **inputs: Any) -> str:
    """Run one node that fails and return what its error says of the cause."""
    with pytest.raises(NodeError) as caught:
        await ran(work, **inputs)
    return str(caught.value.__cause__)


# Ways to call a function.


async def test_an_async_function_gets_each_port_from_the_field_of_its_name() -> None:
    @node(writes="heard")
    async def work(second: str, first: str) -> str:
        return f"{first}-{second}"

    assert (await ran(work, first="x", second="y")).heard == "x-y"


async def test_a_function_without_ports_is_called_with_nothing() -> None:
    @node(writes="heard")
    async def work() -> str:
        return "called"

    assert (await ran(work)).heard == "called"


async def test_a_single_port_is_the_value_itself() -> None:
    @node(writes="heard")
    async def work(first: str) -> str:
        return first

    assert (await ran(work, first="whole")).heard == "whole"


async def test_keyword_only_ports_are_given_by_name() -> None:
    @node(writes="heard")
    async def work(*, second: str, first: str) -> str:
        return first + second

    assert (await ran(work)).heard == "ab"


async def test_a_default_stands_for_a_field_that_was_never_written() -> None:
    @node(writes="heard")
    async def work(first: str, absent: str = "nothing") -> str:
        return f"{first} {absent}"

    assert (await ran(work)).heard == "a nothing"
    assert (await ran(work, absent="something")).heard == "a something"


async def test_a_default_stands_for_a_port_without_a_field() -> None:
    @node(writes="heard")
    async def work(first: str, unbound: int = 7) -> str:
        return f"{first}{unbound}"

    assert (await ran(work)).heard == "a7"


async def test_a_field_goes_before_the_default_of_its_port() -> None:
    @node(writes="heard")
    async def work(first: str = "default") -> str:
        return first

    assert (await ran(work)).heard == "a"


@pytest.mark.parametrize("is_first", [True, False])
async def test_the_context_is_given_wherever_its_parameter_stands(is_first: bool) -> None:
    @node(writes="heard")
    async def early(ctx: Context, first: str) -> str:
        return f"{ctx.node} {first}"

    @node(writes="heard")
    async def late(first: str, *, where: Context) -> str:
        return f"{where.node} {first}"

    assert (await ran(early if is_first else late)).heard == "work a"


async def test_a_plain_function_runs_in_a_thread_of_its_own() -> None:
    threads: list[int] = []

    @node(writes="heard")
    def work(first: str, ctx: Context) -> str:
        threads.append(threading.get_ident())
        return first + ctx.node

    assert (await ran(work)).heard == "awork"
    assert threads != [threading.get_ident()]


async def test_a_plain_function_with_thread_false_runs_inline() -> None:
    threads: list[int] = []

    @node(writes="heard", thread=False)
    def work(first: str, unbound: int = 3) -> str:
        threads.append(threading.get_ident())
        return f"{first}{unbound}"

    assert (await ran(work)).heard == "a3"
    assert threads == [threading.get_ident()]


async def test_a_partial_and_a_callable_object_are_functions_too() -> None:
    async def greet(greeting: str, first: str) -> str:
        return f"{greeting} {first}"

    class Greeter:
        async def __call__(self, first: str) -> str:
            return f"object {first}"

    assert (await ran(node(writes="heard")(functools.partial(greet, "partial")))).heard == "partial a"
    assert (await ran(node(writes="heard")(Greeter()))).heard == "object a"


class WorkIn(BaseModel):
    first: str
    times: int = 2


class WorkOut(BaseModel):
    heard: str = ""
    size: int = 0


class Repeat(Node[WorkIn, WorkOut]):
    glue: str = "-"

    async def run(self, inputs: WorkIn, ctx: Context) -> WorkOut:
        return WorkOut(heard=self.glue.join([inputs.first] * inputs.times))


async def test_a_node_of_a_class_gets_its_ports_as_a_model() -> None:
    assert (await ran(Repeat(glue="+"), first="x")).heard == "x+x"


async def test_what_the_ports_model_refuses_fails_the_node() -> None:
    class Short(BaseModel):
        first: Annotated[str, Field(max_length=2)]

    class Take(Node[Short, WorkOut]):
        async def run(self, inputs: Short, ctx: Context) -> WorkOut:
            return WorkOut(heard=inputs.first)

    assert (await ran(Take(), first="ab")).heard == "ab"
    assert "at most 2 characters" in await failure(Take(), first="abc")


# Inputs that need no validation.


class Lines(State):
    words: tuple[str, ...] = ()
    items: list[str] = []
    size: int = 0
    exact: int | str = 0
    absent: list[str]  # given by nobody
    heard: str = ""


async def given_to(model: type[BaseModel], *, reads: dict[str, str] | None = None, **inputs: Any) -> BaseModel:
    """Return the inputs that a node with these ports gets."""
    seen: list[BaseModel] = []

    class Take(Node[model, WorkOut]):  # type: ignore[valid-type]  # pydantic makes the class of the value
        async def run(self, inputs: BaseModel, ctx: Context) -> WorkOut:
            seen.append(inputs)
            return WorkOut(heard="taken")

    @node(writes="absent")
    async def never() -> list[str]:
        raise AssertionError("nobody goes this way")

    graph = Graph("lines", Lines)
    graph.node("take", Take(), reads=reads)
    graph.node("never", never)
    graph.edge(START, "take")
    graph.switch("take", {"size < -1": "never"}, otherwise=END)
    graph.edge("never", END)
    await graph.compile().run(inputs)
    return seen[0]


class Same(BaseModel):
    words: tuple[str, ...]
    items: list[str]
    size: int = 7


class Frozen(BaseModel, frozen=True):
    size: int
    absent: list[str] = ["nothing"]
    unbound: list[str] = ["a"]
    made: list[str] = Field(default_factory=lambda: ["b"])


async def test_inputs_of_the_fields_own_types_are_as_if_they_were_validated() -> None:
    made = await given_to(Same, words=("a",), items=["b"], size=3)
    expected = Same(words=("a",), items=["b"], size=3)
    assert (made, repr(made), made.model_fields_set) == (expected, repr(expected), expected.model_fields_set)
    assert made.model_dump_json() == expected.model_dump_json()
    assert made.model_copy(update={"size": 4}) == Same(words=("a",), items=["b"], size=4)
    assert (made.__pydantic_extra__, made.__pydantic_private__) == (None, None)
    made.__setattr__("size", 9)
    assert made == Same(words=("a",), items=["b"], size=9)


async def test_ports_that_are_absent_or_unbound_have_their_defaults() -> None:
    made = await given_to(Frozen, size=3)
    again = await given_to(Frozen, absent=["something"])
    assert (made, repr(made), made.model_fields_set) == (Frozen(size=3), repr(Frozen(size=3)), {"size"})
    assert (again, again.model_fields_set) == (Frozen(size=0, absent=["something"]), {"size", "absent"})
    for mine, other in ((made, again), (made, Frozen(size=1))):
        assert isinstance(mine, Frozen)
        assert isinstance(other, Frozen)
        assert mine.unbound is not other.unbound
        assert mine.made is not other.made
    with pytest.raises(ValidationError, match="frozen"):
        made.__setattr__("size", 4)


async def test_a_port_is_given_the_field_it_is_mapped_to() -> None:
    made = await given_to(Frozen, reads={"size": "size", "absent": "items"}, items=["x"])
    assert made == Frozen(size=0, absent=["x"])


class Closer(BaseModel):
    size: Annotated[int, Field(lt=3)]


class Wider(BaseModel):
    size: float


class Doubling(BaseModel):
    size: int

    @field_validator("size")
    @classmethod
    def _double(cls, size: int) -> int:
        return size * 2


class Stripping(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    heard: str


class Following(BaseModel):
    size: int
    next_size: int = Field(default_factory=lambda data: data["size"] + 1)


class Turned(BaseModel):
    exact: str | int


@pytest.mark.parametrize(
    ("model", "inputs", "expected"),
    [
        (Wider, {"size": 1}, {"size": 1.0}),
        (Doubling, {"size": 1}, {"size": 2}),
        (Stripping, {"heard": " a "}, {"heard": "a"}),
        (Following, {"size": 1}, {"size": 1, "next_size": 2}),
        (Turned, {"exact": 1}, {"exact": 1}),
    ],
)
async def test_inputs_that_are_more_than_their_fields_are_validated(
    model: type[BaseModel], inputs: dict[str, Any], expected: dict[str, Any]
) -> None:
    made = await given_to(model, **inputs)
    assert repr(made.model_dump()) == repr(expected)


async def test_a_closer_type_than_the_fields_is_checked() -> None:
    with pytest.raises(NodeError) as caught:
        await given_to(Closer, size=3)
    assert "less than 3" in str(caught.value.__cause__)


# Inputs of functions: checked where the port is of another type than the field.


class Aliased(BaseModel):
    user_id: int = Field(alias="userId")


class Loose(State):
    any: Any = "abc"
    bare: list = ["x"]  # type: ignore[type-arg]  # as a user may write it
    several: list[Any] = ["2", "q"]
    number: int = 0
    small: Annotated[int, Field(lt=10)] = 1
    texts: Annotated[list[str], Field(max_length=3)] = ["a"]
    record: Any = {"user_id": 7}
    any_list: Any = ["x"]
    heard: Annotated[list[str], append] = []


async def positional(port: Any) -> list[str]:
    return [repr(port)]


async def keyword(*, port: Any) -> list[str]:
    return [repr(port)]


async def with_context(port: Any, ctx: Context) -> list[str]:
    return [repr(port)]


async def with_default(port: Any = None) -> list[str]:
    return [repr(port)]


def in_a_thread(port: Any) -> list[str]:
    return [repr(port)]


async def read_by(annotation: Any, field: str, fn: Callable[..., Any] = positional) -> list[str]:
    """Give a field to a function of one port, of this type; return what it was given."""
    own = types.FunctionType(fn.__code__, fn.__globals__, fn.__name__, fn.__defaults__)
    own.__kwdefaults__ = fn.__kwdefaults__
    own.__annotations__ = fn.__annotations__ | {"port": annotation}
    graph = Graph("loose", Loose)
    graph.node("work", node(writes="heard")(own), reads={"port": field})
    graph.edge(START, "work", END)
    return (await graph.compile().run()).state.heard


@pytest.mark.parametrize("fn", [positional, keyword, with_context, with_default, in_a_thread])
@pytest.mark.parametrize(
    ("annotation", "field", "said"),
    [
        (int, "any", """port "port" wants int, field "any" holds 'abc': Input should be a valid integer"""),
        (list[int], "bare", """port "port" wants list[int], field "bare" holds ['x']: 0: Input should be a valid"""),
        (Annotated[int, Field(gt=5)], "number", 'port "port" wants int, field "number" holds 0: Input should be gre'),
        (Annotated[int, Field(gt=5)], "small", 'port "port" wants int, field "small" holds 1: Input should be great'),
    ],
)
async def test_a_function_is_never_given_what_its_port_does_not_take(
    annotation: Any, field: str, said: str, fn: Callable[..., Any]
) -> None:
    with pytest.raises(NodeError, match='node "work", step 1') as caught:
        await read_by(annotation, field, fn)
    assert str(caught.value.__cause__).startswith(said)


@pytest.mark.parametrize("fn", [positional, keyword, with_context, with_default, in_a_thread])
@pytest.mark.parametrize(
    ("annotation", "field", "given"),
    [
        (float, "number", "0.0"),
        (Annotated[int, AfterValidator(lambda value: value + 100)], "number", "100"),
        (Aliased, "record", "Aliased(user_id=7)"),
        (tuple[str, ...], "any_list", "('x',)"),
        (object, "any", "'abc'"),
        (list[str], "texts", "['a']"),
    ],
)
async def test_a_function_is_given_a_value_of_its_ports_type(
    annotation: Any, field: str, given: str, fn: Callable[..., Any]
) -> None:
    assert await read_by(annotation, field, fn) == [given]


class Day(State):
    when: datetime.datetime = datetime.datetime(2026, 1, 2, 3, 4)  # noqa: DTZ001
    yes: bool = True
    texts: list[str] = ["a", "b"]
    table: dict[str, list[str]] = {"k": ["v"]}
    pair: tuple[str, ...] = ("a",)
    word: Literal["a", "b"] = "a"
    maybe: str | None = None
    limited: Annotated[list[str], Field(max_length=3)] = ["c"]
    shout: Annotated[str, AfterValidator(str.upper)] = "A"
    bare: list = ["a"]  # type: ignore[type-arg]
    loose: Any = "a"
    heard: str = ""


class Sized(Protocol):
    def __len__(self) -> int: ...


@pytest.mark.parametrize(
    ("annotation", "field", "given"),
    [
        (datetime.date, "when", "datetime.datetime(2026, 1, 2, 3, 4)"),
        (int, "yes", "True"),
        (int | str, "yes", "True"),
        (Iterable[str], "texts", "['a', 'b']"),
        (Sequence[Any], "texts", "['a', 'b']"),
        (Sequence[str], "pair", "('a',)"),
        (Collection, "texts", "['a', 'b']"),
        (Mapping[str, Iterable[str]], "table", "{'k': ['v']}"),
        (Sequence[str], "maybe", "None"),
        (Iterable[str], "limited", "['c']"),
        (str, "word", "'a'"),
        (str, "shout", "'A'"),
        (Sized, "texts", "['a', 'b']"),
        (list[Any], "bare", "['a']"),
        (Sequence[str], "bare", "['a']"),
        (Sized, "loose", "'a'"),
    ],
)
async def test_what_is_surely_of_a_ports_type_is_passed_on_as_it_is(annotation: Any, field: str, given: str) -> None:
    async def work(port: Any) -> str:
        return repr(port)

    work.__annotations__["port"] = annotation | None if field == "maybe" else annotation
    graph = Graph("day", Day)
    graph.node("work", node(writes="heard")(work), reads={"port": field})
    graph.edge(START, "work", END)
    assert (await graph.compile().run()).state.heard == given


class Texts(BaseModel):
    port: Any


@pytest.mark.parametrize(("annotation", "field"), [(list[str], "limited"), (str, "shout")])
async def test_a_class_too_has_its_inputs_from_fields_with_limits(annotation: Any, field: str) -> None:
    inputs = create_model("In", port=(annotation, ...))

    class Work(Node[inputs, Texts]):  # type: ignore[valid-type]
        async def run(self, inputs: Any, ctx: Context) -> Texts:
            return Texts(port=inputs.port)

    graph = Graph("day", Day)
    graph.node("work", Work(), reads={"port": field}, writes={"port": "loose"})
    graph.edge(START, "work", END)
    state = (await graph.compile().run()).state
    assert state.loose == getattr(state, field)


async def test_a_function_is_never_given_an_item_that_its_port_does_not_take() -> None:
    @node(writes="heard")
    async def work(item: int) -> list[str]:
        return [repr(item)]

    graph = Graph("loose", Loose)
    graph.node("work", work)
    graph.each(START, "work", over="several", bind="item")
    graph.edge("work", END)
    assert (await graph.compile().run({"several": ["2"]})).state.heard == ["2"]
    with pytest.raises(NodeError, match="port \"item\" wants int, the item is 'q': Input should be a valid integer"):
        await graph.compile().run()


ASKED: list[str] = []


def ask(value: str) -> str:
    ASKED.append(value)
    return value


Word = Annotated[str, AfterValidator(ask)]
Broken = Annotated[str, Field(pattern="(")]


async def test_a_validator_of_a_field_is_not_asked_again_where_the_port_is_the_same() -> None:
    class Said(State):
        word: Word = "a"
        heard: int = 0

    @node(writes="heard")
    async def work(word: Word) -> int:
        return len(ASKED)

    graph = Graph("said", Said)
    graph.node("work", work)
    graph.edge(START, "work", END)
    ASKED.clear()
    assert (await graph.compile().run({"word": "b"})).state.heard == 2, "as it came in, and as it was read back"


async def test_a_port_by_whose_type_no_value_can_be_checked_is_told_when_the_graph_is_compiled() -> None:
    @node(writes="heard")
    async def reads(record: Broken) -> list[str]:
        return [record]

    graph = Graph("loose", Loose)
    graph.node("work", reads)
    graph.edge(START, "work", END)
    said = 'node function "reads", port "record": no value can be checked by the type str: .*unclosed group'
    with pytest.raises(ConfigError, match=said):
        graph.compile()

    @node(writes="any")
    async def writes() -> Broken:
        return ""

    graph = Graph("loose", Loose)
    graph.node("work", writes)
    graph.edge(START, "work", END)
    with pytest.raises(ConfigError, match='node "work", output "any": no value can be checked by the type str: '):
        graph.compile()


# Inputs are the node's own.


@pytest.mark.parametrize("is_positional", [True, False])
async def test_mutating_inputs_never_reaches_the_state(is_positional: bool) -> None:
    def spoil(items: list[str], table: dict[str, list[str]]) -> str:
        items.append("spoilt")
        table["kept"].append("spoilt")
        table["new"] = []
        return "done"

    @node(writes="heard")
    async def positional(items: list[str], table: dict[str, list[str]]) -> str:
        return spoil(items, table)

    @node(writes="heard")
    async def named(*, items: list[str], table: dict[str, list[str]]) -> str:
        return spoil(items, table)

    state = await ran(positional if is_positional else named, items=["a"], table={"kept": ["b"]})
    assert (state.items, state.table, state.heard) == (["a"], {"kept": ["b"]}, "done")


async def test_mutating_inputs_in_a_thread_never_reaches_the_state() -> None:
    @node(writes="heard")
    def work(items: list[str]) -> str:
        items.clear()
        return "done"

    assert (await ran(work, items=["a"])).items == ["a"]


async def test_mutating_the_ports_model_never_reaches_the_state() -> None:
    class Mutable(BaseModel):
        items: list[str]
        table: dict[str, list[str]]

    class Spoil(Node[Mutable, WorkOut]):
        async def run(self, inputs: Mutable, ctx: Context) -> WorkOut:
            inputs.items.append("spoilt")
            inputs.table["kept"].append("spoilt")
            return WorkOut(heard="done")

    state = await ran(Spoil(), items=["a"], table={"kept": ["b"]})
    assert (state.items, state.table) == (["a"], {"kept": ["b"]})


async def test_mutating_what_the_caller_passed_in_never_reaches_the_state() -> None:
    items = ["a"]

    @node(writes="heard")
    async def work(first: str) -> str:
        items.append("spoilt")
        return first

    assert (await ran(work, items=items)).items == ["a"]


# Outputs.


def giving(field: str, value: object) -> AnyNode:
    """Return a node that declares no type and gives this."""

    @node(writes=field)
    async def work() -> Any:
        return value

    return work


async def test_an_output_is_read_as_its_field_reads_it() -> None:
    class Loose(State):
        size: int = 0

    work = giving("size", "12")

    graph = Graph("loose", Loose)
    graph.node("work", work)
    graph.edge(START, "work", END)
    assert (await graph.compile().run()).state.size == 12


async def test_a_value_of_the_wrong_type_is_told_with_node_port_field_and_value() -> None:
    work = giving("size", "a lot")

    assert await failure(work) == (
        'node "work", output "size": \'a lot\' is no int, which field "size" holds: '
        "Input should be a valid integer, unable to parse string as an integer"
    )


async def test_a_value_other_than_the_function_declares_is_told() -> None:
    @node(writes="size")
    async def work() -> Annotated[int, Field(le=3)]:
        return 4

    assert await failure(work) == (
        'node "work", output "size": 4 is no int, which field "size" holds: Input should be less than or equal to 3'
    )


async def test_where_inside_a_value_the_wrong_type_is_is_told() -> None:
    work = giving("table", {"good": ["a"], "bad": ["b", 3]})

    assert "bad.1: Input should be a valid string" in await failure(work)


async def test_a_long_value_is_told_in_short() -> None:
    work = giving("size", "x" * 10_000)

    assert len(await failure(work)) < 300


async def test_text_that_is_no_unicode_is_an_output_of_the_wrong_type() -> None:
    @node(writes="heard")
    async def work() -> str:
        return "\ud800"

    assert (await failure(work)).startswith('node "work", output "heard": ')


async def test_only_the_ports_that_were_set_are_written() -> None:
    @node
    async def work() -> WorkOut:
        return WorkOut(size=3)

    state = await ran(work, heard="before", size=1)
    assert (state.heard, state.size) == ("before", 3)


async def test_a_model_without_a_port_that_was_set_writes_nothing() -> None:
    @node
    async def work() -> WorkOut:
        return WorkOut()

    state = await ran(work, heard="before", size=1)
    assert (state.heard, state.size) == ("before", 1)


async def test_a_dict_is_read_as_the_declared_model() -> None:
    @node
    async def work() -> WorkOut:
        return {"heard": "from a dict"}  # type: ignore[return-value]  # a caller who checks no types

    assert (await ran(work, size=5)).heard == "from a dict"


async def test_another_thing_than_the_declared_model_is_told() -> None:
    @node
    async def work() -> WorkOut:
        return "text"  # type: ignore[return-value]  # as above

    assert (await failure(work)).startswith('node "work" returned str; expected WorkOut: ')


async def test_a_value_in_a_model_that_its_field_refuses_is_told() -> None:
    class Loose(BaseModel):
        size: Any

    @node
    async def work() -> Loose:
        return Loose(size=[])

    assert (await failure(work)).startswith(
        'node "work", output "size": [] is no int, which field "size" holds: Input should be a valid integer'
    )


class Place(BaseModel, frozen=True):
    name: str = ""
    size: int = 0


class Placed(State):
    place: Place = Place()


class PlacedOut(BaseModel):
    place: Place


async def test_of_a_record_among_outputs_all_fields_count_as_set() -> None:
    given = Place(name="here")

    @node
    async def work() -> PlacedOut:
        return PlacedOut(place=given)

    graph = Graph("placed", Placed)
    graph.node("work", work)
    graph.edge(START, "work", END)
    place = (await graph.compile().run()).state.place
    assert (place, place.model_fields_set) == (given, {"name", "size"})
    assert given.model_fields_set == {"name"}, "what the node returned is as it was"


class Limited(BaseModel):
    size: Annotated[int, Field(gt=5)] = 6
    heard: str = ""


async def test_a_limit_of_a_port_holds_for_an_instance_that_was_made_without_it() -> None:
    @node
    async def work(first: str) -> Limited:
        return Limited.model_construct(size=int(first), heard="well")

    assert (await ran(work, first="7")).size == 7
    assert 'output "size": 5 is no int, which field "size" holds: Input should be greater than 5' in (
        await failure(work, first="5")
    )


async def test_a_validator_of_a_port_is_not_asked_twice() -> None:
    class Counted(BaseModel):
        heard: Word = ""

    @node
    async def work() -> Counted:
        ASKED.clear()
        return Counted(heard="well")

    assert (await ran(work)).heard == "well"
    assert ASKED == ["well"]


async def test_of_many_values_the_wrong_one_is_told() -> None:
    @node
    async def mistyped() -> WorkOut:
        return WorkOut.model_construct(heard="x", size="a lot")

    @node
    async def unsaveable() -> WorkOut:
        return WorkOut(heard="\ud800", size=1)

    assert (await failure(mistyped)).startswith('node "work", output "size": \'a lot\' is no int')
    assert (await failure(unsaveable)).startswith('node "work", output "heard": ')


async def test_a_value_other_than_its_type_says_is_written_as_it_is_read() -> None:
    class Word(str):
        __slots__ = ()

    @node
    async def work() -> WorkOut:
        return WorkOut.model_construct(heard=Word("x"))

    state = await ran(work, size=5)
    assert (state.heard, type(state.heard), state.size) == ("x", str, 5)


async def test_a_float_that_json_lacks_is_written_beside_others() -> None:
    class Measured(State):
        rho: float = 0.0
        heard: str = ""

    class MeasuredOut(BaseModel):
        rho: float
        heard: str

    @node
    async def work() -> MeasuredOut:
        return MeasuredOut(rho=math.inf, heard="x")

    graph = Graph("measured", Measured)
    graph.node("work", work)
    graph.edge(START, "work", END)
    result = await graph.compile().run()
    assert (result.state.rho, result.state.heard) == (math.inf, "x")


async def test_ports_are_written_to_the_fields_they_are_mapped_to() -> None:
    @node
    async def work() -> WorkOut:
        return WorkOut(heard="x", size=2)

    state = await ran(work, renamed={"heard": "second", "size": "size"})
    assert (state.heard, state.second, state.size) == ("", "x", 2)


async def test_a_node_that_returns_something_it_does_not_declare_is_told() -> None:
    @node
    async def work() -> None:
        return "text"  # type: ignore[return-value]  # as above

    assert await failure(work) == 'node "work" returned \'text\', but has no output; say @node(writes="field")'


async def test_mutating_a_returned_model_later_changes_nothing() -> None:
    class Items(BaseModel):
        items: list[str]

    class Kept(State):
        items: Annotated[list[str], append] = []
        heard: str = ""

    given = Items(items=["a"])

    @node
    async def give() -> Items:
        return given

    @node(writes="heard")
    async def spoil(items: list[str]) -> str:
        given.items.append("spoilt")
        return "|".join(items)

    graph = Graph("kept", Kept)
    graph.node("give", give)
    graph.node("spoil", spoil)
    graph.edge(START, "give", "spoil", END)
    result = await graph.compile().run()
    assert (result.state.items, result.state.heard) == (["a"], "a")
