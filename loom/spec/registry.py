"""What installed packages register under a name: node types, states and graphs, as entry points.

Names are looked up without importing anything; what is registered under a name is only loaded by that name.
"""

import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from loom.errors import SpecError, did_you_mean, error_text, quoted

# Any, in this module: whatever is registered.

NODES = "loom.nodes"
STATES = "loom.states"
GRAPHS = "loom.graphs"

_WHAT = {NODES: "node type", STATES: "state", GRAPHS: "graph"}


def registered(group: str) -> list[str]:
    """Return the names of a group, sorted."""
    return sorted(_entries(group))


def flaw_of(group: str, name: str) -> str:
    """Return why a name cannot be loaded; empty if it can. Imports nothing."""
    entries = _entries(group)
    if name not in entries:
        return f'no {_WHAT[group]} "{name}" is registered; there are {quoted(entries)}.{did_you_mean(name, entries)}'
    if len(entries[name]) > 1:
        return f'several packages register the {_WHAT[group]} "{name}": {quoted(entries[name])}'
    return ""


def load_registered(group: str, name: str) -> Any:
    """Import what is registered under a name.

    Raises:
        SpecError: nothing is, or several things are; or its package raised.
    """
    if flaw := flaw_of(group, name):
        raise SpecError(flaw)
    value, entry = next(iter(_entries(group)[name].items()))
    try:
        return entry.load()
    except (Exception, SystemExit) as error:  # an installed package may raise anything
        raise SpecError(
            f'loading the {_WHAT[group]} "{name}", which is "{value}", raised {error_text(error)}'
        ) from error


def name_of(group: str, path: str) -> str:
    """Return the name under which a path, and nothing else, is registered; empty if there is none."""
    return next((name for name, values in sorted(_entries(group).items()) if [*values] == [path]), "")


def _entries(group: str) -> Mapping[str, Mapping[str, EntryPoint]]:
    """Return what is registered in a group: by name, and by what the name stands for."""
    return _read(group, tuple(sys.path))


@lru_cache(maxsize=32)
def _read(group: str, path: tuple[str, ...]) -> Mapping[str, Mapping[str, EntryPoint]]:  # noqa: ARG001 - where to look
    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=group):
        found.setdefault(entry.name, {})[entry.value] = entry
    return found
