"""How rules compare values: in one form for all that reads the same."""

import json
import unicodedata
from typing import Final

from pydantic import JsonValue

# Characters that show nothing though their category does not say so: fillers, joiners, variation selectors, a blank.
_BLANK: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)


def folded_text(text: str) -> str:
    """Return a text in NFKC, case-folded, without invisible characters, trimmed."""
    if text.isascii() and text.isprintable():
        return text.casefold().strip()
    seen = "".join(
        mark
        for mark in unicodedata.normalize("NFKC", text)
        if mark not in _BLANK and (mark.isspace() or unicodedata.category(mark) not in {"Cf", "Cc"})
    )
    return unicodedata.normalize("NFKC", seen.casefold()).strip()


def folded(value: JsonValue) -> JsonValue:
    """Return a value with its texts folded, at any depth; keys stay as they are."""
    if isinstance(value, str):
        return folded_text(value)
    if isinstance(value, dict):
        return {key: folded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [folded(item) for item in value]
    return value


def parts(value: JsonValue) -> list[JsonValue]:
    """Return a value and, of a list or mapping, every value inside it."""
    if isinstance(value, dict):
        return [value, *(part for item in value.values() for part in parts(item))]
    if isinstance(value, list):
        return [value, *(part for item in value for part in parts(item))]
    return [value]


def texts_of(value: JsonValue) -> list[str]:
    """Return the texts in a value, and its numbers and booleans as JSON writes them; null has none."""
    return [text for text in map(_text, parts(value)) if text is not None]


def _text(value: JsonValue) -> str | None:
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else None


def is_same(left: JsonValue, right: JsonValue) -> bool:
    """Tell whether two folded values are the same JSON.

    1 is 1.0 but not true. A text and a number or boolean are compared as texts, so that "1" is 1.
    """
    kind = type(left)
    if kind is type(right) and kind is not dict and kind is not list:
        return left == right
    if isinstance(left, str) != isinstance(right, str):
        text = _text(left)
        return text is not None and text == _text(right)
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(is_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(is_same, left, right))
    return left == right
