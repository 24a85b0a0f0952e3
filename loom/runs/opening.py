"""What may start when a run begins or is taken up again. It is decided before the record that tells of it is saved."""

from collections.abc import Sequence

from pydantic_core import to_json

from loom.core.plan import Way
from loom.core.walk import Branch
from loom.runs.past import Past
from loom.runs.run import Run


def open_walk(run: Run, past: Past) -> list[tuple[str, str]]:
    """Let start what is due and may, inside too; return node and branch, as events name them, of what is held.

    What waits for an answer is neither, nor is what follows a step that was recorded without a way on.
    """
    open_now: list[Branch] = []
    for branch in past.walk.due():
        if past.waits_for_answer(branch):
            run.is_paused = True
        elif branch.id not in past.undecided:
            open_now.append(branch)
    past.opening = run.admit(open_now, past.plan)
    held = [past.name_of(branch) for branch in open_now if branch not in past.opening]
    for branch in past.opening:
        if branch.id in past.inner:
            held += open_walk(run, past.inner[branch.id])
    return held


def input_record(run: Run, past: Past, values: bytes, way: Way, extra: bytes = b"") -> bytes:
    """Open the walk of a graph that has just begun; return the record of it."""
    due = past.walk.due()
    past.opening = run.admit(due, past.plan)
    held = held_part(due, past.opening)
    return b'{"kind":"input","at":%.4f,"values":%b,"taken":%b%b%b}' % (run.clock(), values, way.taken, held, extra)


def held_part(due: Sequence[Branch], admitted: Sequence[Branch]) -> bytes:
    """Return which branches were due and may not start, as a part of a record's JSON; empty if there are none."""
    if len(due) == len(admitted):
        return b""
    return b',"held":' + to_json([branch.id for branch in due if branch not in admitted])
