"""The way on from a node, or why there is none."""

from loom.core.binding import View
from loom.core.branches import OPENED_BY_START
from loom.core.declared import START
from loom.core.plan import ConditionError, Plan, Way
from loom.errors import NodeError, NoEdgeError
from loom.runs.notes import Hops, path_of


def chosen_way(plan: Plan, at: int, view: View, *, run_id: str = "", hops: Hops = (), step: int = 0) -> Way:
    """Return the way on from a node or START; `run_id`, `hops` and `step` say where in a run that has begun that is.

    Raises:
        NoEdgeError: there is a switch, and none of its conditions holds.
        NodeError: one of its conditions raised.
    """
    try:
        way = plan.way_on(at, view)
    except ConditionError as error:
        where, path = _where(plan, at, view, run_id, hops)
        raise NodeError(f"{where}: {error}", run_id=run_id, node=path, step=step, attempt=1) from error.__cause__
    if way is None:
        where, path = _where(plan, at, view, run_id, hops)
        tried = ", ".join(f'"{way.label}"' for way in plan.ways_of(plan.decider(at, view)))
        raise NoEdgeError(f"{where}: no condition of its switch holds ({tried}) and it has no otherwise", node=path)
    return way


def _where(plan: Plan, at: int, view: View, run_id: str, hops: Hops) -> tuple[str, str]:
    """Return the words for the node whose switch it is, and its path."""
    at = plan.decider(at, view)
    path = path_of(hops, START if at == OPENED_BY_START else plan.tasks[at].name)
    return (f'run "{run_id}", node "{path}"' if run_id else f'graph "{plan.name}", node "{path}"'), path
