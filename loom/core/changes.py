"""Going on with a run whose graph has changed: what is different, and whether it may go on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic_core import from_json

from loom.core.binding import first_finding
from loom.core.fingerprint import Parts, graph_parts, state_parts
from loom.core.journal import FORMAT, Journal, encode
from loom.core.past import Past
from loom.core.plan import Plan
from loom.core.state import Field, Reducer, add, append, merge
from loom.core.values import ANYTHING
from loom.errors import Change, CheckpointError, GraphChangedError

# Any, in this module: parsed JSON.

OnChange = Literal["raise", "continue"]
Rename = Mapping[str, str]


def header_of(plan: Plan) -> bytes:
    """Return the header of a run of this graph: everything a later graph is compared with."""
    parts, state = graph_parts(plan.declared), state_parts(plan.declared)
    return encode({"format": FORMAT, "graph": plan.name, "nodes": parts, "state": state})


def read_header(plan: Plan, journal: Journal) -> dict[str, Any]:
    """Return the header of a run of the graph of this name.

    Raises:
        GraphChangedError: it was begun with a graph of another name.
        CheckpointError: the header is damaged, or of another format.
    """
    try:
        header: dict[str, Any] = from_json(journal.header)
        form, name, nodes = header["format"], header["graph"], header["nodes"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f'run "{journal.run_id}" has a header that cannot be read: {error}') from None
    if form != FORMAT:
        raise CheckpointError(f'run "{journal.run_id}" is stored in format {form}; this version reads {FORMAT}')
    if name != plan.name:
        message = f'run "{journal.run_id}" belongs to graph "{name}", not to "{plan.name}"'
        raise GraphChangedError(message, [Change(node, "removed") for node in sorted(nodes)])
    return header


def read_back(plan: Plan, journal: Journal, header: bytes, on_change: OnChange, rename: Rename) -> Past:
    """Return the walk of a run as far as its journal leads, under a graph that may have changed.

    Raises:
        GraphChangedError: something changed and `on_change` is not `continue`, or what is due or in
            use is gone.
        CheckpointError: the journal is damaged.
    """
    if journal.header == header:
        past = Past(plan, journal.run_id)
        past.take_all(journal)
        return past
    saved = read_header(plan, journal)
    changes = [change for change in _changes(plan, saved) if not _is_allowed(change, rename)]
    if changes and on_change != "continue":
        listed = "; ".join(f'"{change.node}": {change.what}' for change in changes)
        raise GraphChangedError(
            f'run "{journal.run_id}" was begun with another form of graph "{plan.name}" ({listed}). Run it with the '
            'graph it was begun with, or go on with resume(on_change="continue"), rename={"old": "new"} for nodes',
            changes,
        )
    if saved["state"]["version"] != plan.state.state_version:
        return _migrated(plan, journal, saved, rename)
    past = Past(plan, journal.run_id, rename=rename)
    past.take_all(journal)
    past.refuse_ghosts()
    _fill_new_fields(plan, past, saved)
    return past


def _is_allowed(change: Change, rename: Rename) -> bool:
    """Tell whether a change was announced: a rename of a node that is otherwise the same."""
    return change.what == "renamed" and any(change.node == f"{old} -> {new}" for old, new in rename.items())


def _changes(plan: Plan, saved: Mapping[str, Any]) -> list[Change]:
    """Return what differs, nodes in the order of their names."""
    old: Mapping[str, Parts] = saved["nodes"]
    new = graph_parts(plan.declared)
    renamed = _renamed(old, new)
    found = [Change(f"{before} -> {after}", "renamed") for before, after in renamed.items()]
    found += [Change(name, "removed") for name in old.keys() - new.keys() - renamed.keys()]
    found += [Change(name, "added") for name in new.keys() - old.keys() - set(renamed.values())]
    for name in old.keys() & new.keys():
        parts: tuple[Literal["body", "config", "ports", "edges"], ...] = ("body", "config", "ports", "edges")
        for part in parts:
            if old[name].get(part) != new[name].get(part) and not (part == "edges" and renamed):
                found.append(Change(name, part))
    return sorted([*found, *_state_changes(plan, saved)], key=lambda change: (change.node, change.what))


def _renamed(old: Mapping[str, Parts], new: Mapping[str, Parts]) -> dict[str, str]:
    """Return nodes that only have another name, where it is clear which."""
    found: dict[str, str] = {}
    for name in old.keys() - new.keys():
        alike = [other for other in new.keys() - old.keys() if _same(old[name], new[other])]
        rivals = [other for other in old.keys() - new.keys() if _same(old[name], old[other])]
        if len(alike) == 1 and len(rivals) == 1:
            found[name] = alike[0]
    return found


def _same(one: Parts, other: Parts) -> bool:
    return all(one.get(part) == other.get(part) for part in ("body", "config", "ports"))


def _state_changes(plan: Plan, saved: Mapping[str, Any]) -> list[Change]:
    old, new = saved["state"], state_parts(plan.declared)
    if old["version"] != new["version"] and hasattr(plan.state, "migrate"):
        return []
    names = old["fields"].keys() | new["fields"].keys()
    return [Change(name, "state") for name in names if old["fields"].get(name) != new["fields"].get(name)]


def _fill_new_fields(plan: Plan, past: Past, saved: Mapping[str, Any]) -> None:
    """Give fields that the journal does not know their defaults."""
    for name, field in plan.fields.items():
        if name not in saved["state"]["fields"] and field.has_default:
            value = field.values.validate(field.default({}))
            for branch in past.walk.live.values():
                branch.view.setdefault(name, field.values.round_trip(value, field.values.dump(value)))


_REDUCERS: Mapping[str | None, Reducer | None] = {None: None, "append": append, "merge": merge, "add": add}


def _migrated(plan: Plan, journal: Journal, saved: Mapping[str, Any], rename: Rename) -> Past:
    """Fold an older journal as JSON, migrate that, and go on from there."""
    version = saved["state"]["version"]
    fields = {name: _plain_field(journal, name, known) for name, known in saved["state"]["fields"].items()}
    old = Past(replace(plan, fields=fields), journal.run_id, rename=rename)
    old.take_all(journal)
    old.refuse_ghosts()
    trunk = old.walk.trunk_alone
    if trunk is None or old.inner:
        message = f'run "{journal.run_id}" has several live branches, so its state cannot be migrated'
        raise GraphChangedError(message, [Change(plan.state.__name__, "state")])
    data = plan.state.migrate(dict(trunk.view), version)
    past = Past(plan, journal.run_id, totals=old.totals, rename=rename)
    past.notes = old.notes
    past.walk.visits = old.walk.visits
    try:
        values = {name: plan.fields[name].values.restore(value) for name, value in data.items()}
    except (ValueError, KeyError) as error:
        reason = first_finding(error) if isinstance(error, ValueError) else f"no field {error}"
        message = f"{plan.state.__name__}.migrate from version {version} gave what does not fit: {reason}"
        raise GraphChangedError(message, [Change(plan.state.__name__, "state")]) from None
    past.walk.start_at(trunk.at, trunk.row, values)
    return past


def _plain_field(journal: Journal, name: str, known: Mapping[str, Any]) -> Field:
    reducer = known["reducer"]
    if reducer not in _REDUCERS and journal.snapshot is None:
        message = (
            f'run "{journal.run_id}" cannot be migrated: field "{name}" has a reducer of its own, and there is no '
            "snapshot to begin at"
        )
        raise GraphChangedError(message, [Change(name, "state")])
    return Field(name, ANYTHING, _REDUCERS.get(reducer), "default" in known, _no_default, key=b"")


def _no_default(_before: Mapping[str, Any]) -> Any:
    raise AssertionError("defaults are in the journal's input")  # pragma: no cover
