"""Tests of going on under a graph that has changed."""

from collections.abc import Sequence

import pytest

from loom import END, START, Graph, GraphChangedError, Limits, MemoryCheckpointer, Runtime, State, node
from loom.core.node import FunctionNode
from loom.runs.app import CompiledGraph

pytestmark = pytest.mark.anyio


class Count(State):
    i: int = 0


@node(writes="i")
async def one(i: int) -> int:
    return i + 1


@node(writes="i")
async def two(i: int) -> int:
    return i + 2


def chain(names: Sequence[str], fn: FunctionNode[[int], object] = one) -> CompiledGraph[Count]:  # type: ignore[assignment]
    graph = Graph("g", Count)
    for name in names:
        graph.node(name, fn)
    graph.edge(START, *names, END)
    return graph.compile()


async def begun() -> Runtime:
    """Begin a run of two nodes and stop it after the first."""
    store = MemoryCheckpointer()
    runtime = Runtime(checkpointer=store, limits=Limits(max_steps=1))
    assert (await chain(["x", "y"]).run(run_id="r", runtime=runtime)).status == "stopped"
    return Runtime(checkpointer=store)


async def test_a_changed_body_is_told_and_can_be_gone_on_with() -> None:
    runtime, changed = await begun(), chain(["x", "y"], two)  # type: ignore[arg-type]
    with pytest.raises(GraphChangedError) as caught:
        await changed.resume("r", runtime=runtime)
    assert [(change.node, change.what) for change in caught.value.changes] == [("x", "body"), ("y", "body")]
    assert (await changed.resume("r", on_change="continue", runtime=runtime)).state.i == 3


async def test_a_rename_is_enough_for_a_node_that_was_only_renamed() -> None:
    runtime, changed = await begun(), chain(["x", "z"])
    with pytest.raises(GraphChangedError) as caught:
        await changed.resume("r", runtime=runtime)
    assert ("y -> z", "renamed") in [(change.node, change.what) for change in caught.value.changes]
    assert (await changed.resume("r", rename={"y": "z"}, runtime=runtime)).state.i == 2


async def test_a_node_that_is_due_must_exist() -> None:
    runtime = await begun()
    with pytest.raises(GraphChangedError, match='"y"'):
        await chain(["x", "w"]).resume("r", on_change="continue", runtime=runtime)


async def test_a_run_of_another_graph_is_refused() -> None:
    runtime = await begun()
    graph = Graph("other", Count)
    graph.node("x", one)
    graph.edge(START, "x", END)
    with pytest.raises(GraphChangedError, match='belongs to graph "g", not to "other"'):
        await graph.compile().resume("r", runtime=runtime)
