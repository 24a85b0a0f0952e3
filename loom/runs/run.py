"""One run under way: what its walkers share, whichever graph inside it they walk."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from threading import get_ident
from time import perf_counter
from typing import Any, TypeVar

import anyio
from pydantic_core import from_json, to_json, to_jsonable_python

from loom.core.journal import Checkpointer, Claim, Journal, encode
from loom.core.plan import Plan
from loom.core.result import Status
from loom.core.runtime import NO_LIMITS, Runtime
from loom.core.walk import Branch
from loom.errors import LoomError
from loom.runs.live import Live
from loom.runs.notes import NOTHING, Totals
from loom.runs.secrets import secrets_of
from loom.runs.turns import Turns
from loom.types.events import Event
from loom.types.models import Model, ModelRef
from loom.types.saving import SURE, refuse_unreadable
from loom.types.tools import Tool

# Any, in this module: JSON of records.

Told = TypeVar("Told")

# What is replayed in less time than a snapshot would take.
_FEW_RECORDS = 32
_FEW_BYTES = 16_384


class Run:
    """A run, once it is claimed: its totals, its limits, and the one place that appends to its journal.

    `emitted` are the events that wait for the next record, as JSON.
    """

    def __init__(self, run_id: str, totals: Totals, store: Checkpointer, runtime: Runtime, live: Live) -> None:
        self.run_id = run_id
        self.totals = totals
        self.clock = runtime.clock
        self.tools: Mapping[str, Tool] = runtime.tools
        self.resources: Mapping[str, Any] = runtime.resources
        self.deadline = None if runtime.limits.deadline_s is None else runtime.clock() + runtime.limits.deadline_s
        self.grace_s = runtime.limits.grace_s
        self.scope: anyio.CancelScope | None = None
        self.admitted = 0
        self.abandoned: list[str] = []
        self.unsaved_usage = NOTHING
        self.store_failure: LoomError | None = None
        self.stop_reason: str | None = None
        self.is_paused = False
        self.together = 0
        self._begun = perf_counter()
        self._store = store
        self._claim = Claim(run_id, token=0, head=0)
        self.is_claimed = False
        self._records = self._grown = self._snapshot = 0
        self._live = live
        self.emitted = live.emitted
        self._models = runtime.models
        self.secrets = secrets_of(runtime.secrets)
        self.has_secrets = bool(runtime.secrets)
        self.is_strict = runtime.strict
        self._limits = runtime.limits
        self.has_limits = runtime.limits is not NO_LIMITS and runtime.limits != NO_LIMITS

    def claimed(self, claim: Claim) -> None:
        """Say that the run may be appended to."""
        self._claim, self.is_claimed = claim, True
        self._live.head = claim.head

    @cached_property
    def turns(self) -> Turns:
        """Whose turn it is to save, while several are at work."""
        return Turns()

    @cached_property
    def home(self) -> tuple[asyncio.AbstractEventLoop, int]:
        """The event loop of the run, and its thread. It is first asked for there, before a node gets a context."""
        return asyncio.get_running_loop(), get_ident()

    @property
    def is_cancelled(self) -> bool:
        """Tell whether someone asked for the run to end."""
        return self.scope is not None and self.scope.cancel_called

    @property
    def duration_s(self) -> float:
        """Seconds since this call of `run` or `resume` began."""
        return perf_counter() - self._begun

    async def append(self, records: Sequence[bytes], status: Status = "running", snapshot: bytes | None = None) -> None:
        """Commit records. Callers beside others take their turn."""
        if self.has_secrets:
            records = [self.secrets.clean_record(record) for record in records]
        claim, live = self._claim, self._live
        live.head = head = claim.head + len(records)
        if self.emitted:  # they are in these records
            self.emitted.clear()
        try:
            await self._store.append(claim, records, status, snapshot)
        except LoomError as error:
            self.store_failure = error
            raise
        finally:  # also when the caller was cancelled while it was committed
            self.is_claimed = claim.head != head or status == "running"
            if live.readers:
                live.wake()

    async def release(self) -> None:
        """Give the claim back, if no end did, so that the run can be resumed at once."""
        if self.is_claimed:
            self.is_claimed = False
            with anyio.CancelScope(shield=True):
                await self._store.release(self._claim)

    def snapshot_due(self, grown: int) -> bool:
        """Tell whether the journal has outgrown the last snapshot, after a record more of `grown` bytes."""
        self._records += 1
        self._grown += grown
        is_much = self._records >= _FEW_RECORDS or self._grown >= _FEW_BYTES
        return is_much and self._grown > self._snapshot

    def snapshot_taken(self, size: int) -> None:
        """Count anew, until the journal has grown by as much as the snapshot holds."""
        self._records, self._grown, self._snapshot = 0, 0, size

    def taken_up(self, journal: Journal) -> None:
        """Count on from what the journal has grown by since its last snapshot."""
        self.snapshot_taken(len(journal.snapshot or b""))
        self._records, self._grown = len(journal.records), sum(map(len, journal.records))

    async def note(self, record: dict[str, Any], more: bytes = b"") -> None:
        """Commit one record of a step that is not finished; `more` is a further part of it, as JSON."""
        async with self.turns:
            record["at"] = self.clock()
            await self.append([encode(record)[:-1] + more + self.emitted_part() + b"}"])

    def end_record(self, status: Status, **more: Any) -> bytes:
        """Return the record that ends the run, or this walk of it."""
        if not more:
            return b'{"kind":"end","status":"%b","at":%.4f}' % (status.encode(), self.clock())
        record = {"kind": "end", "status": status, "at": self.clock(), **more}
        return encode({name: value for name, value in record.items() if value is not None})

    async def end(self, status: Status, **more: Any) -> None:
        """Commit the end of the run, or of this walk of it."""
        if self.abandoned:
            more["abandoned"] = sorted(self.abandoned)
        if self.unsaved_usage.total_tokens:
            more["usage"] = self.unsaved_usage.model_dump()
        async with self.turns:  # a node may have left behind what is saving still
            if self.emitted:
                more["events"] = from_json(b"[%b]" % b",".join(self.emitted))
            await self.append([self.end_record(status, **more)], status)

    def emitted_part(self) -> bytes:
        """Return the events that wait for the next record, as a part of its JSON; empty if there are none."""
        return b',"events":[%b]' % b",".join(self.emitted) if self.emitted else b""

    def admit(self, due: list[Branch], plan: Plan) -> list[Branch]:
        """Return those of the due branches that may start now: no breakpoint, limit or end of the run holds them.

        A graph inside a node may: the steps in it are counted by themselves, and that of the node when they are over.
        """
        if self.stop_reason or self.is_cancelled:
            return []
        admitted = [branch for branch in due if not branch.is_held]
        if len(admitted) < len(due):
            self.is_paused = True
        steps = [branch for branch in admitted if not plan.tasks[branch.at].inner]
        room = self.room(len(steps))
        self.admitted += room
        refused = steps[room:]
        return [branch for branch in admitted if branch not in refused] if refused else admitted

    def is_spent(self) -> bool:
        """Tell whether nothing may be begun any more, by what was used or by the time; note the limit that was met."""
        limits, usage = self._limits, self.totals.usage
        if limits.max_tokens is not None and usage.total_tokens >= limits.max_tokens:
            reason = "max_tokens"
        elif limits.max_cost_usd is not None and (usage.cost_usd is None or usage.cost_usd >= limits.max_cost_usd):
            reason = "unknown_cost" if usage.cost_usd is None else "max_cost"
        elif self.deadline is not None and self.clock() >= self.deadline:
            reason = "deadline"
        else:
            return False
        self.stop_reason = self.stop_reason or reason
        return True

    async def rests(self, pause_s: float) -> bool:
        """Wait between two attempts of a node; tell whether the limits let there be another."""
        left_s = pause_s if self.deadline is None else self.deadline - self.clock()
        if not self.is_spent():
            await anyio.sleep(min(pause_s, left_s))
        return not self.is_spent()

    def room(self, wanted: int) -> int:
        """Return how many of the wanted steps the limits let start; note the limit that was met."""
        if not self.has_limits or not wanted:
            return wanted
        if self.is_spent() or self.stop_reason:
            return 0
        if self._limits.max_steps is not None:
            room = max(self._limits.max_steps - self.totals.seq - self.admitted, 0)
            if room < wanted:
                self.stop_reason = "max_steps"
                return room
        return wanted

    # What a running node can reach.

    def model(self, ref: ModelRef) -> Model:
        """Return the model of the runtime for `ref`, else the provider's client."""
        models = self._models
        if isinstance(models, Mapping):
            if ref.identifier in models:
                return models[ref.identifier]
        elif models is not None:
            return models
        from loom.models.litellm import client  # noqa: PLC0415 - optional and heavy, loaded on first use

        return client(ref)

    def emit(self, event: Event) -> None:
        """Show an event, and save it with the next record. It is shown as it will be read back.

        Raises:
            LoomError: its payload cannot be saved, or not be read back.
        """
        kind, payload = event.type, event.payload
        try:
            if self.has_secrets:
                kind, payload = self.secrets.clean([kind, from_json(to_json(payload))])
            saved = to_json({"type": kind, "payload": payload, "at": self.clock()})
            if len(saved) > SURE:
                refuse_unreadable(saved)
        except ValueError as error:  # PydanticSerializationError is one
            raise LoomError(f'the event "{event.type}" has a payload that cannot be saved: {error}') from None
        self._at_home(self._live.emit, saved)

    def emit_live(self, event: Event) -> None:
        """Show an event to those who read now. Half a character may come in one piece of a text, the rest in the next.

        Raises:
            LoomError: its payload is no JSON.
        """
        try:
            payload = to_jsonable_python(event.payload, inf_nan_mode="null")
        except ValueError as error:
            raise LoomError(f'the event "{event.type}" has a payload that is no JSON: {error}') from None
        kind, payload = self.secrets.clean([event.type, payload])
        seq, at = self.totals.seq, self.clock()
        self._at_home(self._live.show, Event(type=kind, payload=payload, run_id=self.run_id, seq=seq, at=at))

    def _at_home(self, tell: Callable[[Told], None], told: Told) -> None:
        """Tell something in the thread of the run: a node that is a plain function, or a tool, is in another."""
        loop, thread = self.home
        if get_ident() == thread:
            tell(told)
        else:
            loop.call_soon_threadsafe(tell, told)


# Before that a task group of asyncio leaves the trace of a cancellation when one of its tasks fails.
_TRACES_ARE_OF_CANCELLATIONS = sys.version_info >= (3, 13)


def asked_to_end() -> Callable[[], bool]:
    """Return how to tell whether someone cancels this task from now on, also if a node swallows that.

    Where nobody can tell, it tells nothing.
    """
    task = asyncio.current_task() if _TRACES_ARE_OF_CANCELLATIONS else None
    if task is None:
        return lambda: False
    before = task.cancelling()
    return lambda: task.cancelling() > before
