"""Tests of outlines as records."""

from dataclasses import replace

from loom.types.outline import Outline, OutlineEdge, OutlineNode


def test_equal_shapes_are_equal_and_a_changed_condition_is_not() -> None:
    node = OutlineNode("a", "node", "pure")
    one = Outline("g", (node,), (OutlineEdge("START", "a"), OutlineEdge("a", "END", "x > 1", "switch")))
    assert one == replace(one)
    assert one != replace(one, edges=(one.edges[0], OutlineEdge("a", "END", "x > 2", "switch")))
