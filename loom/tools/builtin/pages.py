"""Pages of HTML as plain text, in time proportional to their length, whatever is in them."""

import html
import re
from collections.abc import Iterator
from typing import Final

# What readers do not see.
_HIDDEN: Final = frozenset({"head", "noscript", "script", "style", "svg", "template", "title"})
_INLINE: Final = frozenset(
    """
    a abbr b bdi bdo cite code data del dfn em font i ins kbd mark q s samp small span strong sub sup time u var
    """.split()  # noqa: SIM905 - a text of words is read with ease
)
_TAG: Final = re.compile(r"</?([a-zA-Z][a-zA-Z0-9-]*)")


def text_of_page(page: str) -> str:
    """Return what a reader of the page would read: its title, then text, a line for each block."""
    title = re.search(r"<title[^>]{0,200}>([^<]{0,500})<", page, re.IGNORECASE)
    body = html.unescape("".join(_seen(page)))
    lines = (re.sub(r"[ \t\r\f\v\xa0]+", " ", line).strip() for line in body.split("\n"))
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    heading = " ".join(html.unescape(title[1]).split()) if title else ""
    return f"{heading}\n\n{text}" if heading and not text.startswith(heading) else text


def _seen(page: str) -> Iterator[str]:
    """Yield the text between tags, and a new line for a tag that begins or ends a block."""
    at = 0
    while (tag := page.find("<", at)) >= 0:
        if tag > at:
            yield _joined(page[at:tag])
        if page.startswith("<!--", tag):
            end = page.find("-->", tag + 4)
            at = end + 3 if end >= 0 else len(page)
            continue
        name = _TAG.match(page, tag)
        if name is None and page[tag + 1 : tag + 2] not in {"!", "?"}:
            yield "<"  # of a comparison, say
            at = tag + 1
            continue
        end = page.find(">", tag)
        at = end + 1 if end >= 0 else len(page)
        kind = name[1].lower() if name else ""
        if kind in _HIDDEN and not page.startswith("</", tag):
            close = re.compile(f"</{kind}", re.IGNORECASE).search(page, at)
            at = close.start() if close else len(page)
        elif kind and kind not in _INLINE:
            yield "\n"
    yield _joined(page[at:])


def _joined(text: str) -> str:
    """Return text whose line ends are spaces: in HTML only tags end lines."""
    return re.sub(r"\s+", " ", text)
