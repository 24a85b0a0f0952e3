"""What is known of a run beside its walk: notes of steps under way, totals, where a node stands."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from loom.core.result import Ask, Status
from loom.errors import AnswerError
from loom.types.usage import Usage

# Any, in this module: parsed JSON.

Hops = tuple[tuple[str, str], ...]
"""The way into an inner graph: the branch and the node of each graph around it, from the outside."""


@dataclass(slots=True)
class Effect:
    """One `ctx.once` of a step: in doubt while it has an intent and neither a result nor an error.

    `result` is JSON. `id` is the idempotency key, kept so that no change of the graph changes it.
    """

    state: Literal["in_doubt", "done", "failed"] = "in_doubt"
    result: bytes = b"null"
    intents: int = 0
    id: str = ""


@dataclass(slots=True)
class Notes:
    """What was journaled of a step that is not finished. `asks` and `effects` are by key."""

    attempts: int = 0
    asks: dict[str, Ask] = field(default_factory=dict[str, Ask])
    effects: dict[str, Effect] = field(default_factory=dict[str, Effect])
    times: list[float] = field(default_factory=list[float])


NOTHING = Usage()


def _nothing() -> Usage:
    return NOTHING


@dataclass(slots=True)
class Totals:
    """What counts over a whole run, inner graphs included. `answers` are by the ask's id.

    `refused` are the answers, since the run was taken up, that their types refused when their nodes came to them.
    """

    seq: int = 0
    usage: Usage = field(default_factory=_nothing)
    status: Status = "running"
    stop_reason: str | None = None
    open_asks: dict[str, Ask] = field(default_factory=dict[str, Ask])
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    refused: list[AnswerError] = field(default_factory=list[AnswerError])

    def asked(self, ask: Ask) -> None:
        """Note that an ask is open. Where it was before, its answer was refused."""
        self.open_asks[ask.id] = ask
        self.answers.pop(ask.id, None)

    def answered(self, ask_id: str, value: Any) -> None:
        """Note what was answered."""
        self.answers[ask_id] = value
        self.open_asks.pop(ask_id, None)

    def waiting(self) -> list[Ask]:
        """Return the open asks, branch by branch, those of one branch as they were asked."""
        return sorted(self.open_asks.values(), key=lambda ask: _numbered(ask.branch))


def ask_of(record: Mapping[str, Any], hops: Hops) -> Ask:
    """Return the ask that a record holds."""
    return Ask(
        id=record["id"],
        kind=record["ask"],
        key=record["key"],
        question=record["question"],
        node=path_of(hops, record["node"]),
        branch=branch_of(hops, record["branch"]),
        answer_type=record["answer_type"],
        payload=record["payload"],
    )


def open_asks(records: Iterable[Mapping[str, Any]]) -> list[Ask]:
    """Return the asks that a run's records, from the first one on, leave open."""
    totals = Totals()
    for record in records:
        if record["kind"] == "ask":
            totals.asked(ask_of(record, tuple(record.get("in", ()))))
        elif record["kind"] == "answer":
            totals.answered(record["id"], record["value"])
    return totals.waiting()


def _numbered(branch: str) -> list[str | int]:
    """Return a key that sorts branch 2 before branch 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", branch)]


def path_of(hops: Hops, node: str) -> str:
    """Return a node's name with those of the inner graphs that it stands in: `inner/name`."""
    return "/".join([name for _, name in hops] + [node]) if hops else node


def branch_of(hops: Hops, branch: str) -> str:
    """Return a branch's id after those of the branches that its graph stands in; trunks are left out."""
    return "/".join(part for part in [outer for outer, _ in hops] + [branch] if part) if hops else branch


def renames_inside(rename: Mapping[str, str] | None, node: str) -> Mapping[str, str] | None:
    """Return the renames, by path, of those nodes that stand in the inner graph of a node."""
    if rename is None:
        return None
    paths = [(old.partition("/"), new.partition("/")) for old, new in rename.items()]
    return {old[2]: new[2] for old, new in paths if old[0] == node and old[2]}
