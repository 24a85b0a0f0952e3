from __future__ import annotations

import functools
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Annotated, Any, ClassVar, Generic, TypeVar, cast

import pytest
from pydantic import BaseModel, Field, ValidationError

from loom import END, START, ConfigError, Context, Graph, Node, NodeError, State, append, node
from loom.core.context import Effect
from loom.core.node import FunctionNode, Port, inputs_of, outputs_of

# The annotations of this module are strings: what nodes do with them is part of the test.

T = TypeVar("T", bound=BaseModel)


class Board(State):
    topic: str = ""
    drafts: Annotated[list[str], append] = []
    score: float = 0.0
    limit: int = 3


class Brief(BaseModel):
    topic: str
    limit: int = 7


class Draft(BaseModel):
    text: str
    score: float = 0.0
    drafts: list[str] = Field(default_factory=list)


def run(made: Any, reads: dict[str, str] | None = None, writes: dict[str, str] | None = None, **given: Any) -> Board:
    graph = Graph("one", Board)
    graph.node("one", made, reads=reads, writes=writes)
    graph.edge(START, "one", END)
    return graph.compile().run_sync(given).state


# Classes.


class Write(Node[Brief, Draft]):
    kind: ClassVar[str] = "generate"
    effect: ClassVar[Effect] = "model"
    style: str = "plain"

    async def run(self, inputs: Brief, ctx: Context) -> Draft:
        return Draft(text=f"{inputs.topic}, {self.style}, {inputs.limit}, by {ctx.node}")


def test_a_node_class_reads_and_writes_by_the_models_it_names() -> None:
    made = Write(style="short")
    assert inputs_of(made) == (Port("topic", str), Port("limit", int, has_default=True))
    assert [port.name for port in outputs_of(made)] == ["text", "score", "drafts"]
    assert [port.has_default for port in outputs_of(made)] == [False, True, True]


def test_ports_are_bound_by_name_or_by_map() -> None:
    state = run(Write(style="short"), writes={"text": "topic"}, topic="tea", limit=2)
    assert state.topic == "tea, short, 2, by one"


def test_only_the_ports_that_were_set_are_written() -> None:
    state = run(Write(), writes={"text": "topic"}, score=0.5, drafts=["a"])
    assert (state.score, state.drafts) == (0.5, ["a"])


class Spelled(BaseModel):
    topic: str = Field(alias="theTopic")


def test_ports_go_by_the_names_of_fields_whatever_their_aliases() -> None:
    class Shout(Node[Spelled, Spelled]):
        async def run(self, inputs: Spelled, ctx: Context) -> Spelled:
            return Spelled(theTopic=inputs.topic.upper())

    assert run(Shout(), topic="tea").topic == "TEA"


def test_a_setting_of_the_wrong_type_or_name_is_refused() -> None:
    with pytest.raises(ValidationError, match="style"):
        Write.model_validate({"style": 3})
    with pytest.raises(ValidationError, match="stile"):
        Write.model_validate({"stile": "short"})


def test_a_node_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(Write(), "style", "long")  # noqa: B010 - what a type checker would refuse


def test_the_ports_may_be_named_by_a_base_class() -> None:
    class Shorter(Write):
        async def run(self, inputs: Brief, ctx: Context) -> Draft:
            return Draft(text=inputs.topic[:1])

    assert run(Shorter(), writes={"text": "topic"}, topic="tea").topic == "t"


class Echo(Node[Brief, T], Generic[T]):
    async def run(self, inputs: Brief, ctx: Context) -> T:
        raise NotImplementedError


def test_a_base_class_may_leave_a_port_model_open() -> None:
    class Closed(Echo[Draft]):
        async def run(self, inputs: Brief, ctx: Context) -> Draft:
            return Draft(text="closed")

    assert run(Closed(), writes={"text": "topic"}).topic == "closed"


def class_named(name: str, bases: tuple[Any, ...], **body: object) -> Any:
    return type(name, bases, {"__module__": __name__, **body})()


def wrong_ports(given: Any) -> Any:
    return Node[Brief, given]


def plain_run(self: object, inputs: Brief, ctx: Context) -> Draft:
    return Draft(text="")


async def async_run(self: object, inputs: Brief, ctx: Context) -> Draft:
    return Draft(text="")


async def run_alone(self: object, inputs: Brief) -> Draft:
    return Draft(text=inputs.topic)


async def yielding_run(self: object, inputs: Brief, ctx: Context) -> AsyncIterator[Draft]:
    yield Draft(text="")


@pytest.mark.parametrize(
    ("bases", "body", "message"),
    [
        ((Node,), {"run": async_run}, 'node class "Bad" does not name its ports; derive it from Node[In, Out]'),
        ((Echo,), {"run": async_run}, 'node class "Bad" does not name its ports; derive it from Node[In, Out]'),
        ((wrong_ports(int),), {"run": async_run}, "derive it from Node[In, Out], two pydantic models; got Brief, int"),
        (
            (wrong_ports(None),),
            {"run": async_run},
            'graph "one", node "one": node class "Bad" does not name its ports; derive it from Node[In, Out]',
        ),
        ((Node[Brief, Draft],), {}, 'node class "Bad" has no run method; write async def run(self, inputs, ctx)'),
        ((Node[Brief, Draft],), {"run": plain_run}, 'the run method of node class "Bad" is not async'),
        ((Node[Brief, Draft],), {"run": yielding_run}, 'the run method of node class "Bad" is not async'),
        (
            (Node[Brief, Draft],),
            {"run": async_run, "effect": "delete"},
            'node class "Bad" has the effect "delete"; expected one of pure, read, model, write',
        ),
        (
            (Node[Brief, Draft],),
            {"run": run_alone},
            'the run method of node class "Bad" has too many positional arguments; write async def run(self, inputs, ',
        ),
    ],
    ids=["no ports", "open ports", "a type", "none", "no run", "plain run", "generator", "effect", "no context"],
)
def test_a_class_that_cannot_run_is_refused_where_it_is_placed(
    bases: tuple[Any, ...], body: dict[str, object], message: str
) -> None:
    graph = Graph("one", Board)
    with pytest.raises(ConfigError) as caught:
        graph.node("one", class_named("Bad", bases, **body))
    assert message in str(caught.value)


@pytest.mark.anyio
async def test_the_run_of_the_base_class_says_what_is_missing() -> None:
    made: Any = class_named("Bare", (Node[Brief, Draft],))
    with pytest.raises(NotImplementedError, match='node class "Bare" has no run method'):
        await made.run(Brief(topic=""), None)


@pytest.fixture
def late() -> Iterator[Callable[[str], Any]]:
    """Run the source of a module and return its model `In`."""
    module = ModuleType("late_ports")
    sys.modules["late_ports"] = module

    def define(source: str) -> object:
        exec(source, vars(module))
        return vars(module)["In"]

    yield define
    del sys.modules["late_ports"]


def test_a_type_defined_after_its_port_model_is_found(late: Callable[[str], Any]) -> None:
    model = late("""
from __future__ import annotations
from pydantic import BaseModel
class In(BaseModel):
    item: Item
class Item(BaseModel):
    name: str
""")
    (port,) = inputs_of(class_named("Late", (Node.__class_getitem__((model, Draft)),), run=async_run))
    assert (port.name, port.type.__name__) == ("item", "Item")


def test_a_type_of_a_port_that_exists_nowhere_is_told(late: Callable[[str], Any]) -> None:
    model = late("""
from __future__ import annotations
from pydantic import BaseModel
class In(BaseModel):
    item: Nowhere
""")
    made = class_named("Late", (Node.__class_getitem__((model, Draft)),), run=async_run)
    with pytest.raises(ConfigError, match='port model "In" names the type "Nowhere", which does not exist'):
        inputs_of(made)


# Functions.


@node(writes="drafts")
async def draft(topic: str, drafts: list[str]) -> list[str]:
    return [f"{topic} {len(drafts)}"]


def test_a_function_reads_its_parameters_and_writes_one_field() -> None:
    assert isinstance(draft, FunctionNode)
    assert draft.inputs == (Port("topic", str), Port("drafts", list[str]))
    assert draft.outputs == (Port("drafts", list[str]),)
    assert run(draft, topic="tea", drafts=["x"]).drafts == ["x", "tea 1"]


def test_a_node_function_is_still_the_function() -> None:
    @node(writes="score")
    def half(score: float) -> float:
        """Halve it."""
        return score / 2

    assert half(3.0) == 1.5
    assert half.__doc__ == "Halve it."
    assert half.name == "half"
    assert repr(half) == "<node half>"


def test_a_function_may_return_a_model_whose_fields_are_the_ports() -> None:
    @node
    def make(topic: str) -> Draft:
        return Draft(text=topic.upper(), drafts=["a"])

    state = run(make, writes={"text": "topic"}, topic="tea", score=0.5)
    assert (state.topic, state.drafts, state.score) == ("TEA", ["a"], 0.5)


def test_a_function_may_return_a_dict_where_it_declares_a_model() -> None:
    @node
    def make() -> Draft:
        return cast(Draft, {"text": "t"})

    assert run(make, writes={"text": "topic"}).topic == "t"


@pytest.mark.parametrize("given", [{"score": 1.0}, None, "text"])
def test_what_is_not_the_declared_model_fails_the_node(given: object) -> None:
    @node
    def make() -> Draft:
        return cast(Draft, given)

    with pytest.raises(NodeError, match=f'node "one" returned {type(given).__name__}; expected Draft: '):
        run(make, writes={"text": "topic"})


def test_a_function_that_returns_none_writes_nothing() -> None:
    seen: list[str] = []

    @node
    def look(topic: str) -> None:
        seen.append(topic)

    assert look.outputs == ()
    assert run(look, topic="tea") == Board(topic="tea")
    assert seen == ["tea"]


def test_a_function_without_parameters_reads_nothing() -> None:
    @node(writes="score")
    def one() -> float:
        return 1.0

    assert one.inputs == ()
    assert run(one).score == 1.0


def untyped(made: str) -> FunctionNode[..., object]:
    scope: dict[str, Any] = {"node": node}
    exec(made, scope)
    return cast("FunctionNode[..., object]", scope["fn"])


def test_what_has_no_annotation_may_be_anything() -> None:
    fn = untyped("@node(writes='topic')\ndef fn(topic, limit=2):\n    return topic * limit")
    assert fn.inputs == (Port("topic", Any), Port("limit", Any, has_default=True))
    assert run(fn, topic="a").topic == "aaa"


def test_a_function_that_declares_no_output_and_returns_one_fails() -> None:
    fn = untyped("@node\ndef fn():\n    return 3")
    with pytest.raises(NodeError, match=r'node "one" returned 3, but has no output; say @node\(writes="field"\)'):
        run(fn)


def test_keyword_only_parameters_are_ports() -> None:
    @node(writes="topic")
    async def join(topic: str, *, limit: int) -> str:
        return f"{topic}{limit}"

    assert [port.name for port in join.inputs] == ["topic", "limit"]
    assert run(join, topic="a", limit=1).topic == "a1"


def test_a_port_with_a_default_may_have_no_field() -> None:
    @node(writes="topic")
    def shout(topic: str, mark: str = "!") -> str:
        return topic + mark

    assert run(shout, topic="a").topic == "a!"
    assert run(shout, reads={"mark": "topic"}, topic="a").topic == "aa"


@pytest.mark.parametrize("is_last", [True, False])
def test_a_parameter_annotated_context_receives_the_context(is_last: bool) -> None:
    @node(writes="topic")
    async def first(ctx: Context, topic: str) -> str:
        return f"{ctx.node} {ctx.visit} {ctx.attempt} {topic}"

    @node(writes="topic")
    def last(topic: str, ctx: Annotated[Context | None, "where it runs"] = None) -> str:
        assert ctx is not None
        return f"{ctx.node} {ctx.visit} {ctx.attempt} {topic}"

    made = last if is_last else first
    assert [port.name for port in made.inputs] == ["topic"]
    assert run(made, topic="tea").topic == "one 1 1 tea"


def test_a_plain_function_runs_in_a_thread_unless_told_otherwise() -> None:
    @node(writes="limit")
    def threaded() -> int:
        return threading.get_ident()

    @node(writes="limit", thread=False)
    def inline() -> int:
        return threading.get_ident()

    @node(writes="limit", thread=True)
    async def awaited() -> int:
        return threading.get_ident()

    here = threading.get_ident()
    assert run(threaded).limit != here
    assert run(inline).limit == run(awaited).limit == here


class Scale:
    """A callable with a setting."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, score: float) -> float:
        return score * self.factor

    def method(self, score: float) -> float:
        return score * self.factor

    async def slow(self, score: float) -> float:
        return score * self.factor

    @staticmethod
    def double(score: float) -> float:
        return score * 2

    @classmethod
    def triple(cls, score: float) -> float:
        return score * 3


class SlowScale(Scale):
    async def __call__(self, score: float) -> float:  # type: ignore[override]
        return score * self.factor


def power(score: float, exponent: int) -> float:
    return score * score if exponent == 2 else score * score * score


async def slow_power(exponent: int, score: float) -> float:
    return power(score, exponent)


@pytest.mark.parametrize(
    ("fn", "result", "name"),
    [
        (Scale(3.0), 6.0, "__call__"),
        (SlowScale(3.0), 6.0, "__call__"),
        (Scale(3.0).method, 6.0, "method"),
        (Scale(3.0).slow, 6.0, "slow"),
        (Scale.double, 4.0, "double"),
        (vars(Scale)["double"], 4.0, "double"),
        (Scale.triple, 6.0, "triple"),
        (functools.partial(power, exponent=3), 8.0, "power"),
        (functools.partial(functools.partial(slow_power, 2)), 4.0, "slow_power"),
        (functools.lru_cache(Scale(1.0).method), 2.0, "method"),
    ],
)
def test_methods_partials_and_callable_objects_are_functions_too(
    fn: Callable[..., Any], result: float, name: str
) -> None:
    made = node(writes="score")(fn)
    assert made.inputs[0] == Port("score", float)
    assert made.outputs == (Port("score", float),)
    assert run(made, score=2.0).score == result


def test_a_node_made_of_a_node_is_as_async_as_the_function_inside() -> None:
    @node
    async def inside() -> None: ...

    again = node(writes="words")(inside)
    assert again.is_async
    assert not again.thread


def test_a_decorated_function_has_the_ports_of_the_function_inside() -> None:
    def logged(fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        def call(*args: object, **kwargs: object) -> object:
            return fn(*args, **kwargs)

        return call

    made = node(writes="score")(logged(power))
    assert made.inputs == (Port("score", float), Port("exponent", int))


# What is no node.


def variadic(*topics: str) -> None: ...
def open_ended(**topics: str) -> None: ...
def positional(topic: str, /) -> None: ...
def twice(first: Context, second: Context) -> None: ...
def generator(topic: str) -> Iterator[str]:
    yield topic


async def stream(topic: str) -> AsyncIterator[str]:
    yield topic


def bare_list(topic: str) -> list[str]:
    return [topic]


def either(topic: str) -> Draft | None:
    return None


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (variadic, 'node function "variadic" has the parameter "*topics: \'str\'"; ports are plain named parameters'),
        (open_ended, 'node function "open_ended" has the parameter "**topics: \'str\'"'),
        (positional, 'node function "positional" has the parameter "topic: \'str\'"'),
        (twice, 'node function "twice" has two parameters for the context, "first" and "second"; keep one'),
        (generator, 'node function "generator" is a generator; return the whole output instead of yielding'),
        (stream, 'node function "stream" is a generator'),
        (bare_list, 'node function "bare_list" returns list[str]; say which field that is, @node(writes="field")'),
        (either, "or return a pydantic model whose fields are the output ports"),
        (max, "has no readable signature"),
        (3, '@node takes a function, and its options by name, @node(writes="field"); got 3'),
        ("field", "@node takes a function, and its options by name, @node(writes=\"field\"); got 'field'"),
    ],
)
def test_a_function_that_does_not_tell_its_ports_is_refused(fn: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        node(fn)
    assert message in str(caught.value)


class Given:
    @classmethod
    def of_class(cls, topic: str) -> str:
        return topic

    of_part = functools.partialmethod(of_class, "topic")


@pytest.mark.parametrize("fn", [3, Given.__dict__["of_class"], Given.__dict__["of_part"]])
def test_what_cannot_be_called_is_no_node_function_whatever_its_options(fn: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        node(writes="score")(fn)
    assert str(caught.value).startswith('@node takes a function, and its options by name, @node(writes="field"); got ')


def test_a_static_method_is_a_node_function() -> None:
    class Holder:
        @node(writes="score")
        @staticmethod
        def doubled(score: float) -> float:
            return score * 2

    assert Holder.doubled(score=2) == 4
    assert Holder.doubled.inputs == (Port("score", float),)


@pytest.mark.parametrize("thread", ["no", None, 1])
def test_a_thread_is_wanted_or_not(thread: Any) -> None:
    with pytest.raises(ConfigError, match=r"@node\(thread=…\) must be a bool; got"):
        node(thread=thread)


@pytest.mark.parametrize("setting", ["writes", "kind"])
def test_a_setting_of_the_wrong_type_is_refused(setting: str) -> None:
    settings: dict[str, Any] = {setting: ["score"]}
    with pytest.raises(ConfigError, match=rf"@node\({setting}=…\) must be a text; got \['score'\]"):
        node(**settings)


def test_a_kind_is_a_text() -> None:
    with pytest.raises(ConfigError, match=r"@node\(kind=…\) must be a text; got None"):
        node(kind=cast(Any, None))


@pytest.mark.parametrize("annotation", ["Nowhere", "typing.Nowhere", "1 +"])
def test_an_annotation_that_cannot_be_resolved_is_told(annotation: str) -> None:
    def fn(topic: str) -> None: ...

    fn.__annotations__["topic"] = annotation
    with pytest.raises(ConfigError, match='node function "fn" has an annotation that cannot be resolved'):
        node(fn)


def test_an_unknown_effect_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"@node\(effect=…\) must be one of pure, read, model, write; got 'delete'"):
        node(effect=cast(Any, "delete"))


@pytest.mark.parametrize("given", [power, Write, None, "write"])
def test_only_nodes_can_be_placed(given: Any) -> None:
    with pytest.raises(ConfigError, match='graph "one", node "first": expected a Node'):
        Graph("one", Board).node("first", given)
