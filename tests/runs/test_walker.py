import asyncio
from functools import partial
from random import Random
from typing import Annotated, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from loom import (
    END,
    START,
    Context,
    Graph,
    Limits,
    MemoryCheckpointer,
    ModelRef,
    Node,
    NodeError,
    NoEdgeError,
    Runtime,
    State,
    add,
    append,
    node,
)
from loom.runs.app import CompiledGraph
from loom.testing import ScriptedModel
from loom.types.events import Event
from loom.types.messages import Message
from tests.core.letters import after_crash, chain, fan, graph_of
from tests.core.reference import interpreted
from tests.core.sketches import Listener, Seen, Sketch, Trail, sketches, worker

pytestmark = pytest.mark.anyio


# Schedules.


def listened(sketch: Sketch, listener: Listener) -> CompiledGraph[Trail]:
    return sketch.graph(lambda name, marks: worker(name, marks, listener)).compile()


async def lived(sketch: Sketch, chance: Random, runtime: Runtime | None = None) -> tuple[list[Seen], dict[str, Any]]:
    """Run a sketch for real, every node waiting at random; return what each step saw, and the final state."""
    listener = Listener(chance)
    result = await listened(sketch, listener).run(run_id="r", runtime=runtime)
    assert result.steps == len(listener.heard)
    return sorted(listener.heard), result.state.model_dump()


@settings(max_examples=100, derandomize=True)
@given(sketches(), st.randoms(use_true_random=False))
def test_every_schedule_gives_what_the_reference_gives(sketch: Sketch, chance: Random) -> None:
    expected = interpreted(sketch, chance.randrange)
    for _ in range(2):
        assert asyncio.run(lived(sketch, chance)) == expected


async def resumed_anywhere(sketch: Sketch, chance: Random) -> None:
    """Run a sketch, cut its journal at random, go on: nothing runs twice, nothing is lost."""
    store = MemoryCheckpointer()
    seen, final = await lived(sketch, chance, Runtime(checkpointer=store))
    left = await after_crash(store, "r", 1 + chance.randrange(len((await store.read("r")).records)))
    listener = Listener(chance)
    app = listened(sketch, listener)
    kept = [point.node for point in await app.history("r", runtime=Runtime(checkpointer=left))][1:]
    result = await app.resume("r", runtime=Runtime(checkpointer=left))
    assert result.state.model_dump() == final
    assert sorted(kept + [name for name, _, _ in listener.heard]) == sorted(name for name, _, _ in seen)
    assert set(listener.heard) <= set(seen)


@settings(max_examples=60, derandomize=True)
@given(sketches(), st.randoms(use_true_random=False))
def test_a_crash_anywhere_and_a_resume_give_what_an_uninterrupted_run_gives(sketch: Sketch, chance: Random) -> None:
    asyncio.run(resumed_anywhere(sketch, chance))


async def test_a_record_is_committed_before_its_successor_starts() -> None:
    store = MemoryCheckpointer()
    saved: list[int] = []

    async def look(ctx: Context) -> None:
        saved.append(len((await store.read(ctx.run_id)).records))

    await chain("abc", a=look, b=look, c=look).run(runtime=Runtime(checkpointer=store))
    assert saved == [1, 2, 3]


async def test_a_fast_branch_does_not_wait_for_a_slow_sibling() -> None:
    gate = anyio.Event()

    async def wait(ctx: Context) -> None:
        with anyio.fail_after(5):
            await gate.wait()

    async def open_gate(ctx: Context) -> None:
        gate.set()

    graph = graph_of((START, ["a", "b"]), ("a", "c", "d"), (["b", "d"], "j", END), bodies={"b": wait, "d": open_gate})
    assert (await graph.compile().run()).state.log == ["a", "c", "d", "b", "j"]


# Values.


class Item(BaseModel):
    tags: list[str] = []


class Nested(State):
    items: list[Item] = []
    table: dict[str, list[int]] = {}
    seen: Annotated[list[str], append] = []


@node(writes="seen")
async def spoil(items: list[Item], table: dict[str, list[int]]) -> list[str]:
    items[0].tags.append("spoiled")
    items.append(Item())
    table["x"].append(0)
    table["y"] = []
    return ["spoiled"]


@node(writes="seen")
async def look(items: list[Item], table: dict[str, list[int]]) -> list[str]:
    return [f"{items} {table}"]


@pytest.mark.parametrize("fans_out", [False, True])
async def test_mutating_an_input_changes_nothing_anyone_else_sees(fans_out: bool) -> None:
    graph = Graph("g", Nested)
    for name, given_node in [("spoil", spoil), ("look", look), ("end", look)]:
        graph.node(name, given_node)
    if fans_out:
        graph.edge(START, ["spoil", "look"], "end", END)
    else:
        graph.edge(START, "spoil", "look", "end", END)
    given = {"items": [Item(tags=["a"])], "table": {"x": [1]}}
    result = await graph.compile().run(given)
    assert result.state.items == [Item(tags=["a"])]
    assert result.state.table == {"x": [1]}
    assert set(result.state.seen) == {"spoiled", "[Item(tags=['a'])] {'x': [1]}"}
    assert given == {"items": [Item(tags=["a"])], "table": {"x": [1]}}


async def test_mutating_what_a_node_returned_changes_nothing() -> None:
    kept: list[str] = ["a"]

    @node(writes="log")
    async def give() -> list[str]:
        return kept

    async def spoil_it(ctx: Context) -> None:
        kept.append("spoiled")

    app = graph_of((START, "a", "b", "c", END), nodes={"a": give}, bodies={"b": spoil_it}).compile()
    assert (await app.run()).state.log == ["a", "b", "c"]


async def test_an_output_of_the_wrong_type_fails_the_node_and_leaves_no_write() -> None:
    @node(writes="log")
    async def wrong() -> list[str]:
        return 7  # type: ignore[return-value]  # which is the point

    app = graph_of((START, "a", "b", END), nodes={"b": wrong}).compile()
    with pytest.raises(NodeError, match='node "b", step 2, attempt 1: OutputError: node "b", output "log": 7 is no'):
        await app.run(run_id="r")
    assert (await app.state("r")).log == ["a"]


class Ports(BaseModel):
    log: list[str]


class Shout(Node[Ports, Ports]):
    """Append its word."""

    word: str

    async def run(self, inputs: Ports, ctx: Context) -> Ports:
        return Ports(log=[f"{self.word} {ctx.visit}"])


async def test_a_node_of_a_class_runs_with_its_settings_and_knows_its_visit() -> None:
    graph = graph_of((START, "a"), nodes={"a": Shout(word="hey")})
    graph.switch("a", {"len(log) >= 3": END}, otherwise="a")
    assert (await graph.compile().run()).state.log == ["hey 1", "hey 2", "hey 3"]


# Asks.


async def ask_two(ctx: Context) -> None:
    async with anyio.create_task_group() as group:
        for key in ("one", "two"):
            group.start_soon(partial(ctx.ask, "Well?", key=key))


async def test_asks_of_a_nodes_own_tasks_pause_the_run_together() -> None:
    app = chain("ab", a=ask_two)
    paused = await app.run(run_id="r")
    assert (paused.status, sorted(ask.key for ask in paused.asks)) == ("paused", ["one", "two"])
    result = await app.resume("r", answers={ask.id: "yes" for ask in paused.asks})
    assert (result.status, result.state.log) == ("completed", ["a", "b"])


async def test_a_failure_beside_an_ask_of_one_node_is_a_failure() -> None:
    async def ask_and_fail(ctx: Context) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(ctx.ask, "Well?")
            raise ValueError("no")

    with pytest.raises(NodeError) as caught:
        await chain("a", a=ask_and_fail).run()
    assert isinstance(caught.value.__cause__, ExceptionGroup | ValueError)


async def test_a_branch_that_waits_for_an_answer_holds_up_no_other() -> None:
    async def ask(ctx: Context) -> None:
        await ctx.ask("Well?")

    app = fan("abc", a=ask)
    paused = await app.run(run_id="r")
    assert [point.node for point in await app.history("r")] == ["START", "b"]
    (opened,) = paused.asks
    assert (await app.resume("r", answers={opened.id: "yes"})).state.log == ["a", "b", "c"]


async def test_what_a_node_used_before_it_asked_is_counted() -> None:
    class Said(State):
        a: str = ""

    @node(writes="a", effect="model")
    async def consult(ctx: Context) -> str:
        await ctx.model(ModelRef("local", "x")).complete([Message(role="user", content="hello there")])
        return str(await ctx.ask("Well?"))

    graph = Graph("g", Said)
    graph.node("consult", consult)
    graph.edge(START, "consult", END)
    app = graph.compile()
    runtime = Runtime(models=ScriptedModel(["one two three", "four"]), checkpointer=MemoryCheckpointer())
    paused = await app.run(run_id="r", runtime=runtime)
    assert paused.usage.total_tokens > 0
    result = await app.resume("r", answers={paused.asks[0].id: "yes"}, runtime=runtime)
    assert result.usage.total_tokens > paused.usage.total_tokens


async def test_a_way_that_is_chosen_late_saves_what_other_branches_have_said() -> None:
    knows_the_way = [False]

    class Two(State):
        a: str = ""
        b: str = ""

    @node(writes="b")
    async def pick() -> str:
        return "b"

    @node(writes="a")
    async def loud(ctx: Context) -> str:
        if knows_the_way[0]:
            ctx.emit(Event(type="mine.said", payload={}))
        await anyio.sleep(0.02)
        return "a"

    @node
    async def meet() -> None:
        """Join."""

    def is_known(b: str) -> bool:
        return knows_the_way[0]

    inner = Graph("inner", Two)
    inner.node("pick", pick)
    inner.edge(START, "pick")
    inner.switch("pick", {is_known: END})
    graph = Graph("outer", Two)
    graph.node("inner", inner.compile().as_node(reads={}, writes={"b": "b"}))
    graph.node("loud", loud)
    graph.node("meet", meet)
    graph.edge(START, ["loud", "inner"], "meet", END)
    app, runtime = graph.compile(), Runtime(checkpointer=MemoryCheckpointer())
    with pytest.raises(NoEdgeError):
        await app.run(run_id="r", runtime=runtime)
    knows_the_way[0] = True
    run = app.start_resume("r", runtime=runtime)
    live = [event async for event in run.events()]
    assert (await run.wait()).status == "completed"
    assert live == [event async for event in app.events("r", runtime=runtime)]
    assert "mine.said" in [event.type for event in live]


async def test_the_items_of_an_each_are_visits_in_their_order_whenever_they_begin() -> None:
    class Items(State):
        items: list[int] = [0, 1, 2, 3]
        seen: Annotated[list[int], append] = []

    @node(writes="seen")
    async def look(item: int, ctx: Context) -> list[int]:
        if item == 0:
            await ctx.ask("Well?", answer_type=bool)
        return [ctx.visit]

    graph = Graph("each", Items)
    graph.node("look", look)
    graph.each(START, "look", over="items", bind="item", max_concurrency=2)
    graph.edge("look", END)
    app, runtime = graph.compile(), Runtime(checkpointer=MemoryCheckpointer())
    (ask,) = (await app.run(run_id="r", runtime=runtime)).asks
    assert (await app.resume("r", answers={ask.id: True}, runtime=runtime)).state.seen == [1, 2, 3, 4]


@pytest.mark.parametrize("shape", ["fan-out", "each"])
async def test_a_limit_of_steps_lets_graphs_inside_do_as_many_as_there_are(shape: str) -> None:
    class Counted(State):
        items: list[int] = [0, 1, 2]
        item: int = 0
        n: Annotated[int, add] = 0

    @node(writes="n")
    async def count() -> int:
        return 1

    inside = Graph("inside", Counted)
    inside.node("count", count)
    inside.edge(START, "count", END)
    graph = Graph("outside", Counted)
    graph.node("x", inside.compile().as_node(reads={"item": "item"}, writes={"n": "n"}))
    if shape == "each":
        graph.node("y", count)
        graph.each(START, "x", over="items", bind="item")
        graph.edge("x", "y", END)
    else:
        graph.node("y", inside.compile().as_node(reads={}, writes={"n": "n"}))
        graph.edge(START, ["x", "y"], END)
    app, store = graph.compile(), MemoryCheckpointer()
    whole = await app.run()
    result = await app.run(run_id="r", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=1)))
    for limit in range(2, whole.steps + 1):
        assert (result.status, result.steps) == ("stopped", limit - 1)
        result = await app.resume("r", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=limit)))
    assert (result.status, result.state) == ("completed", whole.state)
