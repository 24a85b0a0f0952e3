"""Forking a run at a checkpoint, and walking one again on what it recorded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from loom.core.inputs import Inputs, checked_values
from loom.core.journal import Journal, decode, encode
from loom.core.past import Past, path_of
from loom.core.plan import ConditionError, Plan
from loom.core.walk import Branch
from loom.errors import CheckpointError, GraphChangedError, LoomError

# Any, in this module: parsed JSON.

_LEFT_OUT = frozenset({"resume", "end"})


def forked(plan: Plan, journal: Journal, at: int | None, set_values: Inputs, now: float) -> list[bytes]:
    """Return the records of a run that begins at step `at` of this one, with some fields replaced.

    Answers and finished effects of the steps under way there are kept, intents without a result are
    dropped: a forked run has idempotency keys of its own.

    Raises:
        CheckpointError: the run has no such step.
        LoomError: fields cannot be replaced where the run has several branches.
        ConfigError: a value does not fit its field.
    """
    top = Past(plan, journal.run_id)
    kept: list[tuple[bytes, Mapping[str, Any]]] = []
    simple: list[int] = []
    reached = False
    for line in journal.records:
        record = decode(line, journal.run_id)
        if at is not None and record["kind"] == "step" and record["seq"] > at:
            reached = True
            break
        top.take(record)
        if top.walk.trunk_alone and not top.inner and (not simple or simple[-1] != top.totals.seq):
            simple.append(top.totals.seq)
        kept.append((line, record))
    last = top.totals.seq
    if at is not None and (at < 0 or (at > last and not reached) or at != last):
        raise CheckpointError(f'run "{journal.run_id}" has no step {at}; expected 0 to {last}')
    done = {_place(record) for _, record in kept if record["kind"] == "effect"}
    lines = [
        line
        for line, record in kept
        if record["kind"] not in _LEFT_OUT and not (record["kind"] == "intent" and _place(record) not in done)
    ]
    if set_values:
        if last not in simple:
            before = max((seq for seq in simple if seq < last), default=0)
            after = _next_simple(plan, journal, last)
            near = f"{before} and {after}" if after else f"{before}"
            raise LoomError(
                f'run "{journal.run_id}" has several branches at step {last}, so no field can be set there; '
                f"the nearest steps of the trunk are {near}"
            )
        values = checked_values(plan, set_values)
        lines.append(b'{"kind":"set","at":%.6f,"values":%b}' % (now, values))
    lines.append(encode({"kind": "end", "status": "stopped", "reason": "forked", "at": now}))
    return lines


def _place(record: Mapping[str, Any]) -> bytes:
    return to_json([record.get("in"), record["branch"], record["key"]]) if "key" in record else b""


def _next_simple(plan: Plan, journal: Journal, last: int) -> int | None:
    past = Past(plan, journal.run_id)
    for line in journal.records:
        past.take(decode(line, journal.run_id))
        if past.totals.seq > last and past.walk.trunk_alone and not past.inner:
            return past.totals.seq
    return None


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
    """
    found: list[Difference] = []

    def watch(past: Past, branch: Branch, taken: tuple[str, ...]) -> None:
        seq = past.totals.seq
        if branch.at >= len(past.plan.tasks):
            found.append(Difference(seq, "", taken, (), "the node is gone"))
            return
        node = path_of(past.hops, past.plan.tasks[branch.at].name)
        try:
            way = past.plan.way_on(branch.at, branch.view)
        except ConditionError as error:
            found.append(Difference(seq, node, taken, (), str(error)))
            return
        now = past.plan.names(way.targets) if way else ()
        if now != taken:
            found.append(Difference(seq, node, taken, now, "" if way else "no condition holds"))

    past = Past(plan, journal.run_id, rename={}, watch=watch)
    for line in journal.records:
        record = decode(line, journal.run_id)
        try:
            past.take(record)
        except (GraphChangedError, KeyError) as error:
            seq = past.totals.seq
            found.append(Difference(seq, record.get("node", ""), (), (), f"cannot be followed further: {error}"))
            break
    return ReplayReport(not found, tuple(found))
