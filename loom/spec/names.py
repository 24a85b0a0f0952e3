"""The names in a spec: states, node types, conditions and exceptions, each by its name or its path."""

import builtins
from collections.abc import Mapping
from typing import Any, Literal

import loom.errors as ours
from loom.core.node import FunctionNode, Node
from loom.core.state import State
from loom.errors import SpecError, did_you_mean, short
from loom.spec.paths import Allowed, path_of
from loom.spec.registry import NODES, STATES, flaw_of, load_registered, name_of

# Any, in this module: whatever a name leads to.

Role = Literal["state", "node", "condition", "exception"]

_GROUPS: Mapping[Role, str] = {"state": STATES, "node": NODES}
_EXPECTED: Mapping[Role, str] = {
    "state": "a subclass of State",
    "node": "a subclass of Node, or a function made a node by @node",
    "condition": "a function",
    "exception": "a subclass of Exception",
}
_EXCEPTIONS: Mapping[str, Any] = {
    name: one
    for home in (builtins, ours)
    for name, one in vars(home).items()
    if isinstance(one, type) and issubclass(one, Exception)
}


def flaw_in(role: Role, name: str, allowed: Allowed) -> str:
    """Return why a name must not or cannot be followed; empty if it may. Imports nothing."""
    if ":" in name or role == "condition":
        return allowed.flaw(name)
    if role in _GROUPS:
        flaw = flaw_of(_GROUPS[role], name)
        return flaw and f'{flaw} One of your own is named by its path, as in "shop.review:Review"'
    if name not in _EXCEPTIONS:
        return f'there is no exception "{name}" of Python or Loom.{did_you_mean(name, _EXCEPTIONS)}'
    return ""


def load_name(role: Role, name: str, allowed: Allowed) -> Any:
    """Return what a name leads to.

    Raises:
        SpecError: it must not be followed, or leads to nothing or something else.
    """
    if flaw := flaw_in(role, name, allowed):
        raise SpecError(flaw)
    if ":" in name:
        found = allowed.load(name)
    else:
        found = load_registered(_GROUPS[role], name) if role in _GROUPS else _EXCEPTIONS[name]
    if not _fits(role, found):
        raise SpecError(f'"{name}" is {short(found)}; expected {_EXPECTED[role]}')
    return found


def name_for(role: Role, thing: Any) -> str:
    """Return the name that leads to a thing: a short one if it has one, else its path; empty if it has none."""
    if role == "exception" and (name := thing.__name__) in _EXCEPTIONS and _EXCEPTIONS[name] is thing:
        return str(name)
    path = path_of(thing)
    return (role in _GROUPS and path and name_of(_GROUPS[role], path)) or path


def _fits(role: Role, found: Any) -> bool:
    if role == "condition":
        return callable(found) and not isinstance(found, type)
    if role == "node" and isinstance(found, FunctionNode):
        return True
    kinds = {"state": State, "node": Node, "exception": Exception}
    return isinstance(found, type) and issubclass(found, kinds[role])
