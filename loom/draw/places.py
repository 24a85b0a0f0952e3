"""Where things stand on a picture: the stops of a graph and of its inner graphs, by path.

A path is a node's name after the names of the nodes whose inner graphs it stands in: `("inner", "write")`. An arrow to
a node with an inner graph ends at that graph's START, an arrow from it begins at its END.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from loom.draw.words import turns
from loom.errors import LoomError, quoted
from loom.types.outline import Outline, OutlineEdge, OutlineNode

START = "START"
END = "END"


Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge between two paths; `turn` is when its condition is tried, as in `turns`."""

    tail: Path
    head: Path
    edge: OutlineEdge
    turn: int

    @property
    def enters(self) -> bool:
        """Tell whether it leads from outside into an inner graph, at whose border it is drawn to end."""
        return self.head[-1] != self.edge.target != self.edge.source


def check(outline: Outline) -> None:
    """Raise LoomError if two nodes share a name or an edge names none; a compiled graph never does."""
    names = [node.name for node in outline.nodes]
    if twice := {name for name in names if names.count(name) > 1 or name in (START, END)}:
        raise LoomError(
            f'cannot draw graph "{outline.name}": the names {quoted(twice)} are taken; name every node once'
        )
    ends = {end for edge in outline.edges for end in (edge.source, edge.target)}
    if unknown := ends - {START, END, *names}:
        raise LoomError(
            f'cannot draw graph "{outline.name}": edges name {quoted(unknown)}, got nodes {quoted(names)}; '
            "add the nodes or remove the edges"
        )
    for node in outline.nodes:
        if node.inner:
            check(node.inner)


def all_nodes(outline: Outline, within: Path = ()) -> Iterator[tuple[Path, OutlineNode]]:
    """Yield every node with its path, each followed by those of its inner graph."""
    for node in outline.nodes:
        path = (*within, node.name)
        yield path, node
        if node.inner:
            yield from all_nodes(node.inner, path)


def all_graphs(outline: Outline) -> Iterator[Outline]:
    """Yield the graph and every inner graph."""
    yield outline
    for node in outline.nodes:
        if node.inner:
            yield from all_graphs(node.inner)


def paths(outline: Outline, within: Path = ()) -> Iterator[Path]:
    """Yield the path of every stop in drawn order."""
    yield (*within, START)
    for node in outline.nodes:
        yield (*within, node.name)
        if node.inner:
            yield from paths(node.inner, (*within, node.name))
    yield (*within, END)


def arrows(outline: Outline, within: Path = ()) -> Iterator[Arrow]:
    """Yield one graph's own edges between the stops that are really drawn."""
    inner = {node.name for node in outline.nodes if node.inner}
    for edge, turn in zip(outline.edges, turns(outline), strict=True):
        tail = (edge.source, END) if edge.source in inner else (edge.source,)
        head = (edge.target, START) if edge.target in inner else (edge.target,)
        yield Arrow(within + tail, within + head, edge, turn)


def identifiers(outline: Outline, joint: str, plain: re.Pattern[str]) -> dict[Path, str]:
    """Give each path an identifier of its own: the joined path where `plain` matches it, else `n1`, `n2`, …"""
    given: dict[Path, str] = {}
    taken: set[str] = set()
    for path in paths(outline):
        name = joint.join(path)
        if plain.fullmatch(name) and name not in taken:
            given[path] = name
            taken.add(name)
    number = 0
    for path in paths(outline):
        while path not in given:
            number += 1
            if (name := f"n{number}") not in taken:
                given[path] = name
    return given
