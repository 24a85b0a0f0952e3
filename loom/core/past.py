"""A journal read back: the walk as far as its records lead."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from loom.core.declared import START
from loom.core.journal import Journal, decode
from loom.core.plan import Plan
from loom.core.result import Checkpoint, Status
from loom.core.walk import Branch, Walk
from loom.errors import Change, CheckpointError, GraphChangedError, quoted
from loom.types.usage import Usage

# Any, in this module: parsed JSON, and field values, whose types are the user's.


@dataclass(slots=True)
class Past:
    """What the records taken in so far say of a run.

    `attempts` counts the failed attempts at the step that is due on a branch. `undecided` are branches
    whose step was recorded without a way on. `newly_due` are those made due by the last record.
    """

    plan: Plan
    run_id: str
    walk: Walk = field(init=False)
    usage: Usage = field(default_factory=Usage)
    attempts: dict[str, int] = field(default_factory=dict[str, int])
    undecided: dict[str, Branch] = field(default_factory=dict[str, Branch])
    newly_due: list[Branch] = field(default_factory=list[Branch])
    status: Status = "running"
    stop_reason: str | None = None

    def __post_init__(self) -> None:
        self.walk = Walk(self.plan)

    def take_all(self, journal: Journal) -> None:
        """Take in every record of a journal.

        Raises:
            CheckpointError: a record is damaged or out of order.
            GraphChangedError: a record names what the graph does not have.
        """
        for record in journal.records:
            self.take(decode(record, self.run_id))

    def take(self, record: Mapping[str, Any]) -> None:
        """Take in one record."""
        self.newly_due = []
        match record["kind"]:
            case "input":
                self.newly_due = self.walk.start(self._restore(record["values"]), self._targets(record["taken"]))
            case "step":
                self._take_step(record)
            case "taken":
                branch = self.undecided.pop(record["branch"])
                self.newly_due = self.walk.move(branch, self._targets(record["taken"]))
            case "attempt":
                self.attempts[record["branch"]] = record["attempt"]
                self._spend(record)
            case "resume":
                self.status, self.stop_reason = "running", None
            case _:  # "end": `decode` lets nothing else pass
                self.status, self.stop_reason = record["status"], record.get("reason")
                self.attempts.clear()

    def _take_step(self, record: Mapping[str, Any]) -> None:
        branch = self.walk.live.get(record["branch"])
        number = self._number(record["node"])
        if branch is None or branch.at != number or record["seq"] != self.walk.seq + 1:
            due = quoted(f"{self.plan.tasks[one.at].name}" for one in self.walk.due())
            raise CheckpointError(
                f'run "{self.run_id}" holds step {record["seq"]} of node "{record["node"]}" where '
                f"step {self.walk.seq + 1} of {due} was due"
            )
        self.attempts.pop(branch.id, None)
        self._spend(record)
        self.walk.absorb(branch, self._restore(record["writes"]))
        if record["taken"] is None:
            self.undecided[branch.id] = branch
        else:
            self.newly_due = self.walk.move(branch, self._targets(record["taken"]))

    def _spend(self, record: Mapping[str, Any]) -> None:
        if "usage" in record:
            self.usage += Usage.model_validate(record["usage"])

    def _restore(self, saved: Mapping[str, Any]) -> dict[str, Any]:
        fields = self.plan.fields
        for name in saved:
            if name not in fields:
                raise self._changed(name, "state", f'field "{name}"')
        try:
            return {name: fields[name].values.restore(value) for name, value in saved.items()}
        except ValueError as error:
            names = quoted(saved)
            raise CheckpointError(f'run "{self.run_id}" holds a write of {names} that does not fit: {error}') from None

    def _targets(self, names: Sequence[str]) -> tuple[int, ...]:
        return tuple(self._number(name) for name in names)

    def _number(self, name: str) -> int:
        if name not in self.plan.index:
            raise self._changed(name, "removed", f'node "{name}"')
        return self.plan.index[name]

    def _changed(self, name: str, what: Any, spoken: str) -> GraphChangedError:
        message = f'run "{self.run_id}" was begun with another form of graph "{self.plan.name}": it knew the {spoken}'
        return GraphChangedError(message, [Change(name, what)])


def points(plan: Plan, journal: Journal) -> list[Checkpoint]:
    """Return the saved points of a run, oldest first; the input is seq 0."""
    past = Past(plan, journal.run_id)
    found: list[Checkpoint] = []
    for record in journal.records:
        parsed = decode(record, journal.run_id)
        past.take(parsed)
        if parsed["kind"] in ("input", "step"):
            is_input = parsed["kind"] == "input"
            found.append(
                Checkpoint(
                    seq=past.walk.seq,
                    node=START if is_input else parsed["node"],
                    branch="" if is_input else parsed["branch"],
                    writes=parsed["values" if is_input else "writes"],
                    next=_due(past),
                    at=parsed["at"],
                    duration_s=parsed.get("s", 0.0),
                    attempt=parsed.get("attempt", 1),
                )
            )
        elif parsed["kind"] == "taken":
            found[-1] = replace(found[-1], next=_due(past))
    return found


def _due(past: Past) -> tuple[str, ...]:
    branches: Iterable[Branch] = past.walk.due()
    return tuple(past.plan.tasks[branch.at].name for branch in branches if branch.id not in past.undecided)


def past_at(plan: Plan, journal: Journal, seq: int | None) -> Past:
    """Return the walk as it was once step `seq` was saved; the newest if it is None.

    Raises:
        CheckpointError: the run has no such step.
    """
    past = Past(plan, journal.run_id)
    for record in journal.records:
        parsed = decode(record, journal.run_id)
        if seq is not None and parsed["kind"] == "step" and parsed["seq"] > seq:
            break
        past.take(parsed)
    if seq is not None and not 0 <= seq <= past.walk.seq:
        raise CheckpointError(f'run "{journal.run_id}" has no step {seq}; expected 0 to {past.walk.seq}')
    return past
