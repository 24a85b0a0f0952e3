"""A journal told as events: every event that can be replayed is worked out from the records alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from loom.core.past import Past
from loom.core.plan import Plan
from loom.core.walk import Branch
from loom.types.events import Event

# Any, in this module: parsed JSON.


class Story:
    """The events of one run, record by record."""

    def __init__(self, plan: Plan, run_id: str) -> None:
        self._past = Past(plan, run_id)
        self._plan = plan
        self._run_id = run_id
        self._offset = 0

    def fresh(self) -> "Story":
        """Return the story of the same run, told from its beginning."""
        return Story(self._plan, self._run_id)

    def tell(self, record: Mapping[str, Any], already_told: int = 0) -> Iterator[Event]:
        """Yield the events of the next record; `already_told` of those its nodes emitted are left out."""
        at = record["at"]
        for emitted in record.get("events", ())[already_told:]:
            yield self.number(Event(type=emitted["type"], payload=emitted["payload"], at=emitted["at"]))
        branch = self._past.walk.live.get(record.get("branch", ""))
        source = self._plan.tasks[branch.at].name if branch and branch.at >= 0 else "START"
        self._past.take(record)
        for kind, payload in self._happened(record, source):
            yield self.number(Event(type=kind, payload=payload, at=at))

    def number(self, event: Event) -> Event:
        """Give an event the next offset and its place in the run."""
        self._offset += 1
        return event.model_copy(
            update={"offset": self._offset, "run_id": self._run_id, "seq": self._past.walk.seq}
        )

    def _happened(self, record: Mapping[str, Any], source: str) -> Iterator[tuple[str, dict[str, Any]]]:
        kind = record["kind"]
        if kind in ("input", "resume"):
            yield "run.started", {"graph": self._plan.name, "resumed": kind == "resume"}
        elif kind == "step":
            names = ("node", "branch", "attempt", "writes")
            payload = {name: record[name] for name in names} | {"duration_s": record["s"]}
            yield "step.finished", payload | ({"usage": record["usage"]} if "usage" in record else {})
        elif kind == "attempt":
            yield "step.retried", {name: record[name] for name in ("node", "branch", "attempt", "error")}
        elif kind == "end":
            names = ("reason", "error", "node", "abandoned")
            yield f"run.{record['status']}", {name: record[name] for name in names if name in record}
        for target in record.get("taken") or ():
            yield "edge.taken", {"source": source, "target": target, "branch": record.get("branch", "")}
        if kind == "resume":
            yield from self._started(self._past.walk.due())
        else:
            due = self._past.newly_due
            yield from self._started(due[: len(due) - record.get("held", 0)])

    def _started(self, branches: list[Branch]) -> Iterator[tuple[str, dict[str, Any]]]:
        for branch in branches:
            if branch.id not in self._past.undecided:
                yield "step.started", {"node": self._plan.tasks[branch.at].name, "branch": branch.id}
