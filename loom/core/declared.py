"""A graph as it was declared: plain records that checking, planning and drawing read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from loom.core.condition import Condition
from loom.core.node import GATES, AnyNode, Port
from loom.core.state import Field, State, fields_of

if TYPE_CHECKING:  # only names here, which most graphs are declared without
    from loom.core.runtime import Cache, Retry

START = "START"
"""Where every run begins; the source of a graph's first edge."""

END = "END"
"""Where a branch is over; only ever a target."""


Bound = tuple[tuple[Port, str], ...]
"""Ports, each with the name of its field."""


class Placed(NamedTuple):
    """A node in a graph: its name, its ports bound to fields, its policies."""

    name: str
    node: AnyNode
    reads: Mapping[str, str]
    writes: Mapping[str, str]
    inputs: Bound
    outputs: Bound
    retry: "Retry | None"
    timeout_s: float | None
    cache: "Cache | None"
    ungated: str
    is_join: bool

    @property
    def is_gate(self) -> bool:
        """Tell whether the node may forbid what follows."""
        return self.node.kind in GATES


def bound(ports: tuple[Port, ...], mapping: Mapping[str, str]) -> Bound:
    """Bind ports to fields: to those of their own names, unless mapped."""
    return tuple([(port, mapping.get(port.name, port.name)) for port in ports])


class Way(NamedTuple):
    """One way on from a node: a condition, or None where there is nothing to decide."""

    condition: Condition | None
    targets: tuple[str, ...]
    label: str = ""


class Each(NamedTuple):
    """Run a node once for each item of the list in field `over`, its port `bind` set to the item."""

    node: str
    over: str
    bind: str
    max_concurrency: int


class Drawing(NamedTuple):
    """What one call of `edge`, `switch` or `each` drew from one source."""

    source: str
    ways: tuple[Way, ...]
    is_switch: bool = False
    each: Each | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """Every target of every way, in written order, without repeats."""
        if len(self.ways) == 1 and len(self.ways[0].targets) == 1:  # mostly
            return self.ways[0].targets
        return tuple(dict.fromkeys(target for way in self.ways for target in way.targets))

    @property
    def call(self) -> str:
        """How this was drawn, as a user would find it in the code."""
        verb = "switch" if self.is_switch else "each" if self.each else "edge"
        return f'{verb}("{self.source}")'


@dataclass(frozen=True)
class Declared:
    """Everything a graph was told, in the order it was told.

    `list_joins` are the stops after a list, `taken` names that were given twice, `crooked` lists
    that follow a list.
    """

    name: str
    state: type[State]
    inputs: tuple[str, ...]
    nodes: Mapping[str, Placed]
    drawings: tuple[Drawing, ...]
    list_joins: frozenset[str]
    taken: tuple[str, ...]
    crooked: tuple[str, ...]

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """The fields of the state, by name."""
        return fields_of(self.state)

    @cached_property
    def joins(self) -> frozenset[str]:
        """The nodes at which branches meet."""
        return frozenset(name for name, placed in self.nodes.items() if placed.is_join or name in self.list_joins)

    @cached_property
    def successors(self) -> Mapping[str, tuple[str, ...]]:
        """For START and every node, the known nodes and END that it leads to."""
        found: dict[str, tuple[str, ...]] = dict.fromkeys((START, *self.nodes), ())
        for drawing in self.drawings:
            if drawing.source in found:
                known = [target for target in drawing.targets if target in self.nodes or target == END]
                found[drawing.source] = tuple(dict.fromkeys((*found[drawing.source], *known)))
        return found

    def fan_outs(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield each source with each target list that makes branches."""
        for drawing in self.drawings:
            for way in drawing.ways:
                if len(way.targets) > 1:
                    yield drawing.source, way.targets

    @cached_property
    def eaches(self) -> Mapping[str, Each]:
        """What runs once for each item, by the node that does."""
        return {drawing.each.node: drawing.each for drawing in self.drawings if drawing.each}

    @cached_property
    def written(self) -> frozenset[str]:
        """The fields that some node may write."""
        return frozenset(name for placed in self.nodes.values() for _, name in placed.outputs)

    @cached_property
    def given(self) -> tuple[str, ...]:
        """The fields that a run's inputs must hold."""
        needed = (name for name, one in self.fields.items() if not one.has_default and name not in self.written)
        return tuple(dict.fromkeys((*self.inputs, *needed)))
