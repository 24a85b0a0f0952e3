"""The executor: the only place that awaits nodes.

It asks the walk what is due, runs it, has the record committed, and only then lets the successors
start. While one branch is alone it simply loops; a task group is opened for a fan-out and closed
when the branches have become one again.
"""

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import anyio
from anyio.abc import TaskGroup
from pydantic_core import from_json, to_json

from loom.core.context import Context
from loom.core.journal import Checkpointer, Claim, encode
from loom.core.live import Live
from loom.core.past import Past
from loom.core.plan import Plan, Task, Way
from loom.core.result import GraphResult, Status
from loom.core.runtime import NO_LIMITS, Runtime
from loom.core.state import state_from
from loom.core.walk import Branch
from loom.errors import LoomError, NodeError, NoEdgeError, RunError
from loom.types.events import Event
from loom.types.models import Model, ModelRef
from loom.types.tools import Tool
from loom.types.usage import Usage

# Any, in this module: what nodes return and write.


class Executor:
    """One walk of one run, from a claim to its end."""

    def __init__(self, plan: Plan, past: Past, store: Checkpointer, claim: Claim, runtime: Runtime, live: Live, due: list[Branch]) -> None:
        self.run_id = past.run_id
        self.tools: Mapping[str, Tool] = runtime.tools
        self.cancel_requested = False
        self._plan = plan
        self._past = past
        self._walk = past.walk
        self._store = store
        self._claim = claim
        self._runtime = runtime
        self._clock = runtime.clock
        self._limits = runtime.limits
        self._has_limits = runtime.limits != NO_LIMITS
        self._deadline = None if runtime.limits.deadline_s is None else runtime.clock() + runtime.limits.deadline_s
        self._live = live
        self._due = due
        self._begun = perf_counter()
        self._at_work: dict[str, Task] = {}
        self._attempts: dict[str, int] = {}
        self._failures: list[LoomError] = []
        self._stop_reason: str | None = None
        self._is_together = False
        self._alone: list[Branch] = []
        self._commits = anyio.Lock(fast_acquire=True)

    async def drive(self) -> GraphResult[Any]:
        """Walk on to the end, a stop or a failure. A walk that is over gives its result.

        Raises:
            NodeError: a node failed after its retries; siblings that failed too are notes on it.
            NoEdgeError: no way of a switch was open.
            RunConflictError: another owner took the run over.
            CheckpointError: the store failed.
        """
        try:
            due = await self._first()
            while due:
                due = await (self._alone_on(due[0]) if len(due) == 1 else self._together(due))
        except LoomError as error:
            self._failures.append(error)
        except anyio.get_cancelled_exc_class():
            abandoned = sorted(task.name for task in self._at_work.values() if task.is_thread)
            with anyio.CancelScope(shield=True):
                await self._end("cancelled", abandoned=abandoned or None)
            if self.cancel_requested:
                return self._result("cancelled")
            raise
        if self._failures:
            await self._fail()
        if self._stop_reason:
            await self._end("stopped", reason=self._stop_reason)
            return self._result("stopped")
        return self._result("completed")

    async def cancel(self) -> GraphResult[Any]:
        """End the run before anything starts."""
        await self._end("cancelled")
        return self._result("cancelled")

    # The walk itself.

    async def _first(self) -> list[Branch]:
        """Return what may start first: what is due, and what follows steps recorded without a way on."""
        due = self._due
        for branch in list(self._past.undecided.values()):
            due = due + await self._decide(branch)
        if not self._walk.live and self._past.status != "completed":
            await self._end("completed")
        return self._admit(due)

    async def _alone_on(self, branch: Branch) -> list[Branch]:
        """Follow the only live branch until it is over or fans out."""
        while True:
            due = await self._step(branch)
            if len(due) != 1:
                return due
            branch = due[0]

    async def _together(self, due: Sequence[Branch]) -> list[Branch]:
        """Follow several branches until one is left, or none."""
        self._alone = []
        self._is_together = True
        async with anyio.create_task_group() as group:
            for branch in due:
                group.start_soon(self._follow, branch, group)
        self._is_together = False
        return self._alone

    async def _follow(self, branch: Branch, group: TaskGroup) -> None:
        try:
            while due := await self._step(branch):
                if len(self._walk.live) == 1:
                    self._alone = due
                    return
                branch = due[0]
                for other in due[1:]:
                    group.start_soon(self._follow, other, group)
        except LoomError as error:
            self._failures.append(error)
            group.cancel_scope.cancel()

    async def _step(self, branch: Branch) -> list[Branch]:
        """Run the node that is due on a branch, save its record, return what may start next."""
        task = self._plan.tasks[branch.at]
        self._at_work[branch.id] = task
        begun = perf_counter()
        try:
            if task.is_plain and not self._past.attempts:
                writes, saved = task.settle(await task.invoke(branch.view, None))
                attempt, usage = 1, None
            else:
                writes, saved, attempt, usage = await self._try(branch, task)
        except Exception as error:  # noqa: BLE001 - a node may raise anything; it becomes a NodeError
            raise self._node_error(branch, task, error) from error
        finally:
            del self._at_work[branch.id]
        finished = _Finished(branch, task, writes, saved, attempt, usage, perf_counter() - begun)
        if not self._is_together:
            return await self._save(finished)
        async with self._commits:  # the order of records is the order in which the walk took them in
            return await self._save(finished)

    async def _try(self, branch: Branch, task: Task) -> tuple[dict[str, Any], bytes, int, Usage | None]:
        """Run a node under its policies: context, timeout, retries."""
        attempt = 1 + self._past.attempts.pop(branch.id, 0)
        while True:
            ctx = self._context(branch, task, attempt) if task.wants_context else None
            try:
                with anyio.move_on_after(task.timeout_s) as scope:
                    returned = await task.invoke(branch.view, ctx)
                if scope.cancelled_caught:
                    raise TimeoutError(f"it took longer than its timeout of {task.timeout_s:g} s")
                writes, saved = task.settle(returned)
            except Exception as error:
                if ctx:
                    self._past.usage += ctx.usage
                self._attempts[branch.id] = attempt
                retry = task.retry
                if retry is None or attempt >= retry.max_attempts or not isinstance(error, retry.on):
                    raise
                await self._save_attempt(branch, task, attempt, error, ctx.usage if ctx else None)
                await anyio.sleep(retry.pause_s(attempt))
                attempt += 1
            else:
                if ctx:
                    self._past.usage += ctx.usage
                return writes, saved, attempt, ctx.usage if ctx and ctx.usage.total_tokens else None

    def _context(self, branch: Branch, task: Task, attempt: int) -> Context:
        visit = self._walk.visits[branch.at] + 1
        return Context(self, task.name, branch=branch.id, visit=visit, attempt=attempt, deadline=self._deadline)

    def _node_error(self, branch: Branch, task: Task, error: Exception) -> NodeError:
        attempt, step = self._attempts.get(branch.id, 1), self._walk.seq + 1
        where = f'run "{self.run_id}", node "{task.name}", step {step}, attempt {attempt}'
        message = f"{where}: {type(error).__name__}: {error}"
        return NodeError(message, run_id=self.run_id, node=task.name, step=step, attempt=attempt)

    # Saving: a record is committed before any successor starts.

    async def _save(self, finished: "_Finished") -> list[Branch]:
        """Take a finished step into the walk, commit its record, return what may start next."""
        branch, task, walk = finished.branch, finished.task, self._walk
        walk.absorb(branch, finished.writes)
        seq, branch_id = walk.seq, branch.id
        try:
            way = self._choose(task.name, task.ways, branch)
        except RunError:
            await self._append([self._record(finished, seq, branch_id, b"null", b"")])
            raise
        due = walk.move(branch, way.targets)
        admitted = self._admit(due)
        held = b"" if admitted is due else b',"held":%d' % (len(due) - len(admitted))
        record = self._record(finished, seq, branch_id, way.taken, held)
        if walk.live:
            await self._append((record,))
        else:
            await self._append((record, self._end_record("completed")), "completed")
        return admitted

    def _record(self, finished: "_Finished", seq: int, branch_id: str, taken: bytes, extra: bytes) -> bytes:
        if finished.usage:
            extra += b',"usage":' + finished.usage.model_dump_json().encode()
        if self._live.emitted:
            extra += b',"events":' + self._emitted()
        return b'%b%b,"seq":%d,"attempt":%d,"at":%.6f,"s":%.6f,"writes":%b,"taken":%b%b}' % (
            finished.task.opening,
            to_json(branch_id) if branch_id else b'""',
            seq,
            finished.attempt,
            self._clock(),
            finished.duration_s,
            finished.saved,
            taken,
            extra,
        )

    def _emitted(self) -> bytes:
        return to_json([{"type": e.type, "payload": e.payload, "at": e.at} for e in self._live.emitted])

    async def _save_attempt(
        self, branch: Branch, task: Task, attempt: int, error: Exception, usage: Usage | None
    ) -> None:
        record = {"kind": "attempt", "node": task.name, "branch": branch.id, "attempt": attempt, "at": self._clock()}
        record["error"] = f"{type(error).__name__}: {error}"
        if usage and usage.total_tokens:
            record["usage"] = usage.model_dump()
        async with self._commits:
            if self._live.emitted:
                record["events"] = from_json(self._emitted())
            await self._append([encode(record)])

    async def _append(self, records: Sequence[bytes], status: Status = "running") -> None:
        await self._store.append(self._claim, records, status)
        if self._live.readers or self._live.emitted:
            self._live.saved(self._claim.head)
        else:
            self._live.head = self._claim.head

    def _end_record(self, status: Status, **more: Any) -> bytes:
        record = {"kind": "end", "status": status, "at": self._clock(), **more}
        return encode({name: value for name, value in record.items() if value is not None})

    async def _end(self, status: Status, **more: Any) -> None:
        await self._append([self._end_record(status, **more)], status)

    async def _fail(self) -> None:
        """Save how the run failed, then raise it; failures of siblings are notes."""
        first, *others = self._failures
        for other in others:
            first.add_note(f"A sibling branch failed too: {other}")
        if isinstance(first, (NodeError, NoEdgeError)):
            await self._end("failed", error=str(first), node=first.node)
        raise first

    # Ways on, and whether to go on.

    def _choose(self, name: str, ways: Sequence[Way], branch: Branch) -> Way:
        for way in ways:
            if way.holds is None:
                return way
            try:
                if way.holds(branch.view):
                    return way
            except Exception as error:
                message = (
                    f'run "{self.run_id}", node "{name}": the condition "{way.label}" of its switch raised '
                    f"{type(error).__name__}: {error}"
                )
                raise NodeError(message, run_id=self.run_id, node=name, step=self._walk.seq, attempt=1) from error
        tried = ", ".join(f'"{way.label}"' for way in ways)
        raise NoEdgeError(
            f'run "{self.run_id}", node "{name}": no condition of its switch holds ({tried}) and it has no otherwise',
            node=name,
        )

    async def _decide(self, branch: Branch) -> list[Branch]:
        """Choose the way on from a step that was recorded without one."""
        task = self._plan.tasks[branch.at]
        way = self._choose(task.name, task.ways, branch)
        record = b'{"kind":"taken","branch":%b,"at":%.6f,"taken":%b}' % (to_json(branch.id), self._clock(), way.taken)
        del self._past.undecided[branch.id]
        due = self._walk.move(branch, way.targets)
        await self._append([record])
        return due

    def _admit(self, due: list[Branch]) -> list[Branch]:
        """Return those of the due branches that the limits let start; note the limit that was met."""
        if not due or not self._has_limits:
            return due
        limits, usage = self._limits, self._past.usage
        if limits.max_tokens is not None and usage.total_tokens >= limits.max_tokens:
            self._stop_reason = "max_tokens"
        elif limits.max_cost_usd is not None and (usage.cost_usd or 0) >= limits.max_cost_usd:
            self._stop_reason = "max_cost"
        elif self._deadline is not None and self._clock() >= self._deadline:
            self._stop_reason = "deadline"
        if self._stop_reason:
            return []
        if limits.max_steps is not None:
            room = limits.max_steps - self._walk.seq - len(self._at_work)
            if room < len(due):
                self._stop_reason = "max_steps"
                return due[: max(room, 0)]
        return due

    # What a running node can reach.

    def model(self, ref: ModelRef) -> Model:
        """Return the model of the runtime for `ref`, else the provider's client."""
        models = self._runtime.models
        if isinstance(models, Mapping):
            if ref.identifier in models:
                return models[ref.identifier]
        elif models is not None:
            return models
        from loom.models.litellm import client  # noqa: PLC0415 - optional and heavy, loaded on first use

        return client(ref)

    def emit(self, event: Event) -> None:
        """Show an event, and save it with the next record."""
        self._live.emit(event.model_copy(update={"at": self._clock()}))

    def emit_live(self, event: Event) -> None:
        """Show an event to those who read now."""
        self._live.show(event.model_copy(update={"at": self._clock(), "run_id": self.run_id, "seq": self._walk.seq}))

    def _result(self, status: Status) -> GraphResult[Any]:
        return GraphResult(
            run_id=self.run_id,
            status=status,
            state=state_from(self._plan.state, self._walk.view()),
            steps=self._walk.seq,
            usage=self._past.usage,
            stop_reason=self._stop_reason,
            duration_s=perf_counter() - self._begun,
        )


class _Finished(NamedTuple):
    """A step whose node has returned and whose record is not saved yet."""

    branch: Branch
    task: Task
    writes: dict[str, Any]
    saved: bytes
    attempt: int
    usage: Usage | None
    duration_s: float
