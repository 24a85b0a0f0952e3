"""A run as a journal: what its records hold, and what a store must promise.

A run is a header and a list of records, numbered by their index without gaps. A record is one line
of JSON with a `kind`:

    input    at, values, taken, held?                  the run begins; seq 0, node START
    step     seq, node, branch, attempt, at, s, writes, taken, held?, usage?
    attempt  node, branch, attempt, at, error, usage?  a node failed and is tried again
    taken    node, branch, at, taken, held?             a way chosen after its step was recorded
    intent   node, branch, key, id?, at                `ctx.once` is about to call what writes; in a fork no id
    effect   node, branch, key, at, result | error     the function returned, or raised
    ask      node, branch, id, key, ask, question, answer_type, payload, at
    answer   id, value, at
    set      at, values                                fields replaced by a fork
    migrated at, state, values                         what follows is under a newer version of the state
    resume   at, passes?, held?, changed?              the run was taken up again
    end      status, at, reason?, error?, node?, abandoned?, asks?, usage?
                                                       the run ended, or this walk of it

`writes` are as the node wrote them, `taken` names the targets that follow, `held` names the branches
that did not start. With `passes` a resume went past breakpoints; `changed` names the form of the graph
that the run goes on under, and what nodes were called before. Any record may have `events`, those that
nodes emitted since the record before, and those of a step `times`, what `ctx.now()` gave to the node.
Records of an inner graph have `in`: the branches and nodes that lead to it, from the outside. Unknown
kinds are refused, so a journal written by a newer version is never read half.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

from pydantic_core import from_json, to_json

from loom.core.result import RunInfo, Status
from loom.errors import CheckpointError

# Any, in this module: parsed JSON.

FORMAT = 1
KINDS = frozenset(
    ("input", "step", "attempt", "taken", "intent", "effect", "ask", "answer", "set", "migrated", "resume", "end")
)


@dataclass(slots=True)
class Claim:
    """The right to append to a run. `head` is the index that the next record gets."""

    run_id: str
    token: int
    head: int


def new_token() -> int:
    """Return where the tokens of a new run begin: elsewhere than those of an earlier run of the same id."""
    return int.from_bytes(os.urandom(5))


@dataclass(frozen=True, slots=True)
class Journal:
    """A run as stored: the header, its records from index `start` on, and how it stands.

    `snapshot` is the walk as it was before the first of these records, when it was asked for.
    """

    run_id: str
    header: bytes
    records: Sequence[bytes]
    status: Status
    start: int = 0
    snapshot: bytes | None = None

    @property
    def head(self) -> int:
        """The index that the next record gets."""
        return self.start + len(self.records)


@runtime_checkable
class Checkpointer(Protocol):
    """A store of journals. Every method is atomic: all of it is committed, or none.

    Every failure of storage is a `CheckpointError`; no committed record is lost by one. A claim is a
    lease: it lasts `lease_s` seconds, is renewed by the store while it is held, and ends with its
    process. Nothing needs to be opened, and a store may be made before any event loop runs.
    """

    async def create(
        self, run_id: str, graph: str, header: bytes, records: Sequence[bytes], *, parent: str | None = None
    ) -> Claim:
        """Begin a run of the graph of this name and claim it, in one commit.

        `parent` is the run it was forked from. An existing id is `RunExistsError`.
        """
        ...

    async def claim(self, run_id: str, head: int, records: Sequence[bytes]) -> Claim:
        """Take the run over and append records, in one commit; an older claim can append no more.

        `head` is the number of records that the taker knows. If there are others by now, or another
        owner's claim is alive, it is `RunConflictError`.
        """
        ...

    async def append(
        self, claim: Claim, records: Sequence[bytes], status: Status = "running", snapshot: bytes | None = None
    ) -> None:
        """Add records at `claim.head` and advance it.

        Any status but `running` gives the claim back in the same commit. A `snapshot` is the walk
        after these records and replaces an older one. A claim that was taken over is
        `RunConflictError`, and nothing is added. What was called is carried out even if the caller is
        cancelled meanwhile, so that a finished step is kept, and `claim.head` tells the truth.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Give a claim back without an end: the run stays as it is and can be resumed at once."""
        ...

    async def read(self, run_id: str, start: int = 0, *, from_snapshot: bool = False) -> Journal:
        """Return the run with its records from index `start` on; needs no claim.

        With `from_snapshot` it starts at the newest snapshot, if there is one.
        """
        ...

    async def runs(self, *, status: Status | None = None, graph: str | None = None) -> list[RunInfo]:
        """List runs, the newest first."""
        ...

    async def delete(self, run_id: str) -> None:
        """Remove a run and all its records. One that is at work is `RunConflictError`."""
        ...

    async def close(self) -> None:
        """Give back what the store holds open. Calling it again does nothing."""
        ...


def encode(record: dict[str, Any]) -> bytes:
    """Return a record as one line of JSON. A lone surrogate, as errors quote of file names, becomes a question mark."""
    try:
        return to_json(record)
    except ValueError:
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def decode(record: bytes, run_id: str) -> dict[str, Any]:
    """Parse a record.

    Raises:
        CheckpointError: it is no JSON object, or of a kind that this version does not know.
    """
    try:
        parsed: Any = from_json(record)
    except ValueError as error:
        raise CheckpointError(f'run "{run_id}" holds a record that is not JSON: {error}') from None
    found = cast(dict[str, Any], parsed) if isinstance(parsed, dict) else {"kind": type(parsed).__name__}
    kind = found.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise CheckpointError(
            f'run "{run_id}" holds a record of kind "{kind}"; expected one of {", ".join(sorted(KINDS))}. '
            "It was written by a newer version, or damaged"
        )
    return found
