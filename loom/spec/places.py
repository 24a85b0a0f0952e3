"""Where in a spec something stands, and how it is told that it does not belong there."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from loom.errors import SpecError

Place = tuple[str | int, ...]
"""The keys and list positions that lead to a value."""

Flaw = tuple[Place, str]
"""What is wrong, and where."""


def written(place: Place) -> str:
    """Return a place as `nodes[2].settings.model`; empty for the whole spec."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")


class Source(NamedTuple):
    """Where a spec comes from: how that is called, and in which line each value stands, where that is known."""

    name: str = "the spec"
    lines: Mapping[Place, int] = {}

    def refusal(self, *flaws: Flaw) -> SpecError:
        """Return the error that tells these flaws."""
        told = [", ".join(part for part in (self._line(place), written(place)) if part) for place, _ in flaws]
        if len(flaws) == 1:
            return SpecError(f"{self.name}{', ' * bool(told[0])}{told[0]}: {flaws[0][1]}")
        listed = (f"\n  {where or 'all of it'}: {why}" for where, (_, why) in zip(told, flaws, strict=True))
        return SpecError(f"{self.name} has {len(flaws)} flaws:{''.join(listed)}")

    def _line(self, place: Place) -> str:
        known: Sequence[Place] = [place[:length] for length in range(len(place), 0, -1) if place[:length] in self.lines]
        return f"line {self.lines[known[0]]}" if known else ""
