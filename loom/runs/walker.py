"""A walker: awaits the nodes of one graph, as its walk says what is due.

It runs what is due, has the record committed, and only then lets the successors start. While one
branch is alone it simply loops; a task group is opened for a fan-out and closed when the branches have
become one again. A graph inside a node gets a walker of its own, over the same run.
"""

import asyncio
from collections.abc import Sequence
from random import random
from time import perf_counter
from typing import Any

import anyio
from pydantic_core import from_json, to_json

from loom.core.binding import View
from loom.core.branches import OPENED_BY_START
from loom.core.plan import Inner, Task, Way
from loom.core.runtime import Retry
from loom.core.walk import Branch
from loom.errors import (
    EffectError,
    LoomError,
    NodeError,
    NoEdgeError,
    RunError,
    error_text,
)
from loom.runs.crew import Crew
from loom.runs.desk import Desk, Paused
from loom.runs.inputs import values_from
from loom.runs.notes import NOTHING, path_of
from loom.runs.opening import held_part, input_record
from loom.runs.past import Past
from loom.runs.run import Run, asked_to_end
from loom.runs.strict import as_saved, refuse_lossy, refuse_touched
from loom.runs.ways import chosen_way
from loom.types.usage import Usage

# Any, in this module: what nodes return and write.

# A step whose node has returned: its branch and task, the JSON it wrote, attempt, usage, duration in seconds.
_Finished = tuple[Branch, Task, bytes, int, Usage | None, float]


class Walker:
    """Walks one graph of a run: the whole, or one inside a node. `place` tells the visit it is for."""

    def __init__(self, run: Run, past: Past, *, place: str) -> None:
        self._run = run
        self._past = past
        self._plan = past.plan
        self._walk = past.walk
        self._place = place
        self._is_top = not past.hops
        self._in = b"" if self._is_top else b',"in":' + to_json(past.hops)
        self._admits_all = not (run.has_limits or past.plan.pause_before or past.plan.pause_after)
        self._crew: Crew | None = None

    async def walk_on(self) -> None:
        """Walk until nothing may start any more: the graph is over, or waits, or the run stops."""
        self.is_asked_to_end = asked_to_end()
        due, self._past.opening = self._past.opening, []
        if self._past.undecided:
            due += await self._decide_all()
        while due:
            due = await (self._alone_on(due[0]) if len(due) == 1 else self._together(due))

    async def _decide_all(self) -> list[Branch]:
        """Return what may start after steps that were recorded without a way on."""
        due: list[Branch] = []
        for branch in sorted(self._past.undecided.values(), key=lambda one: one.place):
            due += await self._decide(branch)
        return due

    async def _alone_on(self, branch: Branch) -> list[Branch]:
        """Follow the only branch at work until it is over or fans out."""
        while True:
            due = await self._step(branch)
            if len(due) != 1:
                return due
            branch = due[0]

    async def _together(self, due: Sequence[Branch]) -> list[Branch]:
        """Follow several branches until one is left, or none."""
        self._run.together += 1
        self._crew = Crew(self._step, lambda: len(self._walk.live) == 1)
        try:
            return await self._crew.follow(due)
        finally:
            self._crew = None
            self._run.together -= 1

    async def _step(self, branch: Branch) -> list[Branch]:
        """Run the node that is due on a branch, save its record, return what may start next."""
        task, run = self._plan.tasks[branch.at], self._run
        begun = perf_counter()
        attempt, usage = 1, None
        before = as_saved(branch.view, self._plan.fields) if run.is_strict else None
        try:
            if task.is_plain and not self._past.notes:
                writes, saved = task.settle(await task.invoke(branch.view, None))
            elif task.inner:
                if (ended := await self._inside(branch, task, task.inner)) is None:
                    return self._left()
                writes, saved = ended
            else:
                writes, saved, attempt, usage = await self._try(branch, task)
            if before is not None:
                refuse_touched(task.name, before, branch.view, self._plan.fields)
                refuse_lossy(task.name, writes, self._plan.fields)
        except Paused:
            run.is_paused = True
            return self._left()
        except (Exception, asyncio.CancelledError) as error:
            if error is run.store_failure or (task.inner and isinstance(error, (NodeError, NoEdgeError))):
                raise  # not of this node, but of the store or of a node of the graph inside
            self._let_cancelled_pass(error, task)
            raise self._node_error(branch, task, error) from error
        if run.has_secrets and (clean := run.secrets.clean_fields(saved)) != saved:
            writes, saved = self._past.restore(from_json(clean)), clean
        finished = (branch, task, saved, attempt, usage, perf_counter() - begun)
        if not run.together:
            return await self._save(finished, writes)
        async with run.turns:
            return await self._save(finished, writes)

    def _left(self) -> list[Branch]:
        """Say that a step was begun and is not finished."""
        self._run.admitted -= 1
        return []

    def _let_cancelled_pass(self, error: BaseException, task: Task) -> None:
        """Raise a cancellation on. One that nobody asked for is a failure of the node, as any error."""
        current = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and current and current.cancelling():
            if task.is_thread:
                self._run.abandoned.append(path_of(self._past.hops, task.name))
            raise error

    async def _inside(self, branch: Branch, task: Task, inner: Inner) -> tuple[dict[str, Any], bytes] | None:
        """Walk the graph inside a node; return its writes, or None if it is not over."""
        past = self._past.inner.get(branch.id)
        if past is None:
            hops = (*self._past.hops, (branch.id, task.name))
            past = Past(inner.plan, self._run.run_id, self._run.totals, hops)
            given = {name: branch.view[outer] for name, outer in inner.reads.items() if outer in branch.view}
            values, saved = values_from(inner.plan, given)
            way = self._choose(past, OPENED_BY_START, values)
            past.begin(values, way.targets)
            async with self._run.turns:
                extra = b',"in":' + to_json(hops) + self._run.emitted_part()
                await self._run.append([input_record(self._run, past, saved, way, extra)])
            self._past.inner[branch.id] = past
        walker = Walker(self._run, past, place=f"{self._place}{branch.place}/")
        try:
            await walker.walk_on()
            is_over = not past.walk.live and self._run.room(1) == 1
        finally:
            self._run.admitted += 1
        return inner.settle(past.walk.view()) if is_over else None

    async def _try(self, branch: Branch, task: Task) -> tuple[dict[str, Any], bytes, int, Usage | None]:
        """Run a node under its policies: context, timeout, retries."""
        notes, run = self._past.notes.get(branch.id), self._run
        attempt = notes.attempts + 1 if notes else 1
        key = task.cache.key(branch.view) if task.cache else b""
        if task.cache and not notes and (known := task.cache.get(key, run.clock())):  # it has not begun
            return self._past.restore(from_json(known)), known, attempt, None
        while True:
            desk = Desk(run, self._past, branch, task, self._place, attempt) if task.wants_context else None
            try:
                call = _called if task.timeout_s is None else _called_in_time
                writes, saved = task.settle(await call(task, branch, desk))
            except Paused:
                run.unsaved_usage += self._spend(desk) or NOTHING
                raise
            except (Exception, asyncio.CancelledError) as error:
                self._past.notes_of(branch.id).attempts = attempt
                usage, retry, failure = self._spend(desk), task.retry, error
                if not _is_worth_another(error, retry, attempt) or retry is None:
                    run.unsaved_usage += usage or NOTHING
                    raise
            else:
                if task.cache and not (desk and desk.is_of_this_run):
                    task.cache.put(key, saved, run.clock())
                return writes, saved, attempt, self._spend(desk)
            finally:
                if desk:
                    desk.is_over = True
            times = desk.unsaved_times() if desk else {}
            await run.note(self._attempt_record(branch, task, attempt, failure, usage) | times)
            if not await run.rests(retry.pause_s(attempt, random())):  # noqa: S311 - spread, not secrecy
                raise Paused
            attempt += 1

    def _spend(self, desk: Desk | None) -> Usage | None:
        """Count what a node's model calls used; None if it made none."""
        spent = desk.spent if desk else None
        if spent is None or not (spent.total_tokens or spent.cost_usd != 0):
            return None
        self._run.totals.usage += spent
        return spent

    def _attempt_record(
        self, branch: Branch, task: Task, attempt: int, error: BaseException, usage: Usage | None
    ) -> dict[str, Any]:
        record: dict[str, Any] = {"kind": "attempt", "node": task.name, "branch": branch.id, "attempt": attempt}
        if not self._is_top:
            record["in"] = self._past.hops
        if usage:
            record["usage"] = usage.model_dump()
        return record | {"error": error_text(error)}

    def _node_error(self, branch: Branch, task: Task, error: BaseException) -> NodeError:
        notes = self._past.notes.get(branch.id)
        attempt, step = notes.attempts if notes and notes.attempts else 1, self._run.totals.seq + 1
        path = path_of(self._past.hops, task.name)
        where = f'run "{self._run.run_id}", node "{path}", step {step}, attempt {attempt}'
        message = f"{where}: {error_text(error)}"
        return NodeError(message, run_id=self._run.run_id, node=path, step=step, attempt=attempt)

    # Saving: a record is committed before any successor starts.

    async def _save(self, finished: _Finished, writes: dict[str, Any]) -> list[Branch]:
        """Take a finished step into the walk, commit its record, return what may start next."""
        branch, task = finished[0], finished[1]
        run, walk, past = self._run, self._walk, self._past
        run.admitted -= 1
        try:
            chooser = walk.absorb(branch, writes)
            if run.is_strict and chooser:
                fields = self._plan.fields
                reduced = {name: chooser.view[name] for name in writes if fields[name].reducer}
                refuse_lossy(task.name, reduced, fields)
        except LoomError as error:  # of a reducer: what the node wrote cannot be taken in
            raise self._node_error(branch, task, error) from error
        if past.notes or past.inner:
            past.finished(branch)
        run.totals.seq += 1
        if chooser is None:
            due, taken = walk.next_item(branch), b"[]"
        else:
            try:
                way = task.only or self._choose(past, chooser.at, chooser.view)
            except RunError:
                await run.append([self._record(finished, b"null", b"")])
                raise
            try:
                due = walk.move(chooser, way.targets) if self._admits_all else past.lead(chooser, way.targets)
                taken = way.taken
            except LoomError as error:  # of a reducer, where branches meet
                run.totals.seq -= 1
                raise self._node_error(branch, task, error) from error
        is_open = self._admits_all and self._crew is None and run.scope is None and not self.is_asked_to_end()
        admitted = due if is_open else self._admit(due)
        record = self._record(finished, taken, b"" if admitted is due else held_part(due, admitted))
        if not self._is_top:
            await run.append((record,))
        elif not walk.live:
            await run.append((record, run.end_record("completed")), "completed")
            run.totals.status = "completed"
        else:
            await run.append((record,), "running", self._snapshot(task.name) if run.snapshot_due(len(record)) else None)
        return admitted

    def _snapshot(self, after: str) -> bytes | None:
        snapshot = self._past.snapshot(after)
        if snapshot is not None:
            self._run.snapshot_taken(len(snapshot))
        return snapshot

    def _record(self, finished: _Finished, taken: bytes, extra: bytes) -> bytes:
        branch, task, saved, attempt, usage, duration_s = finished
        run = self._run
        if usage:
            extra += b',"usage":' + usage.model_dump_json().encode()
        if run.emitted:
            extra += run.emitted_part()
        name = to_json(branch.id) if branch.id else b'""'
        return b'%b%b,"seq":%d,"attempt":%d,"at":%.4f,"s":%.6f,"writes":%b,"taken":%b%b%b}' % (
            task.opening, name, run.totals.seq, attempt, run.clock(), duration_s, saved, taken, self._in, extra,
        )  # fmt: skip

    # Ways on, and whether to go on.

    def _choose(self, past: Past, at: int, view: View) -> Way:
        """Return the way on from a node, or from START, of this graph or of one inside."""
        run = self._run
        return chosen_way(past.plan, at, view, run_id=run.run_id, hops=past.hops, step=run.totals.seq)

    async def _decide(self, branch: Branch) -> list[Branch]:
        """Choose the way on from a step that was recorded without one."""
        way = self._choose(self._past, branch.at, branch.view)
        name = self._plan.tasks[branch.at].name
        del self._past.undecided[branch.id]
        due = self._past.lead(branch, way.targets)
        admitted = self._admit(due)
        run = self._run
        async with run.turns:
            extra = held_part(due, admitted) + run.emitted_part()
            record = b'{"kind":"taken","node":%b,"branch":%b,"at":%.4f,"taken":%b%b%b}' % (
                to_json(name), to_json(branch.id), run.clock(), way.taken, self._in, extra,
            )  # fmt: skip
            await run.append([record])
        return admitted

    def _is_ending(self) -> bool:
        """Tell whether the run or this fan-out is being cancelled, so that nothing new may start."""
        if self._crew is not None and self._crew.is_ending:
            return True
        return self._run.is_cancelled or self.is_asked_to_end()

    def _admit(self, due: list[Branch]) -> list[Branch]:
        """Return those of the due branches that may start now: no breakpoint, limit or failure holds them."""
        if self._is_ending():
            return []
        return due if self._admits_all else self._run.admit(due, self._plan)


async def _called(task: Task, branch: Branch, desk: Desk | None) -> Any:
    """Call a node. It pauses also if it swallows that, or tasks of its own raise nothing more than that."""
    try:
        returned = await task.invoke(branch.view, desk)
    except BaseExceptionGroup as group:
        _, others = group.split(Paused)
        raise Paused if others is None else others from None
    if desk and desk.is_left:
        raise Paused
    return returned


async def _called_in_time(task: Task, branch: Branch, desk: Desk | None) -> Any:
    """Call a node. One that takes longer than its timeout fails, also if it swallows its cancellation."""
    returned: Any = None
    with anyio.move_on_after(task.timeout_s) as scope:
        if desk:
            desk.timeout_scope = scope
        returned = await _called(task, branch, desk)
    if scope.cancel_called:
        raise TimeoutError(f"it took longer than its timeout of {task.timeout_s:g} s")
    return returned


def _is_worth_another(error: BaseException, retry: Retry | None, attempt: int) -> bool:
    """Tell whether a node that raised this is to be tried again."""
    if retry is None or attempt >= retry.max_attempts or isinstance(error, EffectError):
        return False
    return isinstance(error, retry.on)
