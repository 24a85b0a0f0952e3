import pytest
from syrupy.assertion import SnapshotAssertion

from loom.draw.dot import dot_text
from loom.draw.looks import INK, PAPER, SHADE
from loom.errors import LoomError
from loom.types.outline import Outline, OutlineEdge, OutlineNode


def test_dot_is_as_reviewed(outline: Outline, snapshot: SnapshotAssertion) -> None:
    assert dot_text(outline) == snapshot


def test_a_plain_name_is_the_nodes_name_in_dot() -> None:
    dot = dot_text(Outline("g", (OutlineNode("web search", "node", "read"),), (OutlineEdge("START", "web search"),)))
    assert 'START -> "web search"' in dot


def test_a_colon_names_no_port() -> None:
    dot = dot_text(Outline("g", (OutlineNode("a:b", "node", "pure"),), (OutlineEdge("START", "a:b"),)))
    assert "START -> n1" in dot


def test_a_gate_has_eight_corners_and_two_borders_whatever_its_kind() -> None:
    dot = dot_text(Outline("g", (OutlineNode("budget", "node", "pure", is_gate=True),), ()))
    assert "peripheries=2" in dot
    assert "shape=octagon" in dot


def test_an_ungated_write_says_why() -> None:
    dot = dot_text(Outline("g", (OutlineNode("save", "act", "write", ungated="a scratch file"),), ()))
    assert "<i>ungated: a scratch file</i>" in dot
    assert 'style="filled,dashed"' in dot


def test_parallel_edges_are_both_drawn() -> None:
    edges = (OutlineEdge("a", "END", "x", "switch"), OutlineEdge("a", "END", "y", "switch"))
    dot = dot_text(Outline("g", (OutlineNode("a", "node", "pure"),), edges))
    assert dot.count("a -> END") == 2


def test_an_outline_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(LoomError, match='edges name "nowhere"'):
        dot_text(Outline("g", (), (OutlineEdge("START", "nowhere"),)))


def test_conditions_are_numbered_in_the_order_they_are_tried(outlines: dict[str, Outline]) -> None:
    dot = dot_text(outlines["agent"])
    assert ">1. rho &gt;= renew_at<" in dot
    assert ">2. rho &gt;= compress_at<" in dot
    assert ">otherwise<" in dot
    assert ">wants_tool<" in dot


def test_an_arrow_into_an_inner_graph_ends_at_its_border(outlines: dict[str, Outline]) -> None:
    arrow = next(line for line in dot_text(outlines["nested"]).splitlines() if "research ->" in line)
    assert 'lhead="cluster draft"' in arrow


def test_an_inner_graph_that_is_repeated_begins_at_the_top(outlines: dict[str, Outline]) -> None:
    arrow = next(line for line in dot_text(outlines["loops"]).splitlines() if 'draft/START" -> "draft/END' in line)
    assert "dir=back" in arrow


def test_words_on_an_arrow_have_the_ground_they_stand_on(outlines: dict[str, Outline]) -> None:
    dot = dot_text(outlines["nested"])
    assert f'<td bgcolor="{PAPER}"><font point-size="10" color="{INK}">1. approved<' in dot
    assert f'<td bgcolor="{SHADE}"><font point-size="10" color="{INK}">1. score &gt;= 0.8<' in dot
