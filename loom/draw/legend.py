"""The legend of a picture: what its colours, plates and lines mean, and nothing that is not on it."""

from collections.abc import Iterable, Iterator

from loom.draw.looks import EFFECTS, INK, KINDS, MUTED, Badge, badge, look
from loom.draw.places import all_graphs, all_nodes
from loom.draw.table import plate, table, text_cell
from loom.draw.words import shown, turns
from loom.types.outline import Outline, OutlineNode, Style

_COLUMNS = 6
# Graphviz shares the width of a text among the columns below it: with many, the plates keep theirs.
_SPAN = 3 * _COLUMNS
_LINES: dict[Style, str] = {
    "otherwise": "dashed: otherwise",
    "fan_out": "dot at the tail: all at once",
    "each": "double: once per item",
}


def legend(outline: Outline) -> str:
    """Return the legend as a label of Graphviz, empty for a graph without nodes."""
    nodes = [node for _, node in all_nodes(outline) if not node.inner]
    kinds = [_kind_plate(kind) for kind in _ordered(KINDS, {node.kind for node in nodes})]
    effects = [plate(shown(effect), badge(effect)) for effect in _ordered(EFFECTS, {node.effect for node in nodes})]
    graphs = list(all_graphs(outline))
    styles = {edge.style for graph in graphs for edge in graph.edges}
    lines = ["1. 2.: tried in this order"] if any(any(turns(graph)) for graph in graphs) else []
    lines += [text for style, text in _LINES.items() if style in styles]
    rows = [*_grid("kind", kinds), *_grid("effect", effects), *_list("border", _borders(nodes)), *_list("line", lines)]
    return table(rows, spacing=3) if rows else ""


def _kind_plate(kind: str) -> str:
    return plate(shown(kind), Badge(look(kind).fill, look(kind).line, INK))


def _grid(heading: str, plates: list[str]) -> Iterator[str]:
    for first in range(0, len(plates), _COLUMNS):
        yield _words(f"{heading}  " if first == 0 else "") + "".join(plates[first : first + _COLUMNS])


def _list(heading: str, texts: Iterable[str]) -> Iterator[str]:
    text = "; ".join(texts)
    if text:
        yield _words(f"{heading}  ") + _words(text, span=_SPAN)


def _borders(nodes: Iterable[OutlineNode]) -> Iterator[str]:
    nodes = list(nodes)
    if any(node.is_gate for node in nodes):
        yield "double: gate"
    if any(node.is_join for node in nodes):
        yield "thick: join"
    if any(node.ungated for node in nodes):
        yield "red, dashed: writes without a gate"


def _ordered(known: Iterable[str], found: set[str]) -> list[str]:
    """Return what was found, ours in the palette's order, then the others sorted."""
    known = list(known)
    return [name for name in known if name in found] + sorted(found.difference(known))


def _words(text: str, span: int = 1) -> str:
    return text_cell([text], 8, MUTED, align="left", span=span)
