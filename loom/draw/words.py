"""The words on a picture: made safe to show, and broken into short lines."""

import re
from typing import Final

from loom.types.outline import Outline, OutlineEdge

WIDTH: Final = 28
_LAMBDA: Final = "<lambda>"

# What XML forbids would break an SVG; what turns the direction of writing could make a condition read as another.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_CLAUSE = re.compile(r"\s(?=(?:and|or)\b)")
_SPACE = re.compile(r"\s(?!\s*,)")
_MARK = re.compile(r"(?<=[-_./,:;()\[\]<>=+*&|!])(?![-_./,:;()\[\]<>=+*&|!\d]|\s+,)")
# Where a line may begin if it must: not with what closes or parts.
_ANYWHERE = re.compile(r"(?![\s\"',;:.)\]}])")


def shown(text: str) -> str:
    r"""Return the text on one line, each character that cannot be shown as its number, as in `\u202e`."""
    flat = re.sub(r"[\t\r\n]+", " ", text)
    return _UNSHOWABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", flat)


def cells(text: str) -> int:
    """Return about how wide the text is, in Latin letters; from Hangul on a character counts as two."""
    # The database of Unicode widths grows with Python, and a picture must not change with it.
    return sum(2 if character >= "\u1100" else 1 for character in text)


def lines(text: str, width: int = WIDTH) -> list[str]:
    """Break the text into lines of at most `width` cells: before `and` and `or`, else at spaces, else after marks."""
    return [line for part in re.split(r"\r\n|\r|\n", text) for line in _broken(shown(part).strip(), width)]


def arrow_text(edge: OutlineEdge) -> str:
    """Return what is written on an arrow."""
    if edge.label.startswith(_LAMBDA):
        return edge.label.replace(_LAMBDA, "unnamed function", 1)
    if shown(edge.label).strip():
        return edge.label
    return {"otherwise": "otherwise", "each": "each"}.get(edge.style, "")


def turns(outline: Outline) -> list[int]:
    """Return for each edge when its condition is tried, from 1; 0 if its switch has no other.

    Edges of one condition stand together; functions without a name are each taken for one.
    """
    tried: dict[str, list[str]] = {}
    found: list[int] = []
    for edge in outline.edges:
        conditions = tried.setdefault(edge.source, [])
        if edge.style == "switch" and (edge.label not in conditions[-1:] or edge.label.startswith(_LAMBDA)):
            conditions.append(edge.label)
        found.append(len(conditions) if edge.style == "switch" else 0)
    return [turn if len(tried[edge.source]) > 1 else 0 for edge, turn in zip(outline.edges, found, strict=True)]


def told(outline: Outline) -> str:
    """Return the picture in words, edge by edge."""
    edges = zip(outline.edges, turns(outline), strict=True)
    return "; ".join(f"{edge.source} to {edge.target}{_condition(arrow_text(edge), turn)}" for edge, turn in edges)


def _condition(text: str, turn: int) -> str:
    number = f"{turn}. " if turn else ""
    return f", {number}{text}" if text else ""


def _broken(text: str, width: int) -> list[str]:
    done: list[str] = []
    while cells(text) > width and len(text) > 1:
        cut = _cut(text, width)
        done.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    return [*done, text]


def _cut(text: str, width: int) -> int:
    """Return where the first line ends; only a clause may make it shorter than a third of the width."""
    room = width
    while cells(text[:room]) > width:
        room -= 1
    third = max(1, width // 3)
    for place, least in ((_CLAUSE, 1), (_SPACE, third), (_MARK, third), (_ANYWHERE, third)):
        ends = [found.start() for found in place.finditer(text, 0, room + 6) if least <= found.start() <= room]
        if ends:
            return ends[-1]
    return max(room, 1)
