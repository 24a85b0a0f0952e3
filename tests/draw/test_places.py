import re

import pytest

from loom.draw.places import all_graphs, all_nodes, arrows, check, identifiers, paths
from loom.errors import LoomError
from loom.types.outline import Outline, OutlineEdge, OutlineNode

A, B = OutlineNode("a", "node", "pure"), OutlineNode("b", "node", "pure")
INNER = Outline("inner", (A,), (OutlineEdge("START", "a"), OutlineEdge("a", "END")))
OUTER = Outline(
    "outer",
    (OutlineNode("in", "node", "pure", inner=INNER), B),
    (OutlineEdge("START", "in"), OutlineEdge("in", "b"), OutlineEdge("b", "END")),
)


def test_every_stop_of_inner_graphs_has_a_path() -> None:
    assert list(paths(OUTER)) == [
        ("START",),
        ("in",),
        ("in", "START"),
        ("in", "a"),
        ("in", "END"),
        ("b",),
        ("END",),
    ]


def test_arrows_lead_into_an_inner_graph_by_its_start_and_out_by_its_end() -> None:
    assert [(arrow.tail, arrow.head) for arrow in arrows(OUTER)] == [
        (("START",), ("in", "START")),
        (("in", "END"), ("b",)),
        (("b",), ("END",)),
    ]
    assert [arrow.enters for arrow in arrows(OUTER)] == [True, False, False]


def test_an_arrow_from_an_inner_graph_back_to_itself_does_not_enter_it() -> None:
    (arrow,) = arrows(Outline("again", OUTER.nodes, (OutlineEdge("in", "in"),)))
    assert (arrow.tail, arrow.head, arrow.enters) == (("in", "END"), ("in", "START"), False)


def test_inner_graphs_and_their_nodes_are_found() -> None:
    assert [path for path, _ in all_nodes(OUTER)] == [("in",), ("in", "a"), ("b",)]
    assert [graph.name for graph in all_graphs(OUTER)] == ["outer", "inner"]


def test_names_that_are_not_plain_or_taken_get_a_number() -> None:
    names = ("n1", "ü", "a_b", "a", "")
    inner = Outline("inner", (B,), ())
    nodes = [OutlineNode(name, "node", "pure", inner=inner if name == "a" else None) for name in names]
    found = identifiers(Outline("odd", tuple(nodes), ()), "_", re.compile("[a-z0-9_]+"))
    assert [found[(name,)] for name in names] == ["n1", "n3", "a_b", "a", "n7"]
    assert found["a", "b"] == "n5"
    assert len(set(found.values())) == len(found)


def test_an_edge_to_an_unknown_node_is_refused() -> None:
    with pytest.raises(LoomError, match='graph "g": edges name "c", got nodes "a"; add the nodes or remove the edges'):
        check(Outline("g", (A,), (OutlineEdge("START", "c"),)))


@pytest.mark.parametrize("name", ["a", "START", "END"])
def test_a_name_that_is_taken_is_refused_in_inner_graphs_too(name: str) -> None:
    inner = Outline("g", (A, OutlineNode(name, "node", "pure")), ())
    with pytest.raises(LoomError, match=f'graph "g": the names "{name}" are taken'):
        check(Outline("outer", (OutlineNode("in", "node", "pure", inner=inner),), ()))
