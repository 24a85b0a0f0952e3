"""Graphviz's HTML-like labels: small tables of text and plates."""

from collections.abc import Iterable
from html import escape

from loom.draw.looks import Badge
from loom.draw.words import cells

# Helvetica's letters, in sizes of the font; the others are about as wide as a digit.
_DIGIT = 0.556
_EMS = {
    letter: width
    for letters, width in (("ijl", 0.222), (" ft", 0.278), ("r", 0.333), ("cksvxyz", 0.5), ("w", 0.722), ("m", 0.833))
    for letter in letters
}


def text_cell(
    lines: Iterable[str], size: int, ink: str, *, tag: str = "", align: str = "center", span: int = 1, ground: str = ""
) -> str:
    """Return a cell with the lines in points of `size`, in an element `tag` such as `b` or `i` if given.

    Its `ground` hides what is drawn behind it.
    """
    lines = list(lines)
    attributes = f' colspan="{span}"' if span > 1 else ""
    if ground:
        attributes += f' bgcolor="{ground}"'
    if not all(line.isascii() for line in lines):
        # Graphviz takes an unknown letter for as narrow as a space and would let the text leave its box on the right.
        align = "left"
        attributes += f' width="{round(max(map(cells, lines)) * size * 0.55)}"'
    if align != "center":
        attributes += f' align="{align}"'
    text = f'<br align="{align}"/>'.join(_escaped(line) for line in lines)
    if not text:
        return "<td></td>"
    text = f"<{tag}>{text}</{tag}>" if tag else text
    return f'<td{attributes}><font point-size="{size}" color="{ink}">{text}</font></td>'


def plate(text: str, look: Badge) -> str:
    """Return a cell that shows the text on a small coloured plate."""
    font = f'<font point-size="8" color="{look.ink}"> {_escaped(text)} </font>'
    return f'<td border="1" cellpadding="1" style="rounded" bgcolor="{look.fill}" color="{look.line}">{font}</td>'


def badges(texts: Iterable[tuple[str, Badge]]) -> str:
    """Return one cell with the plates side by side.

    Its size is fixed, about that of its text, or the plates would be stretched to the width of the node.
    """
    texts = list(texts)
    width = round(sum(8 * _ems(f" {text} ") + 6 for text, _ in texts) + 2)
    plates = "".join(plate(text, look) for text, look in texts)
    size = f'fixedsize="true" width="{width}" height="19"'
    return f'<td><table border="0" cellspacing="2" cellpadding="0" {size}><tr>{plates}</tr></table></td>'


def table(rows: Iterable[str], spacing: int = 0, padding: int = 0) -> str:
    """Return a label; each row is one or several cells."""
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<<table border="0" cellspacing="{spacing}" cellpadding="{padding}">{body}</table>>'


def _ems(text: str) -> float:
    """Return about how wide the text is in Helvetica, in sizes of its font."""
    return sum(_EMS.get(character, _DIGIT) for character in text)


def _escaped(text: str) -> str:
    # In a label of Graphviz `\N` is the node's name, and `\\N` what it looks like.
    return escape(text).replace("\\", "\\\\")
