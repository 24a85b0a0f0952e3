"""Going on with a run whose graph has changed: what is different, and whether it may go on."""

from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any, Literal, TypedDict, cast, get_args

from pydantic_core import from_json

from loom.core.declared import START
from loom.core.fingerprint import Parts, edge_parts, graph_parts, state_parts
from loom.core.journal import FORMAT, Journal, decode, encode
from loom.core.plan import Plan
from loom.errors import Change, CheckpointError, ConfigError, GraphChangedError, LoomError, did_you_mean, short
from loom.runs.past import Past, Watch
from loom.runs.snapshots import parsed_snapshot
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
        form, name, nodes, _ = header["format"], header["graph"], header["nodes"], header["state"]
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
    return parsed_snapshot(journal.snapshot, journal.run_id)["rest"].get("changed") if journal.snapshot else None


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
        ConfigError: a setting is unknown, or `rename` is no mapping of names, names no node, or says what
            is not so.
    """
    if on_change not in get_args(OnChange):
        raise ConfigError(f'resume(on_change=…) must be "raise" or "continue"; got {short(on_change)}')
    if not isinstance(rename, Mapping) or not all(isinstance(name, str) for pair in rename.items() for name in pair):
        raise ConfigError(f"resume(rename=…) must map old names of nodes to new ones; got {short(rename)}")
    last = last_change(journal)
    if journal.header == header and not last and not rename:
        past = Past(plan, journal.run_id)
        past.take_all(journal)
        return past
    saved = read_header(plan, journal)
    before = last["rename"] if last else {}
    mark = sha256(header).hexdigest()[:24]
    is_same = last["graph"] == mark if last else journal.header == header
    news = _news(plan, saved["nodes"].keys() - {START}, before, rename)
    if is_same and news:
        raise ConfigError(
            f'resume(rename={news}): run "{journal.run_id}" was begun with this very form of graph "{plan.name}", or '
            "last went on under it, so no node has another name; leave it out"
        )
    between = {name: news[old] for old, name in before.items() if old in news}  # what it was called in between
    rename = {old: news.get(new, new) for old, new in before.items()} | between | news
    found = [] if is_same else _changes(plan, saved, from_json(header), rename)
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


def _news(plan: Plan, nodes: Collection[str], before: Rename, rename: Rename) -> dict[str, str]:
    """Return what a rename says that the run does not know, `nodes` being those it was begun with.

    Raises:
        ConfigError: it names no node.
    """
    known = {*nodes, *before.keys(), *before.values()}
    found: dict[str, str] = {}
    for old, new in rename.items():
        pair = f'rename={{"{old}": "{new}"}}'
        if old.partition("/")[0] not in known:  # what stands in its inner graphs the header does not tell
            raise ConfigError(f'{pair}: "{old}" is no node of the run.{did_you_mean(old, known)}')
        if before.get(old) == new or (not _has(plan, new) and old in before and before[old] == before.get(new)):
            continue  # said again, maybe of a node that has yet another name by now
        if not _has(plan, new):
            raise ConfigError(f'{pair}: "{new}" is no node of the graph.{did_you_mean(new, plan.index)}')
        if old != new:
            found[old] = new
    return found


def _has(plan: Plan, path: str) -> bool:
    """Tell whether a graph has a node of this name, or path through inner graphs."""
    name, slash, rest = path.partition("/")
    if name not in plan.index or not slash:
        return name in plan.index
    inner = plan.tasks[plan.index[name]].inner
    return inner is not None and _has(inner.plan, rest)


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
