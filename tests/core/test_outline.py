from collections.abc import Callable
from typing import Annotated

from loom import END, START, Graph, State, append, node
from loom.types.outline import OutlineEdge, OutlineNode


class Board(State):
    text: str = ""
    items: Annotated[list[str], append] = []


@node
def idle(text: str) -> None: ...


@node(kind="veto")
def veto() -> None: ...


@node(kind="act", effect="write")
def act() -> None: ...


@node(writes="items")
def work(item: str) -> list[str]:
    return [item]


def is_long(text: str) -> bool:
    return len(text) > 3


def test_nodes_are_told_in_the_order_they_were_declared_with_what_drawing_needs() -> None:
    graph = Graph("board", Board)
    graph.node("veto", veto)
    graph.node("act", act, ungated="confined to the workspace")
    graph.node("idle", idle, join=True)
    graph.edge(START, "veto", "act", "idle", END)
    outline = graph.compile().outline()
    assert outline.name == "board"
    assert outline.nodes == (
        OutlineNode("veto", "veto", "pure", is_gate=True),
        OutlineNode("act", "act", "write", ungated="confined to the workspace"),
        OutlineNode("idle", "node", "pure", is_join=True),
    )


def test_edges_are_told_in_written_order_with_label_and_style() -> None:
    graph = Graph("board", Board)
    for name in "abcd":
        graph.node(name, idle, join=name == "d")
    graph.edge(START, "a", ["b", "c"])
    graph.edge("b", "d")
    graph.switch("c", {"text == 'x'": "d", is_long: "d"}, otherwise=END)
    graph.switch("d", {"len(text) > 9": ["a"]}, otherwise=END)
    assert graph.compile().outline().edges == (
        OutlineEdge(START, "a"),
        OutlineEdge("a", "b", style="fan_out"),
        OutlineEdge("a", "c", style="fan_out"),
        OutlineEdge("b", "d"),
        OutlineEdge("c", "d", "text == 'x'", "switch"),
        OutlineEdge("c", "d", "is_long", "switch"),
        OutlineEdge("c", END, "otherwise", "otherwise"),
        OutlineEdge("d", "a", "len(text) > 9", "switch"),
        OutlineEdge("d", END, "otherwise", "otherwise"),
    )


def test_an_each_says_what_it_runs_over() -> None:
    graph = Graph("board", Board)
    graph.node("a", idle)
    graph.node("work", work)
    graph.edge(START, "a")
    graph.each("a", "work", over="items", bind="item")
    graph.edge("work", END)
    assert OutlineEdge("a", "work", "each item in items", "each") in graph.compile().outline().edges


def test_a_graph_inside_a_node_has_an_outline_of_its_own() -> None:
    inner = Graph("inner", Board)
    inner.node("act", act, ungated="a test")
    inner.edge(START, "act", END)
    made = inner.compile()
    outer = Graph("outer", Board)
    outer.node("inside", made.as_node(reads={}, writes={}))
    outer.node("idle", idle)
    outer.edge(START, "inside", "idle", END)
    inside, idling = outer.compile().outline().nodes
    assert (inside.inner, inside.kind, inside.effect) == (made.outline(), "graph", "write")
    assert idling.inner is None


def test_equal_graphs_have_equal_outlines() -> None:
    def drawn() -> Graph[Board]:
        graph = Graph("board", Board)
        graph.node("a", idle)
        graph.edge(START, "a")
        graph.switch("a", {"text == 'x'": END}, otherwise=END)
        return graph

    assert drawn().compile().outline() == drawn().compile().outline()


def test_a_lambda_is_told_by_the_fields_it_reads() -> None:
    ways: dict[Callable[[str], bool], str] = {lambda text: text == "x": "a"}
    always: dict[Callable[[], bool], str] = {lambda: True: END}
    graph = Graph("board", Board)
    graph.node("a", idle)
    graph.edge(START, "a")
    graph.switch("a", {**ways, **always})
    app = graph.compile()
    assert [edge.label for edge in app.outline().edges] == ["", "<lambda> of text", "<lambda>"]
    assert 'a -->|"<b>1.</b> unnamed function of text"| a' in app.draw("mermaid")
    assert 'a -->|"<b>2.</b> unnamed function"| END' in app.draw("mermaid")
