"""A graph as it was declared: plain records that checking, planning and drawing read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from loom.core.condition import Condition
from loom.core.node import GATES, AnyNode, Port
from loom.core.runtime import Cache, Retry
from loom.core.state import Field, State, fields_of

START = "START"
"""Where every run begins; the source of a graph's first edge."""

END = "END"
"""Where a branch is over; only ever a target."""


Bound = tuple[tuple[Port, str], ...]
"""Ports, each with the name of its field."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A node in a graph: its name, its ports bound to fields, its policies."""

    name: str
    node: AnyNode
    reads: Mapping[str, str]
    writes: Mapping[str, str]
    inputs: Bound
    outputs: Bound
    retry: Retry | None
    timeout_s: float | None
    cache: Cache | None
    ungated: str
    is_join: bool

    @property
    def is_gate(self) -> bool:
        """Tell whether the node may forbid what follows."""
        return self.node.kind in GATES


def bound(ports: tuple[Port, ...], mapping: Mapping[str, str]) -> Bound:
    """Bind ports to fields: to those of their own names, unless mapped."""
    return tuple([(port, mapping.get(port.name, port.name)) for port in ports])


@dataclass(frozen=True, slots=True)
class Way:
    """One way on from a node: a condition, or None where there is nothing to decide."""

    condition: Condition | None
    targets: tuple[str, ...]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Each:
    """Run a node once for each item of the list in field `over`, its port `bind` set to the item."""

    node: str
    over: str
    bind: str
    max_concurrency: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """What one call of `edge`, `switch` or `each` drew from one source."""

    source: str
    ways: tuple[Way, ...]
    is_switch: bool = False
    each: Each | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """Every target of every way, in written order, without repeats."""
        return tuple(dict.fromkeys(target for way in self.ways for target in way.targets))

    @property
    def call(self) -> str:
        """How this was drawn, as a user would find it in the code."""
        verb = "switch" if self.is_switch else "each" if self.each else "edge"
        return f'{verb}("{self.source}")'


@dataclass(slots=True)
class Declared:
    """Everything a graph was told, in the order it was told."""

    name: str
    state: type[State]
    inputs: tuple[str, ...]
    nodes: dict[str, Placed] = field(default_factory=dict[str, Placed])
    drawings: list[Drawing] = field(default_factory=list[Drawing])
    list_joins: set[str] = field(default_factory=set[str])
    taken: list[str] = field(default_factory=list[str])
    crooked: list[str] = field(default_factory=list[str])

    @property
    def fields(self) -> Mapping[str, Field]:
        """The fields of the state, by name."""
        return fields_of(self.state)

    def copy(self) -> "Declared":
        """Return all this as it is now; what is drawn later does not change it."""
        return replace(self, nodes=dict(self.nodes), drawings=list(self.drawings), list_joins=set(self.list_joins))

    def is_join(self, name: str) -> bool:
        """Tell whether branches meet at this node."""
        return name in self.list_joins or (name in self.nodes and self.nodes[name].is_join)

    def successors(self) -> dict[str, tuple[str, ...]]:
        """Return, for START and every node, the known nodes and END that it leads to."""
        found: dict[str, dict[str, None]] = {name: {} for name in (START, *self.nodes)}
        for drawing in self.drawings:
            if drawing.source in found:
                known = (t for t in drawing.targets if t == END or t in self.nodes)
                found[drawing.source].update(dict.fromkeys(known))
        return {name: tuple(targets) for name, targets in found.items()}

    def fan_outs(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield each source with each target list that makes branches."""
        for drawing in self.drawings:
            for way in drawing.ways:
                if len(way.targets) > 1:
                    yield drawing.source, way.targets

    def eaches(self) -> Mapping[str, Each]:
        """Return what runs once for each item, by the node that does."""
        return {drawing.each.node: drawing.each for drawing in self.drawings if drawing.each}

    def written(self) -> frozenset[str]:
        """Return the fields that some node may write."""
        return frozenset(name for placed in self.nodes.values() for _, name in placed.outputs)

    def given(self) -> tuple[str, ...]:
        """Return the fields that a run's inputs must hold."""
        written = self.written()
        needed = (name for name, one in self.fields.items() if not one.has_default and name not in written)
        return tuple(dict.fromkeys((*self.inputs, *needed)))
