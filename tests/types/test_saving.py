from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json, to_json

from loom import (
    END,
    START,
    AnswerError,
    ConfigError,
    Context,
    Graph,
    GraphResult,
    Limits,
    LoomError,
    MemoryCheckpointer,
    NodeError,
    Reducer,
    Runtime,
    State,
    add,
    node,
)
from loom.core.values import values_of
from loom.runs.app import CompiledGraph
from loom.types.events import Event
from loom.types.saving import refuse_unreadable

pytestmark = pytest.mark.anyio

# Any, in this module: values of any type, which is what is tested.

TOO_LONG = 10**4300


def deep(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth - 1):
        made = [made]
    return made


TOO_DEEP = deep(199)  # by itself it can be read back, inside a record it cannot
UNREADABLE = pytest.mark.parametrize("value", [TOO_LONG, TOO_DEEP], ids=["too long", "too deep"])


class Tree(BaseModel):
    model_config = ConfigDict(frozen=True)

    kids: "tuple[Tree, ...]" = ()


def tree(depth: int) -> Tree:
    made = Tree()
    for _ in range(depth):
        made = Tree(kids=(made,))
    return made


class Held(State):
    value: Any = None
    number: int = 2
    numbers: list[int] = []
    total: Annotated[int, add] = 0
    product: Annotated[int, Reducer(lambda old, write: old * write)] = 1
    tree: Tree = Tree()


Body = Callable[[Context], Awaitable[Any]]


def stopping_after(body: Body, writes: str = "value") -> CompiledGraph[Held]:
    """Return a graph of one node of which a run stops once its step is saved."""

    @node(writes=writes)
    async def work(ctx: Context) -> Any:
        return await body(ctx)

    @node
    async def rest() -> None: ...

    graph = Graph("held", Held)
    graph.node("work", work)
    graph.node("rest", rest)
    graph.edge(START, "work", "rest", END)
    return graph.compile(pause_before=["rest"])


async def refusal(body: Body, writes: str = "value") -> str:
    """Run a node whose step must be refused; return why. What is saved of the run can be read."""
    runtime = Runtime(checkpointer=MemoryCheckpointer())
    app = stopping_after(body, writes)
    with pytest.raises(NodeError) as caught:
        await app.run(run_id="r", runtime=runtime)
    assert isinstance(caught.value.__cause__, LoomError)
    assert [point.seq for point in await app.history("r", runtime=runtime)] == [0], "nothing was committed"
    return str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value", TOO_LONG),
        ("value", {"a": [TOO_LONG]}),
        ("value", TOO_DEEP),
        ("number", TOO_LONG),
        ("number", -TOO_LONG),
        ("numbers", [1, TOO_LONG]),
        ("total", TOO_LONG),
        ("product", TOO_LONG),
        ("tree", 99),
    ],
    ids=["any", "any around", "deep", "int", "negative", "in a list", "added", "reduced", "tree"],
)
async def test_a_step_whose_record_could_not_be_read_back_is_refused(field: str, value: Any) -> None:
    async def body(_ctx: Context) -> Any:
        return tree(value) if field == "tree" else value

    said = await refusal(body, field)
    assert f'node "work", output "{field}": ' in said
    assert "its JSON could not be read back" in said


async def test_of_several_outputs_the_one_that_could_not_be_read_back_is_named() -> None:
    class Both(BaseModel):
        numbers: list[int]
        number: int = 1

    @node
    async def work() -> Both:
        return Both(numbers=[TOO_LONG], number=2)

    graph = Graph("held", Held)
    graph.node("work", work)
    graph.edge(START, "work", END)
    with pytest.raises(NodeError, match=r'node "work", output "numbers": .* could not be read back'):
        await graph.compile().run()


@UNREADABLE
async def test_an_input_that_could_not_be_read_back_is_refused(value: Any) -> None:
    async def body(_ctx: Context) -> None: ...

    store = MemoryCheckpointer()
    app = stopping_after(body)
    with pytest.raises(ConfigError, match=r'graph "held", field "value": .* could not be read back'):
        await app.run({"value": value}, run_id="r", runtime=Runtime(checkpointer=store))
    assert await store.runs() == []


@UNREADABLE
async def test_a_fork_refuses_to_set_what_could_not_be_read_back(value: Any) -> None:
    async def body(_ctx: Context) -> None: ...

    runtime = Runtime(checkpointer=MemoryCheckpointer())
    app = stopping_after(body)
    await app.run(run_id="r", runtime=runtime)
    with pytest.raises(ConfigError, match=r'field "value": .* could not be read back'):
        await app.fork("r", set={"value": value}, runtime=runtime)


@UNREADABLE
async def test_an_event_that_could_not_be_read_back_is_refused(value: Any) -> None:
    async def body(ctx: Context) -> None:
        ctx.emit(Event(type="artifact.created", payload={"a": value}))

    said = await refusal(body)
    assert 'node "work"' in said
    assert 'the event "artifact.created" has a payload that cannot be saved: its JSON could not be read back' in said


async def test_an_event_that_is_no_json_is_refused() -> None:
    async def body(ctx: Context) -> None:
        ctx.emit(Event(type="artifact.created", payload={"a": "\ud800"}))

    assert 'the event "artifact.created" has a payload that cannot be saved: ' in await refusal(body)


@UNREADABLE
async def test_a_result_of_once_that_could_not_be_read_back_is_refused(value: Any) -> None:
    def effect() -> Any:
        return value

    async def body(ctx: Context) -> Any:
        return await ctx.once("k", effect)

    assert 'once("k") gave ' in (said := await refusal(body))
    assert "its JSON could not be read back" in said


@UNREADABLE
async def test_a_payload_of_an_ask_that_could_not_be_read_back_is_refused(value: Any) -> None:
    async def body(ctx: Context) -> Any:
        return await ctx.ask("Well?", payload={"a": value})

    assert 'the payload of ask "Well?" of node "work" is no JSON: its JSON could not' in await refusal(body)


@UNREADABLE
async def test_an_answer_that_could_not_be_read_back_is_refused(value: Any) -> None:
    async def body(ctx: Context) -> Any:
        return await ctx.ask("Well?", answer_type=Any)

    runtime = Runtime(checkpointer=MemoryCheckpointer())
    app = stopping_after(body)
    paused = await app.run(run_id="r", runtime=runtime)
    with pytest.raises(AnswerError, match=r"cannot be saved as JSON: its JSON could not be read back"):
        await app.resume("r", answers={paused.asks[0].id: value}, runtime=runtime)
    assert (await app.resume("r", answers={paused.asks[0].id: "yes"}, runtime=runtime)).state.value == "yes"


def looping(field: str, write: int) -> CompiledGraph[Held]:
    """Return a graph that writes a field until its step is refused."""

    @node(writes=field)
    async def work() -> int:
        return write

    graph = Graph("held", Held)
    graph.node("work", work)
    graph.edge(START, "work")
    graph.switch("work", {"number < 0": END}, otherwise="work")
    return graph.compile()


@pytest.mark.parametrize(("field", "write"), [("product", 10**100), ("total", 9 * 10**4299)])
async def test_what_a_reducer_makes_is_refused_once_it_could_not_be_read_back(field: str, write: int) -> None:
    runtime = Runtime(checkpointer=MemoryCheckpointer(), limits=Limits(max_steps=100))
    app = looping(field, write)
    with pytest.raises(NodeError, match=rf'node "work", .* of field "{field}" failed, or .* could not be read back'):
        await app.run(run_id="r", runtime=runtime)
    state = await app.state("r", runtime=runtime)
    assert getattr(state, field) % write == 0, "what was saved before can be read, its snapshot too"


async def resumed(app: CompiledGraph[Held], inputs: dict[str, Any]) -> GraphResult[Held]:
    runtime = Runtime(checkpointer=MemoryCheckpointer())
    first = await app.run(inputs, run_id="r", runtime=runtime)
    assert first.status == "paused"
    last = await app.resume("r", runtime=runtime)
    assert last.state == first.state
    return last


@pytest.mark.parametrize(
    "value",
    [10**4299, -(10**4298), deep(190), {"a": deep(189)}, "9" * 10_000, ["[" * 400], [[one] for one in range(400)]],
    ids=["long", "negative", "deep", "deep in a dict", "digits of a text", "brackets of a text", "wide"],
)
async def test_what_can_be_read_back_is_saved(value: Any) -> None:
    async def body(ctx: Context) -> Any:
        ctx.emit(Event(type="artifact.created", payload={"a": deep(188)}))
        return await ctx.once("k", lambda: value)

    assert (await resumed(stopping_after(body), {"value": value})).state.value == value


async def test_what_is_nested_by_its_type_is_saved() -> None:
    async def body(_ctx: Context) -> Tree:
        return tree(94)

    assert (await resumed(stopping_after(body, "tree"), {})).state.tree == tree(94)


@pytest.mark.parametrize("depth", range(185, 203))
def test_json_that_passes_can_be_read_inside_of_a_record(depth: int) -> None:
    saved = to_json(deep(depth))
    try:
        refuse_unreadable(saved)
    except ValueError:
        assert depth > 190
    else:
        record = b'{"kind":"step","events":[{"payload":{"a":%b}}],"writes":{"a":%b}}' % (saved, saved)
        assert from_json(record)["writes"] == {"a": deep(depth)}


@pytest.mark.parametrize(
    ("annotation", "is_looked_at"),
    [
        (str, False), (list[str], False), (int, True), (list[int], True), (Any, True), (dict[str, Any], True),
        (list, True), (Tree, True), (float | None, False), (Annotated[list[str], "doc"], False),
    ],
)  # fmt: skip
def test_only_values_that_may_be_unreadable_are_looked_at(annotation: Any, is_looked_at: bool) -> None:
    assert (values_of(annotation).refuse_unreadable is not None) == is_looked_at
