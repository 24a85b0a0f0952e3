"""A journal told as events: every event that can be replayed is worked out from the records alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from loom.core.journal import Journal, decode
from loom.core.plan import Plan
from loom.core.walk import Branch
from loom.runs.changes import past_of
from loom.runs.notes import branch_of, path_of
from loom.runs.past import Past
from loom.types.events import Event

# Any, in this module: parsed JSON.

Told = tuple[str, dict[str, Any]]


class Story:
    """The events of one run, record by record."""

    def __init__(self, plan: Plan, run_id: str) -> None:
        self._past = Past(plan, run_id)
        self._plan = plan
        self._run_id = run_id
        self._offset = 0

    def under(self, journal: Journal) -> None:
        """Tell the records under the state and the names that the journal knows."""
        self._past = past_of(self._plan, journal)

    def fresh(self) -> "Story":
        """Return the story of the same run, told from its beginning."""
        return Story(self._plan, self._run_id)

    def tell(self, record: Mapping[str, Any], already_told: int = 0) -> Iterator[Event]:
        """Yield the events of the next record; `already_told` of those its nodes emitted are left out."""
        at = record["at"]
        for emitted in record.get("events", ())[already_told:]:
            yield self.number(emitted)
        past = self._past.take(record)
        for kind, payload in self._happened(record, past):
            yield self.number({"type": kind, "payload": payload, "at": at})

    def number(self, saved: Mapping[str, Any]) -> Event:
        """Return the next event, given type, payload and time: with its offset and its place in the run."""
        self._offset += 1
        seq = self._past.totals.seq
        return Event(
            type=saved["type"],
            payload=saved["payload"],
            run_id=self._run_id,
            seq=seq,
            at=saved["at"],
            offset=self._offset,
        )

    def _happened(self, record: Mapping[str, Any], past: Past) -> Iterator[Told]:
        kind = record["kind"]
        where: dict[str, Any] = {}
        if "branch" in record:
            where["branch"] = branch_of(past.hops, record["branch"])
        if "node" in record:
            where["node"] = path_of(past.hops, record["node"])
        if kind == "resume" or (kind == "input" and not past.hops):
            yield "run.started", {"graph": self._plan.name, "resumed": kind == "resume"}
        elif kind == "step":
            yield "step.finished", where | _some(record, "attempt", "writes", "usage") | {"duration_s": record["s"]}
        elif kind == "attempt":
            yield "step.retried", where | _some(record, "attempt", "error")
        elif kind == "ask":
            names = ("id", "key", "question", "answer_type", "payload")
            yield "ask.opened", where | _some(record, *names) | {"kind": record["ask"]}
        elif kind == "answer":
            yield "ask.answered", _some(record, "id", "value")
        elif kind == "end":
            yield f"run.{record['status']}", where | _some(record, "reason", "error", "abandoned", "asks")
        source = record.get("node", "START" if kind == "input" else "")
        for target in record.get("taken") or ():
            branch = where.get("branch", branch_of(past.hops, ""))
            ends = {"source": path_of(past.hops, source), "target": path_of(past.hops, target)}
            yield "edge.taken", ends | {"branch": branch}
        if kind == "resume":
            yield from _resumed(past, [(node, branch) for node, branch in record.get("held", ())])
        else:
            held = record.get("held", ())
            yield from _started(past, [branch for branch in past.newly_due if branch.id not in held])


def _some(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: record[name] for name in names if name in record}


def _started(past: Past, branches: Sequence[Branch]) -> Iterator[Told]:
    for branch in branches:
        node, place = past.name_of(branch)
        yield "step.started", {"node": node, "branch": place}


def _resumed(past: Past, held: Sequence[tuple[str, str]]) -> Iterator[Told]:
    """Tell of every step that a resumed run takes up, those around inner graphs first."""
    for branch in past.walk.due():
        if branch.id in past.undecided or past.waits_for_answer(branch) or past.name_of(branch) in held:
            continue
        yield from _started(past, [branch])
        if branch.id in past.inner:
            yield from _resumed(past.inner[branch.id], held)


def told(plan: Plan, journal: Journal) -> list[Event]:
    """Return all that a journal tells."""
    story = Story(plan, journal.run_id)
    story.under(journal)
    return [event for record in journal.records for event in story.tell(decode(record, journal.run_id))]
