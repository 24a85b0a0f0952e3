"""Tests of inner graphs and of plans."""

import pytest

from loom import END, START, ConfigError, Graph, Limits, MemoryCheckpointer, Runtime, State, node

pytestmark = pytest.mark.anyio


class Count(State):
    i: int = 0


class Outer(State):
    n: int = 0


@node(writes="i")
async def step(i: int) -> int:
    return i + 1


@node(writes="n")
async def double(n: int) -> int:
    return 2 * n


def nested() -> Graph[Outer]:
    inner = Graph("inner", Count)
    inner.node("a", step)
    inner.node("b", step)
    inner.edge(START, "a", "b", END)
    outer = Graph("outer", Outer)
    outer.node("inner", inner.compile().as_node(reads={"i": "n"}, writes={"i": "n"}))
    outer.node("double", double)
    outer.edge(START, "inner", "double", END)
    return outer


async def test_the_steps_of_an_inner_graph_are_journaled_under_its_node() -> None:
    app = nested().compile()
    result = await app.run({"n": 1}, run_id="r")
    assert (result.state.n, result.steps) == (6, 4)
    points = await app.history("r")
    assert [point.node for point in points] == ["START", "inner/a", "inner/b", "inner", "double"]


@pytest.mark.parametrize("limit", range(5))
async def test_a_run_stopped_inside_goes_on_inside(limit: int) -> None:
    app, store = nested().compile(), MemoryCheckpointer()
    runtime = Runtime(checkpointer=store, limits=Limits(max_steps=limit))
    await app.run({"n": 1}, run_id="r", runtime=runtime)
    result = await app.resume("r", runtime=Runtime(checkpointer=store))
    assert (result.status, result.state.n, result.steps) == ("completed", 6, 4)


def test_a_field_that_an_inner_graph_needs_must_be_mapped() -> None:
    class Needs(State):
        x: int

    @node
    async def look(x: int) -> None: ...

    graph = Graph("needs", Needs)
    graph.node("look", look)
    graph.edge(START, "look", END)
    with pytest.raises(ConfigError, match='leaves out "x", which it must be given'):
        graph.compile().as_node(reads={}, writes={})
