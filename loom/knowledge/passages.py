"""Long texts cut into passages that stand for themselves."""

import re
from collections.abc import Iterator
from typing import Final

PASSAGE_CHARS: Final = 1200

# Where a text may be cut, the best places first: after a paragraph, a line, a sentence, a word.
_SEAMS: Final = tuple(map(re.compile, (r"\n\s*\n", r"\n", "[.!?](?=\\s)|[\u3002\uff01\uff1f]", r"\s")))


def passages(text: str, limit: int = PASSAGE_CHARS) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each passage, without white space around it, at most `limit` characters long.

    Passages follow one another and do not overlap; what is between them is white space.
    """
    at = 0
    while at < len(text):
        end = _cut(text, at, limit)
        passage = text[at:end]
        start = at + len(passage) - len(passage.lstrip())
        if stripped := passage.strip():
            yield start, start + len(stripped)
        at = end


def _cut(text: str, at: int, limit: int) -> int:
    """Return where the passage that begins at `at` ends: at the best seam in its second half, else at the limit."""
    if len(text) - at <= limit:
        return len(text)
    for seam in _SEAMS:
        ends = [found.end() for found in seam.finditer(text, at + limit // 2, at + limit)]
        if ends:
            return ends[-1]
    return at + limit
