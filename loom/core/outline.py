"""A declared graph as an outline, for those who draw or compare it."""

from loom.core.declared import Declared, Drawing, Placed, Way
from loom.core.node import GraphNode
from loom.core.plan import Plan
from loom.types.outline import Outline, OutlineEdge, OutlineNode, Style


def outline_of(declared: Declared) -> Outline:
    """Return the outline of a graph: nodes and edges in the order they were declared."""
    return Outline(
        name=declared.name,
        nodes=tuple(_node(declared, placed) for placed in declared.nodes.values()),
        edges=tuple(edge for drawing in declared.drawings for edge in _edges(drawing)),
    )


def _node(declared: Declared, placed: Placed) -> OutlineNode:
    inner = placed.node.plan if isinstance(placed.node, GraphNode) else None
    return OutlineNode(
        name=placed.name,
        kind=placed.node.kind,
        effect=placed.node.effect,
        is_gate=placed.is_gate,
        is_join=placed.name in declared.joins,
        ungated=placed.ungated,
        inner=outline_of(inner.declared) if isinstance(inner, Plan) else None,
    )


def _edges(drawing: Drawing) -> list[OutlineEdge]:
    found: list[OutlineEdge] = []
    for way in drawing.ways:
        style: Style = "fan_out" if len(way.targets) > 1 else "edge"
        if drawing.is_switch:
            style = "switch" if way.condition else "otherwise"
        elif drawing.each:
            style = "each"
        found += [OutlineEdge(drawing.source, target, _label(way), style) for target in way.targets]
    return found


def _label(way: Way) -> str:
    """Return what a way says; a lambda, which has no name, says what it reads."""
    reads = ", ".join(way.condition.reads) if way.condition and way.label == "<lambda>" else ""
    return f"{way.label} of {reads}" if reads else way.label
