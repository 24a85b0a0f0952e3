"""States of other versions: what was saved under one is folded as JSON, then migrated."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from pydantic_core import to_json

from loom.core.binding import View
from loom.core.plan import Plan
from loom.core.state import Field, Reducer, append
from loom.core.values import values_of
from loom.errors import Change, GraphChangedError, quoted
from loom.types.saving import first_finding

# Any, in this module: parsed JSON.

StateParts = Mapping[str, Any]
"""What a journal knows of a state: its version, and of each field type, reducer, default."""


def plan_for(plan: Plan, state: StateParts, run_id: str) -> Plan:
    """Return the plan by which to fold what was saved under a state; its values are JSON if it is to be migrated.

    Raises:
        GraphChangedError: the state is of a newer version than the graph's.
    """
    name, version = plan.state.__name__, plan.state.state_version
    if state["version"] > version:
        raise GraphChangedError(
            f'run "{run_id}" is under version {state["version"]} of its state, but {name} of graph "{plan.name}" is of '
            f"version {version}; run it with the newer graph",
            [Change(name, "state")],
        )
    if not migrates(plan, state):
        return plan
    fields = {name: _as_json(name, known["reducer"]) for name, known in state["fields"].items()}
    return replace(plan, fields=fields)


def migrates(plan: Plan, state: StateParts) -> bool:
    """Tell whether a saved state is of an older version, from which the graph's own can be made."""
    return hasattr(plan.state, "migrate") and bool(state["version"] < plan.state.state_version)


def added_fields(plan: Plan, state: StateParts) -> dict[str, Any]:
    """Return the defaults of fields that a saved state does not know."""
    found: dict[str, Any] = {}
    for name, field in plan.fields.items():
        if name not in state["fields"] and field.has_default:
            found[name], _ = field.values.settle(field.default(found))
    return found


def migrated(plan: Plan, run_id: str, view: View, version: int) -> tuple[dict[str, Any], bytes]:
    """Return the fields of a view of an older version as those of this one, and their JSON.

    Raises:
        GraphChangedError: `migrate` raised, or gave what does not fit.
    """
    values: dict[str, Any] = {}
    saved: list[bytes] = []
    try:
        data = plan.state.migrate(copy.deepcopy(dict(view)), version)
        if unknown := data.keys() - plan.fields:
            raise ValueError(f"it gave {quoted(unknown)}, which is no field")  # noqa: TRY301
        for name, field in plan.fields.items():
            if name in data:
                value = field.values.restore(data[name])
            elif field.has_default:
                value = field.default(values)
            else:
                continue
            values[name], text = field.values.settle(value)
            saved.append(b"%b:%b" % (field.key, text))
    except Exception as error:
        message = f'run "{run_id}": {plan.state.__name__}.migrate from version {version} failed: {first_finding(error)}'
        raise GraphChangedError(message, [Change(plan.state.__name__, "state")]) from error
    return values, b"{%b}" % b",".join(saved)


def _as_json(name: str, reducer: str | None) -> Field:
    def cannot(_old: Any, _write: Any) -> NoReturn:
        raise GraphChangedError(
            f'field "{name}" was reduced by "{reducer}" before its state\'s version was raised, which cannot be done '
            "with what was saved of it, and there is no snapshot after that",
            [Change(name, "state")],
        )

    def add(old: Any, write: Any) -> Any:
        return cannot(old, write) if isinstance(old, str) or isinstance(write, str) else old + write

    def merge(old: Any, write: Any) -> Any:
        return old | write if isinstance(old, dict) else old + [item for item in write if item not in old]

    known = {None: None, "append": append, "merge": Reducer(merge), "add": Reducer(add)}
    return Field(name, values_of(Any), known.get(reducer, Reducer(cannot)), False, _no_default, to_json(name))


def _no_default(_before: View) -> NoReturn:
    raise AssertionError("defaults are in the journal's input")  # pragma: no cover
