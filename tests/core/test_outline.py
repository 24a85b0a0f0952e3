"""Tests of outlines of declared graphs."""

from loom import END, START, Graph, State, node


class Count(State):
    i: int = 0


@node(writes="i")
async def step(i: int) -> int:
    return i + 1


@node(effect="write", kind="act")
async def ship(i: int) -> None: ...


def test_an_outline_holds_nodes_edges_conditions_and_inner_graphs() -> None:
    inner = Graph("inner", Count)
    inner.node("step", step)
    inner.edge(START, "step", END)
    graph = Graph("outer", Count)
    graph.node("inner", inner.compile().as_node(reads={"i": "i"}, writes={"i": "i"}))
    graph.node("left", step)
    graph.node("ship", ship, ungated="a test")
    graph.edge(START, "inner")
    graph.switch("inner", {"i > 1": "left"}, otherwise=END)
    graph.edge("left", "ship", END)
    outline = graph.compile().outline()
    by_name = {one.name: one for one in outline.nodes}
    assert by_name["inner"].inner is not None
    assert [one.name for one in by_name["inner"].inner.nodes] == ["step"]
    assert (by_name["ship"].effect, by_name["ship"].ungated) == ("write", "a test")
    labels = {(edge.source, edge.target): (edge.label, edge.style) for edge in outline.edges}
    assert labels["inner", "left"] == ("i > 1", "switch")
    assert labels["inner", END] == ("otherwise", "otherwise")
