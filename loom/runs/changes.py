"""Going on with a run whose graph has changed: what is different, and whether it may go on."""

from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any, Literal, TypedDict, cast, get_args

from pydantic_core import from_json

from loom.core.fingerprint import Parts, edge_parts, graph_parts, state_parts
from loom.core.journal import FORMAT, Journal, decode, encode
from loom.core.plan import Plan
from loom.errors import Change, CheckpointError, ConfigError, GraphChangedError, LoomError, did_you_mean
from loom.runs.past import Past, Watch, from_snapshot
from loom.runs.versions import StateParts, migrates

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


class Changed(TypedDict):
    """What a `resume` record tells of another form of the graph: which it is, and what its nodes were called."""

    graph: str
    rename: dict[str, str]


def last_change(journal: Journal) -> Changed | None:
    """Return what the newest record tells of a changed graph, or the snapshot where it is older; None if nothing."""
    for line in reversed(journal.records):
        if b'"changed":' in line and (changed := decode(line, journal.run_id).get("changed")):
            return cast("Changed", changed)
    return from_snapshot(journal.snapshot, journal.run_id)["rest"].get("changed") if journal.snapshot else None


def past_of(plan: Plan, journal: Journal, watch: Watch | None = None) -> Past:
    """Return a walk that is to take in the records of a journal, under the names that nodes have now.

    Raises:
        GraphChangedError: the run was begun with a graph of another name.
        CheckpointError: the header is damaged, or of another format.
    """
    state, changed = read_header(plan, journal)["state"], last_change(journal)
    return Past(plan, journal.run_id, rename=changed["rename"] if changed else None, watch=watch, state=state)


def read_back(plan: Plan, journal: Journal, header: bytes, on_change: OnChange, rename: Rename) -> Past:
    """Return the walk of a run as far as its journal leads, under a graph that may have changed.

    Raises:
        GraphChangedError: something changed and `on_change` is not `continue`, or what is due or in
            use is gone.
        CheckpointError: the journal is damaged.
        ConfigError: a setting is unknown, or `rename` names no node.
    """
    if on_change not in get_args(OnChange):
        raise ConfigError(f'resume(on_change=…) must be "raise" or "continue"; got {on_change!r}')
    last = last_change(journal)
    if journal.header == header and not last:
        past = Past(plan, journal.run_id)
        past.take_all(journal)
        return past
    saved = read_header(plan, journal)
    before = last["rename"] if last else {}
    _check_rename(plan, saved["nodes"].keys() | before.values(), rename)
    rename = {old: rename.get(new, new) for old, new in before.items()} | dict(rename)
    mark = sha256(header).hexdigest()[:24]
    found = [] if last and last["graph"] == mark else _changes(plan, saved, from_json(header), rename)
    changes = [change for change in found if not _is_allowed(change, rename)]
    if changes and on_change != "continue":
        listed = "; ".join(f'"{change.node}": {change.what}' for change in changes)
        raise GraphChangedError(
            f'run "{journal.run_id}" was begun with another form of graph "{plan.name}" ({listed}). Run it with the '
            'graph it was begun with, or go on with resume(on_change="continue"), rename={"old": "new"} for nodes',
            changes,
        )
    past = Past(plan, journal.run_id, rename=rename, state=saved["state"])
    try:
        past.take_all(journal)
    except LookupError as error:  # an open fan-out is another, so what was recorded leads nowhere
        message = f'run "{journal.run_id}" cannot be followed in this form of graph "{plan.name}": {error!r}'
        raise GraphChangedError(message, changes) from error
    except LoomError as error:
        if isinstance(error.__cause__, GraphChangedError):  # of a reducer that is not at hand any more
            raise error.__cause__ from None
        raise
    past.refuse_lost()
    past.changed = Changed(graph=mark, rename=rename)
    return past


def _check_rename(plan: Plan, old: Collection[str], rename: Rename) -> None:
    for before, after in rename.items():
        for name, known, whose in ((before, old, "the run"), (after, plan.index.keys(), "the graph")):
            if "/" not in name and name not in known:  # a path leads to a node of an inner graph
                hint = did_you_mean(name, known)
                raise ConfigError(f'rename={{"{before}": "{after}"}}: "{name}" is no node of {whose}.{hint}')


def _is_allowed(change: Change, rename: Rename) -> bool:
    """Tell whether a change was announced: a rename of a node that is otherwise the same."""
    return change.what == "renamed" and any(change.node == f"{old} -> {new}" for old, new in rename.items())


def _changes(plan: Plan, saved: Mapping[str, Any], own: Mapping[str, Any], rename: Rename) -> list[Change]:
    """Return what differs between a header and our own, nodes in the order of their names."""
    old: Mapping[str, Parts] = saved["nodes"]
    new: Mapping[str, Parts] = own["nodes"]
    renamed = {before: after for before, after in rename.items() if before in old and after in plan.index}
    renamed |= _renamed(old, new, renamed)
    if renamed:  # edges name their targets: they are compared by the names that nodes had
        edges = edge_parts(plan.declared, {after: before for before, after in renamed.items()})
        new = {name: {**parts, "edges": edges[name]} for name, parts in new.items()}
    kept = (old.keys() & new.keys()) - renamed.keys() - set(renamed.values())
    pairs = {name: name for name in kept} | renamed
    found = [Change(f"{before} -> {after}", "renamed") for before, after in renamed.items()]
    found += [Change(name, "removed") for name in old.keys() - pairs.keys()]
    found += [Change(name, "added") for name in new.keys() - set(pairs.values())]
    parts: tuple[Literal["body", "config", "ports", "edges"], ...] = ("body", "config", "ports", "edges")
    for before, after in pairs.items():
        found += [Change(after, part) for part in parts if old[before].get(part) != new[after].get(part)]
    found += _state_changes(plan, saved["state"], own["state"])
    return sorted(found, key=lambda change: (change.node, change.what))


def _renamed(old: Mapping[str, Parts], new: Mapping[str, Parts], announced: Rename) -> dict[str, str]:
    """Return nodes that only have another name, where it is clear which."""
    gone = old.keys() - new.keys() - announced.keys()
    came = new.keys() - old.keys() - set(announced.values())
    found: dict[str, str] = {}
    for name in gone:
        alike = [other for other in came if _same(old[name], new[other])]
        rivals = [other for other in gone if _same(old[name], old[other])]
        if len(alike) == 1 and len(rivals) == 1:
            found[name] = alike[0]
    return found


def _same(one: Parts, other: Parts) -> bool:
    return all(one.get(part) == other.get(part) for part in ("body", "config", "ports"))


def _state_changes(plan: Plan, old: StateParts, new: StateParts) -> list[Change]:
    if migrates(plan, old):
        return []
    names = old["fields"].keys() | new["fields"].keys()
    found = [Change(name, "state") for name in names if old["fields"].get(name) != new["fields"].get(name)]
    return found if old["version"] == new["version"] else [*found, Change(plan.state.__name__, "state")]
