"""Forking a run at a checkpoint, and walking one again on what it recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from loom.core.binding import View
from loom.core.branches import OPENED_BY_START
from loom.core.declared import START
from loom.core.journal import Journal, decode, encode
from loom.core.plan import ConditionError, Plan
from loom.errors import Change, CheckpointError, GraphChangedError, LoomError, short
from loom.runs.changes import last_change, past_of, read_header
from loom.runs.given import check_step
from loom.runs.inputs import Inputs, checked_values
from loom.runs.notes import path_of
from loom.runs.past import Past

# Any, in this module: parsed JSON.

_LEFT_OUT = frozenset({"resume", "end"})

Record = Mapping[str, Any]


def forked(plan: Plan, journal: Journal, at: int | None, set_values: Inputs, now: float) -> list[bytes]:
    """Return the records of a run that begins at step `at` of this one, with some fields replaced.

    Answers and finished effects of the steps under way there are kept, intents without a result are
    dropped: a forked run has idempotency keys of its own. Where fields are replaced, an inner graph
    that was begun there begins anew, as it has read them.

    Raises:
        CheckpointError: the run has no such step.
        LoomError: fields cannot be replaced where the run has several branches.
        ConfigError: a value does not fit its field.
    """
    check_step(at)
    set_line = b'{"kind":"set","at":%.4f,"values":%b}' % (now, checked_values(plan, set_values))
    past = past_of(plan, journal)
    kept: list[tuple[bytes, Record]] = []
    is_simple: dict[int, bool] = {}
    is_older = False
    for line in journal.records:
        record = decode(line, journal.run_id)
        past.take(record)
        seq = past.totals.seq
        is_simple[seq] = _is_simple(past)
        if (at is None or seq <= at) and record["kind"] not in _LEFT_OUT:
            kept.append((line, record))
            is_older = past.is_older
    last = past.totals.seq
    if at is not None and not 0 <= at <= last:
        raise CheckpointError(f'run "{journal.run_id}" has no step {short(at)}; expected 0 to {last}')
    cut = last if at is None else at
    dropped = _in_doubt([record for _, record in kept])
    if set_values:
        if is_older:
            message = f'run "{journal.run_id}" has an older state at step {cut}; fork it, resume, then set fields'
            raise GraphChangedError(message, [Change(plan.state.__name__, "state")])
        if not is_simple[cut]:
            raise LoomError(
                f'run "{journal.run_id}" is inside a fan-out or an inner graph at step {cut}, so no field can be set '
                f"there; the nearest steps of the trunk are {_nearest(is_simple, cut)}"
            )
        dropped |= _begun_inside([record for _, record in kept])
    lines = [_without_id(line, record) for index, (line, record) in enumerate(kept) if index not in dropped]
    if changed := last_change(journal):
        lines.append(encode({"kind": "resume", "at": now, "changed": changed}))
    if set_values:
        lines.append(set_line)
    lines.append(encode({"kind": "end", "status": "stopped", "reason": "forked", "at": now}))
    return lines


def _without_id(line: bytes, record: Record) -> bytes:
    """Return a record without the idempotency key of the run it was of."""
    return (
        encode({name: value for name, value in record.items() if name != "id"}) if record["kind"] == "intent" else line
    )


def _in_doubt(records: Sequence[Record]) -> set[int]:
    """Return which records are intents without a result, or ask about one and were not answered."""
    open_intents: dict[Any, int] = {}
    asks: dict[str, set[int]] = {}
    found: set[int] = set()
    for index, record in enumerate(records):
        kind = record["kind"]
        if kind == "answer":
            found -= asks.get(record["id"], set())
        if kind not in ("intent", "effect", "ask"):
            continue
        key = record["payload"].get("effect") if kind == "ask" else record["key"]
        place = (to_json(record.get("in")), record["branch"], key)
        if kind == "intent":
            open_intents[place] = index
            found.add(index)
        elif kind == "effect":
            found.discard(open_intents.get(place, -1))  # what writes nothing has no intent
        elif record["ask"] == "in_doubt":
            asks.setdefault(record["id"], {open_intents[place]}).add(index)
            found |= asks[record["id"]]
    return found


def _begun_inside(records: Sequence[Record]) -> set[int]:
    """Return which records are of an inner graph that has not finished a step."""
    last = max((index for index, record in enumerate(records) if record["kind"] == "step"), default=0)
    return {index for index, record in enumerate(records) if index > last and "in" in record}


def _is_simple(past: Past) -> bool:
    """Tell whether all there is to a walk is one state, that of the trunk."""
    is_alone = not past.walk.live or past.walk.trunk_alone is not None
    return is_alone and not any(map(_has_stepped, past.inner.values()))


def _has_stepped(past: Past) -> bool:
    """Tell whether a step of this walk, or of one inside it, is finished."""
    return bool(past.walk.visits) or any(map(_has_stepped, past.inner.values()))


def _nearest(is_simple: Mapping[int, bool], cut: int) -> str:
    before = [seq for seq, simple in is_simple.items() if simple and seq < cut][-1:]
    after = [seq for seq, simple in is_simple.items() if simple and seq > cut][:1]
    return " and ".join(map(str, before + after)) or "none"


@dataclass(frozen=True, slots=True)
class Difference:
    """One step after which a walk would go elsewhere now. Targets are names of nodes."""

    seq: int
    node: str
    recorded: tuple[str, ...]
    now: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What came of walking a run again on its recorded writes."""

    same: bool
    differences: tuple[Difference, ...]


def replayed(plan: Plan, journal: Journal) -> ReplayReport:
    """Follow the recorded path, and ask at each step where the graph would go now.

    Nodes are not run. A graph that has changed is no error: what it cannot follow is a difference.

    Raises:
        GraphChangedError: the run was begun with a graph of another name.
        CheckpointError: the header is damaged, or of another format.
    """
    found: list[Difference] = []
    state, changed = read_header(plan, journal)["state"], last_change(journal)
    rename = changed["rename"] if changed else {}

    def watch(past: Past, at: int, view: View, taken: tuple[str, ...]) -> None:
        seq = past.totals.seq
        if at >= len(past.plan.tasks):
            found.append(Difference(seq, "", taken, (), "the node is gone"))
            return
        decider = past.plan.decider(at, view)
        node = path_of(past.hops, START if decider == OPENED_BY_START else past.plan.tasks[decider].name)
        try:
            way = past.plan.way_on(at, view)
        except ConditionError as error:
            found.append(Difference(seq, node, taken, (), str(error)))
            return
        now = past.plan.names(way.targets) if way else ()
        if now != taken:
            found.append(Difference(seq, node, taken, now, "" if way else "no condition holds"))

    past = Past(plan, journal.run_id, rename=rename, watch=watch, state=state)
    for line in journal.records:
        record = decode(line, journal.run_id)
        try:
            past.take(record)
        except (LoomError, LookupError) as error:
            seq = past.totals.seq
            found.append(Difference(seq, record.get("node", ""), (), (), f"cannot be followed further: {error}"))
            break
    return ReplayReport(not found, tuple(found))
