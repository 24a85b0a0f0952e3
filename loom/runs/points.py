"""Looking back into a run: its saved points, its walk as it was at one of them."""

from dataclasses import replace

from loom.core.declared import START
from loom.core.journal import Journal, decode
from loom.core.plan import Plan
from loom.core.result import Checkpoint
from loom.errors import CheckpointError, short
from loom.runs.changes import past_of
from loom.runs.given import check_step
from loom.runs.notes import branch_of, path_of
from loom.runs.past import Past


def points(plan: Plan, journal: Journal) -> list[Checkpoint]:
    """Return the saved points of a run, oldest first; the input is seq 0."""
    top = past_of(plan, journal)
    found: list[Checkpoint] = []
    for line in journal.records:
        record = decode(line, journal.run_id)
        past = top.take(record)
        is_input = record["kind"] == "input" and not past.hops
        if is_input or record["kind"] == "step":
            found.append(
                Checkpoint(
                    seq=top.totals.seq,
                    node=START if is_input else path_of(past.hops, record["node"]),
                    branch="" if is_input else branch_of(past.hops, record["branch"]),
                    writes=record["values" if is_input else "writes"],
                    next=due_in(top),
                    at=record["at"],
                    duration_s=record.get("s", 0.0),
                    attempt=record.get("attempt", 1),
                )
            )
        elif record["kind"] in ("taken", "input"):
            found[-1] = replace(found[-1], next=due_in(top))
    return found


def due_in(past: Past) -> tuple[str, ...]:
    """Return the paths of the nodes that are due; for one with an inner walk those due inside."""
    found: list[str] = []
    for branch in past.walk.due():
        if branch.id in past.inner and past.inner[branch.id].walk.live:
            found += due_in(past.inner[branch.id])
        elif branch.id not in past.undecided:
            found.append(past.name_of(branch)[0])
    return tuple(found)


def past_at(plan: Plan, journal: Journal, seq: int | None) -> Past:
    """Return the walk as it was once step `seq` was saved; the newest if it is None.

    Raises:
        CheckpointError: the run has no such step.
    """
    check_step(seq)
    past = past_of(plan, journal)
    for line in journal.records:
        record = decode(line, journal.run_id)
        if seq is not None and record["kind"] == "step" and record["seq"] > seq >= 0:
            break
        past.take(record)
    if seq is not None and not 0 <= seq <= past.totals.seq:
        raise CheckpointError(f'run "{journal.run_id}" has no step {short(seq)}; expected 0 to {past.totals.seq}')
    return past
