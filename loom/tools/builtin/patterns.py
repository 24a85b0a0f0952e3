"""Patterns of paths: `*` and `?` inside a name, `[abc]` for one character, `**` for any number of folders."""

import re
from fnmatch import translate


class PathPattern:
    """A pattern such as `src/**/*.py`. A match takes time in proportion to pattern times path, whatever they are."""

    def __init__(self, pattern: str) -> None:
        parts = [part for part in pattern.split("/") if part not in {"", "."}]
        # "**" stands for itself, other parts for what a name must be.
        self._parts = [None if part == "**" else re.compile(translate(part)) for part in parts]
        if self._parts and self._parts[-1] is None:
            self._parts.append(re.compile(translate("*")))  # files at any depth

    def matches(self, path: str) -> bool:
        """Tell whether a path, with / between its parts, is one of those meant."""
        places = self._skipped({0})
        for name in path.split("/"):
            after = {place + 1 for place in places if self._is_met(place, name)}
            stay = {place for place in places if place < len(self._parts) and self._parts[place] is None}
            places = self._skipped(after | stay)
        return len(self._parts) in places

    def _is_met(self, place: int, name: str) -> bool:
        part = self._parts[place] if place < len(self._parts) else None
        return part is not None and part.match(name) is not None

    def _skipped(self, places: set[int]) -> set[int]:
        """Add the places behind a `**`, which may stand for no folder at all."""
        found = set(places)
        for place in sorted(places):
            at = place
            while at < len(self._parts) and self._parts[at] is None:
                at += 1
                found.add(at)
        return found
