"""An outline as a Mermaid flowchart, as GitHub and others draw it in Markdown.

It has no legend, for Mermaid can only lay one out among the nodes; so every node says its kind and effect in words.
"""

import re
from collections.abc import Iterator
from typing import Final

from loom.draw.looks import DANGER, FAN_OUT, INK, KINDS, MUTED, PAPER, SHADE, look
from loom.draw.places import END, START, Path, all_nodes, arrows, check, identifiers
from loom.draw.words import arrow_text, lines, shown
from loom.types.outline import Outline, OutlineEdge, OutlineNode, Style

# Words that begin Mermaid's statements cannot be identifiers.
_PLAIN: Final = re.compile(
    r"(?!(?:call|class|classDef|click|default|direction|end|flowchart|graph|href|interpolate|linkStyle|style|subgraph)$)"
    r"[A-Za-z][A-Za-z0-9_]*"
)
# What could end a quoted text, or begin markup, a comment, a directive, an icon or an entity in it. Mermaid decodes
# these before it looks for `\n` (a new line) and `$$` (a formula), so a word joiner is put behind those two.
_ESCAPES: Final = str.maketrans(
    {character: f"#{ord(character)};" for character in '"#&<`:%'} | {"\\": "#92;#8288;", "$": "#36;#8288;"}
)
# Mermaid takes a whole line with `direction LR` anywhere in it for an order to lay the graph out that way.
_DIRECTION: Final = re.compile(r"d(?=irection\s)")
_STROKES: Final[dict[Style, str]] = {
    "edge": "-->",
    "switch": "-->",
    "otherwise": "-.->",
    "fan_out": "-->",
    "each": "==>",
}


def mermaid_text(outline: Outline) -> str:
    """Return the graph as the text of a Mermaid flowchart.

    Raises:
        LoomError: the outline contradicts itself.
    """
    check(outline)
    names = identifiers(outline, "_", _PLAIN)
    drawn: list[OutlineEdge] = []
    body = [f"accTitle: Graph {_escaped(shown(outline.name))}", *_graph(outline, (), names, drawn)]
    body += _styles(outline, names)
    if fans := [str(index) for index, edge in enumerate(drawn) if edge.style == "fan_out"]:
        body.append(f"linkStyle {','.join(fans)} stroke:{FAN_OUT},stroke-width:2px")
    return "flowchart TD\n" + "".join(f"    {line}\n" for line in body)


def _graph(outline: Outline, within: Path, names: dict[Path, str], drawn: list[OutlineEdge]) -> Iterator[str]:
    """Yield the statements of one graph; `drawn` collects edges in their order, by which Mermaid numbers them."""
    yield f"{names[(*within, START)]}(({START})):::terminal"
    for node in outline.nodes:
        path = (*within, node.name)
        if node.inner:
            yield f'subgraph {names[path]}["{_escaped(shown(node.name))} · {_escaped(shown(node.effect))}"]'
            for line in _graph(node.inner, path, names, drawn):
                yield f"    {line}"
            yield "end"
        else:
            opening, closing = ("{{", "}}") if node.is_gate else look(node.kind).brackets
            yield f'{names[path]}{opening}"{_label(node)}"{closing}:::{_kind_class(node)}'
    yield f"{names[(*within, END)]}(({END})):::terminal"
    for arrow in arrows(outline, within):
        drawn.append(arrow.edge)
        # A plain "1. " would begin a list, for which Mermaid 11.4 says "Unsupported markdown: list".
        number = f"<b>{arrow.turn}.</b> " if arrow.turn else ""
        text = arrow_text(arrow.edge)
        label = f'|"{number}{_text(text)}"|' if text else ""
        # An arrow that went on into an inner graph would strike its title.
        head = arrow.head[:-1] if arrow.enters else arrow.head
        yield f"{names[arrow.tail]} {_STROKES[arrow.edge.style]}{label} {names[head]}"


def _label(node: OutlineNode) -> str:
    facts = [] if node.kind in (node.name, "node") else [node.kind]
    facts += [node.effect, *(["join"] if node.is_join else [])]
    label = f"<b>{_text(node.name)}</b><br/>{_escaped(shown(' · '.join(facts)))}"
    return f"{label}<br/><i>ungated: {_text(node.ungated)}</i>" if node.ungated else label


def _styles(outline: Outline, names: dict[Path, str]) -> Iterator[str]:
    """Yield the classes that occur and, of gates, joins and ungated writes, which nodes are of them."""
    yield f"classDef terminal fill:{INK},stroke:{INK},color:{PAPER}"
    leaves = [(path, node) for path, node in all_nodes(outline) if not node.inner]
    inner = [names[path] for path, node in all_nodes(outline) if node.inner]
    kinds = {_kind_class(node) for _, node in leaves}
    for kind, its in KINDS.items():
        if f"kind_{kind}" in kinds:
            yield f"classDef kind_{kind} fill:{its.fill},stroke:{its.line},color:{INK}"
    marks = (
        ("inner", f"fill:{SHADE},stroke:{MUTED}", inner),
        ("gate", "stroke-width:4px", [names[path] for path, node in leaves if node.is_gate]),
        ("join", "stroke-width:3px", [names[path] for path, node in leaves if node.is_join]),
        ("ungated", f"stroke:{DANGER},stroke-dasharray:5 3", [names[path] for path, node in leaves if node.ungated]),
    )
    for mark, style, marked in marks:
        if marked:
            yield f"classDef {mark} {style}"
            yield f"class {','.join(marked)} {mark}"


def _kind_class(node: OutlineNode) -> str:
    return f"kind_{node.kind if node.kind in KINDS else 'node'}"


def _text(text: str) -> str:
    return "<br/>".join(_escaped(line) for line in lines(text))


def _escaped(text: str) -> str:
    return _DIRECTION.sub("#100;", text.translate(_ESCAPES))
