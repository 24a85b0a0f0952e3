"""Settings, checked where they are given. What is wrong is a `ConfigError` that begins with its place."""

import re
from collections.abc import Collection, Sequence
from math import inf
from typing import Final, cast

from loom.errors import ConfigError, quoted, short

NAME: Final = r"[a-zA-Z0-9_-]{1,64}"  # what every provider takes as the name of a tool; compiled on first use


def check_name(place: str, given: object) -> None:
    """Refuse what no provider takes as the name of a tool."""
    if not isinstance(given, str) or not re.fullmatch(NAME, given):
        raise _wrong(
            place, 'a name that providers take, 1 to 64 of a-z, A-Z, 0-9, "_" and "-", as in tool(name="search")', given
        )


def check_text(place: str, given: object) -> None:
    """Refuse what is no text."""
    if not isinstance(given, str):
        raise _wrong(place, "a text", given)


def check_flag(place: str, given: object) -> None:
    """Refuse what is neither True nor False: a text such as "no" would count as true."""
    if not isinstance(given, bool):
        raise _wrong(place, "True or False", given)


def check_seconds(place: str, given: object) -> None:
    """Refuse what is no time that something may take."""
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 < given < inf:
        raise _wrong(place, "more than 0 seconds", given)


def check_number(place: str, given: object) -> None:
    """Refuse what is no number of at least 0."""
    if not isinstance(given, int | float) or isinstance(given, bool) or not given >= 0:
        raise _wrong(place, "a number of at least 0", given)


def check_count(place: str, given: object, *, least: int = 1) -> None:
    """Refuse what is no whole number, or too small."""
    if not isinstance(given, int) or isinstance(given, bool) or given < least:
        raise _wrong(place, f"a whole number of at least {least}", given)


def check_texts(place: str, given: object, example: str, *, is_needed: bool = False) -> None:
    """Refuse what is no list of texts, each of which says something; and an empty one, if a text is needed."""
    texts: object = None if isinstance(given, str | bytes) else given
    if isinstance(texts, Sequence | set | frozenset):
        found = cast("Collection[object]", texts)
        if all(isinstance(each, str) and each.strip() for each in found) and (found or not is_needed):
            return
    raise _wrong(place, f"a list of texts, as in [{example}]", given)


def check_one_of(place: str, given: object, words: Collection[str]) -> None:
    """Refuse what is none of some words."""
    if not isinstance(given, str) or given not in words:
        raise _wrong(place, f"one of {quoted(words)}", given)


def check_kind(place: str, given: object, kind: type) -> None:
    """Refuse what is not of a kind."""
    if not isinstance(given, kind):
        raise _wrong(place, kind.__name__, given)


def check_list(place: str, given: object, kind: type) -> None:
    """Refuse what is no list of things of a kind."""
    if isinstance(given, str | bytes) or not isinstance(given, Collection):
        raise _wrong(place, f"a list of {kind.__name__}", given)
    for number, each in enumerate(cast("Collection[object]", given)):
        check_kind(f"{place.removesuffix('=…)')}[{number}]=…)", each, kind)


def _wrong(place: str, expected: str, given: object) -> ConfigError:
    return ConfigError(f"{place} must be {expected}; got {type(given).__name__}: {short(given)}")
