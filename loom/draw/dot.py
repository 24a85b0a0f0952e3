"""An outline as DOT text for Graphviz.

All text stands in HTML-like labels, where one way of escaping is enough and nothing becomes a link.
"""

import re
from contextlib import AbstractContextManager
from typing import Final, Protocol, cast

from graphviz import Digraph  # type: ignore[import-untyped]

from loom.draw.legend import legend
from loom.draw.looks import DANGER, EACH, FAN_OUT, INK, LINE, MUTED, PAPER, SHADE, Badge, badge, look
from loom.draw.places import END, START, Arrow, Path, arrows, check, identifiers
from loom.draw.table import badges, table, text_cell
from loom.draw.words import arrow_text, lines, shown
from loom.types.outline import Outline, OutlineNode, Style

# Names that need no care in DOT, where a colon names a port and a backslash escapes.
_PLAIN: Final = re.compile(r"[\w .,+/-]+")
# Graphviz knows the widths of Helvetica's letters and names a generic sans-serif beside it.
_FONT: Final = "Helvetica"
# The other shapes leave room around their text by themselves.
_BOXES: Final = frozenset({"box", "note", "folder", "component", "box3d", "cylinder"})
_FACT: Final = Badge("transparent", "transparent", MUTED)
_JOIN: Final = Badge(INK, INK, PAPER)
_ARROWS: Final[dict[Style, dict[str, str]]] = {
    "edge": {},
    "switch": {},
    "otherwise": {"style": "dashed"},
    "fan_out": {"color": FAN_OUT, "dir": "both", "arrowtail": "dot"},
    "each": {"color": f"{EACH}:{PAPER}:{EACH}", "penwidth": "1.4"},
}


class _Dot(Protocol):
    """What is used of `Digraph`, which comes without types."""

    source: str

    def attr(self, kw: str | None = None, /, **attributes: str) -> None: ...
    def node(self, name: str, label: str, /, **attributes: str | None) -> None: ...
    def edge(self, tail: str, head: str, label: str | None, /, **attributes: str) -> None: ...
    def subgraph(self, *, name: str) -> AbstractContextManager["_Dot"]: ...


def dot_text(outline: Outline) -> str:
    """Return the graph as DOT.

    Raises:
        LoomError: the outline contradicts itself.
    """
    check(outline)
    names = identifiers(outline, "/", _PLAIN)
    name = outline.name if _PLAIN.fullmatch(outline.name) else "graph"
    dot = cast(_Dot, Digraph(name))
    dot.attr("graph", bgcolor=PAPER, fontname=_FONT, nodesep="0.4", ranksep="0.42", pad="0.2", compound="true")
    dot.attr("graph", label=legend(outline), labelloc="b", labeljust="l")
    dot.attr("node", fontname=_FONT, fontcolor=INK, style="filled", height="0.3", width="0.5")
    dot.attr("edge", fontname=_FONT, fontcolor=INK, fontsize="10", color=LINE, arrowsize="0.7")
    _fill(dot, outline, (), names)
    return dot.source


def _fill(dot: _Dot, outline: Outline, within: Path, names: dict[Path, str]) -> None:
    _terminal(dot, names[(*within, START)], START)
    for node in outline.nodes:
        path = (*within, node.name)
        if node.inner:
            with dot.subgraph(name=f"cluster {names[path]}") as cluster:
                cluster.attr(label=_label(node), fontname=_FONT, color=look(node.kind).line, style="rounded")
                cluster.attr(bgcolor=SHADE, margin="12", labelloc="t", labeljust="l")
                _fill(cluster, node.inner, path, names)
        else:
            _node(dot, names[path], node)
    _terminal(dot, names[(*within, END)], END)
    for arrow in arrows(outline, within):
        _arrow(dot, arrow, names, SHADE if within else PAPER)


def _terminal(dot: _Dot, name: str, text: str) -> None:
    ink, fill = (PAPER, INK) if text == START else (INK, PAPER)
    label = f'<<font point-size="7" color="{ink}"><b>{text}</b></font>>'
    dot.node(name, label, shape="circle", fixedsize="true", width="0.48", color=INK, fillcolor=fill, penwidth="1.5")


def _node(dot: _Dot, name: str, node: OutlineNode) -> None:
    its = look(node.kind)
    # A gate is an octagon with two borders even if its kind has another shape.
    shape = "octagon" if node.is_gate else its.shape
    style = "filled,rounded" if shape == "box" else "filled"
    dot.node(
        name,
        _label(node),
        shape=shape,
        peripheries="2" if node.is_gate else None,
        style=f"{style},dashed" if node.ungated else style,
        fillcolor=its.fill,
        color=DANGER if node.ungated else its.line,
        margin="0.16,0.1" if shape in _BOXES else "0.03,0.02",
        penwidth="2.4" if node.is_join else "1.2",
    )


def _label(node: OutlineNode) -> str:
    """Return name, badges and the reason of an ungated write, one below the other."""
    facts = [] if node.kind in (node.name, "node") else [(shown(node.kind), _FACT)]
    facts.append((shown(node.effect), badge(node.effect)))
    if node.is_join:
        facts.append(("join", _JOIN))
    rows = [text_cell(lines(node.name), 12, INK, tag="b"), badges(facts)]
    if node.ungated:
        rows.append(text_cell(lines(f"ungated: {node.ungated}"), 9, DANGER, tag="i"))
    return table(rows)


def _arrow(dot: _Dot, arrow: Arrow, names: dict[Path, str], ground: str) -> None:
    tail, head = names[arrow.tail], names[arrow.head]
    its = _ARROWS[arrow.edge.style]
    if arrow.enters:
        # Beyond the border it could strike the title.
        dot.edge(tail, head, _arrow_label(arrow, ground), **its, lhead=f"cluster {names[arrow.head[:-1]]}")
    elif arrow.head[-1] != arrow.edge.target:
        # From an inner graph back to its START: told from there, or Graphviz may lay out END above START.
        dot.edge(head, tail, _arrow_label(arrow, SHADE), **its | {"dir": "back", "arrowtail": "normal"})
    else:
        dot.edge(tail, head, _arrow_label(arrow, ground), **its)


def _arrow_label(arrow: Arrow, ground: str) -> str | None:
    text = arrow_text(arrow.edge)
    if not text:
        return None
    number = f"{arrow.turn}. " if arrow.turn else ""
    first, *others = lines(text)
    cell = text_cell([number + first, *others], 10, INK, ground=ground)
    # Graphviz would let a second loop of the node strike the label of its first.
    return table([cell + '<td width="12"></td>' if arrow.tail == arrow.head else cell], spacing=4)
