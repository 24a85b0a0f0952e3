"""Texts ranked by BM25: SQLite's full-text index FTS5, in memory.

FTS5 does the arithmetic. Two things make its scores fit for few texts and comparable between sources:

- *Blanks.* BM25 weighs a word by how few texts have it; in FTS5 a word that half of them have weighs nothing. Of two
  texts about different things that would be every word. So the index holds two blanks more than it holds texts, each
  as long as the average text: a word that all texts have still weighs a little.
- *The query as a text.* For the time of a search the query's own words are a text in the index. A score is the share
  of that text's score, at most 1. So a word that no text has counts against them all, and a threshold means the same
  whatever the source.
"""

import re
import sqlite3
import threading
import unicodedata
import weakref
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

TITLE_WEIGHT: Final = 2.0
MAX_WORDS: Final = 256  # of a query; what is pasted into one may be a book

# Ideographs and kana are written without spaces: each, and each pair of neighbours, stands for a word.
_UNSPACED: Final = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
# What FTS5 takes for a word and no query can have.
_BLANK: Final = "\ue000"
# Words of English that say nothing of what a question is about. Of a query that has no others they count.
_STOP_WORDS: Final = frozenset(
    """
    a about above after again all also am an and any are as at be because been before being below between both but
    by can could did do does doing down during each few for from further get give had has have having he her here
    hers him his how i if in into is it its just know let like may me more most my no nor not now of off on once
    only or other our out over own please same she should show so some such tell than that the their them then there
    these they this those through to too under until up us very was we were what when where which while who whom why
    will with would you your
    """.split()  # noqa: SIM905 - a text of words is read with ease
)


class Hit(NamedTuple):
    """A text found: its number and its score, from 0 to 1."""

    number: int
    score: float


class Index:
    """Texts, each with a title, that can be searched from any thread."""

    def __init__(self, texts: Sequence[tuple[str, str]]) -> None:
        """Take the texts in, as pairs of title and text."""
        self._lock = threading.Lock()
        # autocommit: a search opens and ends its own transaction
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        weakref.finalize(self, self._db.close)
        tokens = "porter unicode61 remove_diacritics 2"
        self._db.execute(f"CREATE VIRTUAL TABLE texts USING fts5(title, text, tokenize='{tokens}')")
        rows = [(number, _plain(title), _plain(text)) for number, (title, text) in enumerate(texts, start=1)]
        words = sum(len(title.split()) + len(text.split()) for _, title, text in rows)
        blank = " ".join([_BLANK] * (words // max(1, len(rows))))
        rows += [(number + len(rows), "", blank) for number in range(1, len(rows) + 3)]
        self._count = len(texts)
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO texts(rowid, title, text) VALUES (?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def search(self, query: str) -> list[Hit]:
        """Return the texts that have words of the query, the best first, of equal ones the earlier first."""
        words = _words(query)
        if not words or not self._count:
            return []
        match = " OR ".join(f'"{word}"' for word in words)
        with self._lock:
            self._db.execute("BEGIN")
            try:
                self._db.execute("INSERT INTO texts(rowid, title, text) VALUES (0, '', ?)", (" ".join(words),))
                found = self._db.execute(
                    "SELECT rowid, -bm25(texts, ?, 1.0) FROM texts WHERE texts MATCH ?", (TITLE_WEIGHT, match)
                ).fetchall()
            finally:
                self._db.execute("ROLLBACK")
        best = dict(found).get(0, 0.0)
        # Rounded: the last digits are not the same on every machine, and would decide between equals.
        hits = [(round(score / best, 6), number) for number, score in found if number]
        return [Hit(number - 1, min(1.0, score)) for score, number in sorted(hits, key=lambda hit: (-hit[0], hit[1]))]


def _words(query: str) -> list[str]:
    """Return the words to look for, each once, in the order they come."""
    words = list(dict.fromkeys(re.findall(r"[^\W_]+", _plain(query).casefold())))
    return ([word for word in words if word not in _STOP_WORDS] or words)[:MAX_WORDS]


def _plain(text: str) -> str:
    """Return a text as it is indexed: one form of each character, spaces between words, nothing but Unicode."""
    whole = text.encode(errors="replace").decode().replace("\0", " ").replace(_BLANK, " ")
    return _UNSPACED.sub(_spaced, unicodedata.normalize("NFKC", whole))


def _spaced(run: re.Match[str]) -> str:
    return f" {' '.join([*run[0], *map(''.join, pairwise(run[0]))])} "
