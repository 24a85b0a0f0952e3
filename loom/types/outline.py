"""A graph's shape as plain records: what drawing, comparing and explaining need to know of it."""

from dataclasses import dataclass
from typing import Literal

Style = Literal["edge", "switch", "otherwise", "fan_out", "each"]


@dataclass(frozen=True, slots=True)
class OutlineNode:
    """One node. `ungated` is the reason a write node may run without a gate, else empty."""

    name: str
    kind: str
    effect: str
    is_gate: bool = False
    is_join: bool = False
    ungated: str = ""
    inner: "Outline | None" = None


@dataclass(frozen=True, slots=True)
class OutlineEdge:
    """One arrow. `label` is its condition, or what an `each` runs over; else empty."""

    source: str
    target: str
    label: str = ""
    style: Style = "edge"


@dataclass(frozen=True, slots=True)
class Outline:
    """A graph: nodes in the order they were declared, edges likewise; START and END as in edges."""

    name: str
    nodes: tuple[OutlineNode, ...]
    edges: tuple[OutlineEdge, ...]
