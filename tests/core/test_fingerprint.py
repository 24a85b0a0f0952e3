"""Tests of fingerprints: what changes them and what does not."""

from loom import END, START, Graph, State, node
from loom.core.node import FunctionNode


class Count(State):
    i: int = 0


def app(fn: FunctionNode[..., object], condition: str = "i > 1") -> str:
    graph = Graph("g", Count)
    graph.node("a", fn)
    graph.edge(START, "a")
    graph.switch("a", {condition: END}, otherwise="a")
    return graph.compile().fingerprint


def described() -> FunctionNode[..., object]:
    @node(writes="i")
    async def plain(i: int) -> int:
        """Add one."""
        # as above, written otherwise
        return i + 1

    return plain  # type: ignore[return-value]


def laid_out() -> FunctionNode[..., object]:
    @node(writes="i")
    async def plain(i: int) -> int:
        return i + 1

    return plain  # type: ignore[return-value]


def closed(by: int) -> FunctionNode[..., object]:
    @node(writes="i")
    async def step(i: int) -> int:
        return i + by

    return step  # type: ignore[return-value]


def test_comments_docstrings_and_layout_do_not_count() -> None:
    assert app(laid_out()) == app(described())


def test_bodies_closures_and_conditions_count() -> None:
    prints = {app(laid_out()), app(closed(1)), app(closed(2)), app(closed(2), "i > 2")}
    assert len(prints) == 4
    assert app(closed(1)) == app(closed(1))
