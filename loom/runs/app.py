"""A compiled graph: run it, resume it, look into its runs, draw it."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import cached_property, partial
from typing import Any, Generic, Literal, TypeVar, overload

from anyio import CancelScope
from pydantic_core import from_json

from loom.core.branches import OPENED_BY_START
from loom.core.journal import Checkpointer, Journal, decode, encode
from loom.core.node import EFFECTS, GraphNode, Port
from loom.core.outline import outline_of
from loom.core.plan import Plan
from loom.core.result import Checkpoint, GraphResult
from loom.core.runtime import Runtime
from loom.core.state import State, state_from
from loom.errors import ConfigError, did_you_mean, quoted, short
from loom.runs.answers import Answers, answer_records
from loom.runs.changes import OnChange, Rename, header_of, read_back
from loom.runs.executor import Executor
from loom.runs.fork import ReplayReport, forked, replayed
from loom.runs.given import check_branch, check_offset, given_runtime, known_run_id
from loom.runs.handle import GraphRun, has_running_loop
from loom.runs.inputs import Inputs, checked_run_id, new_run_id, starting_values
from loom.runs.live import Live, follow_stored
from loom.runs.opening import input_record, open_walk
from loom.runs.past import Past
from loom.runs.points import past_at, points
from loom.runs.run import Run
from loom.runs.secrets import secrets_of
from loom.runs.story import Story, told
from loom.runs.ways import chosen_way
from loom.types.events import Event
from loom.types.outline import Outline

# Any, in this module: parsed JSON.

S = TypeVar("S", bound=State)


class CompiledGraph(Generic[S]):
    """A graph that was checked and frozen. Made by `Graph.compile()`; safe to share and to run concurrently."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._own_store: Checkpointer | None = None

    @property
    def name(self) -> str:
        """The graph's name."""
        return self._plan.name

    @property
    def state_type(self) -> type[S]:
        """The state the graph works on."""
        return self._plan.state  # type: ignore[return-value]  # the plan was made of a Graph[S]

    @cached_property
    def _header(self) -> bytes:
        return header_of(self._plan)

    @property
    def fingerprint(self) -> str:
        """A hash of what the graph means: bodies, settings, ports, edges, state.

        Comments, docstrings, layout and Python's minor version do not change it. Helpers that a body
        calls and globals that it reads are not seen.
        """
        return hashlib.sha256(self._header).hexdigest()[:24]

    def __repr__(self) -> str:
        return f"<compiled graph {self.name}, {len(self._plan.tasks)} nodes>"

    # Running.

    async def run(
        self, inputs: Inputs | None = None, *, run_id: str | None = None, runtime: Runtime | None = None
    ) -> GraphResult[S]:
        """Walk the graph once, to its end or a planned stop.

        `inputs` gives fields by name; those without a default that no node writes must be there. A
        run id is made up unless given.

        Raises:
            ConfigError: the inputs do not fit the state.
            RunExistsError: the store has a run of this id.
            NodeError: a node failed after its retries; `resume` goes on from there.
            NoEdgeError: no way of a switch was open.
            CheckpointError: the store failed.
        """
        executor = await self._begin(inputs, checked_run_id(run_id), given_runtime(runtime), Live())
        return await executor.drive()

    def run_sync(
        self, inputs: Inputs | None = None, *, run_id: str | None = None, runtime: Runtime | None = None
    ) -> GraphResult[S]:
        """`run`, from code that is not async. Raises what `run` raises."""
        if has_running_loop():
            raise ConfigError(
                f'run_sync of graph "{self.name}" was called where an event loop runs; use `await app.run(…)`'
            )
        return asyncio.run(self.run(inputs, run_id=run_id, runtime=runtime))

    async def resume(
        self,
        run_id: str,
        *,
        answers: Answers | None = None,
        on_change: OnChange = "raise",
        rename: Rename | None = None,
        runtime: Runtime | None = None,
    ) -> GraphResult[S]:
        """Go on with a run after a crash, a failure, a cancellation, a stop or a pause.

        What was finished does not run again. `answers` are by the id of the ask; those that stay open
        are asked again with the same ids. Of a completed run this returns the result, and nothing runs.
        Called without answers on a paused run, it goes past every breakpoint that holds the run now; with
        answers it passes none. `on_change="continue"` goes on under a graph that has changed, if what is
        due and in use still exists; `rename` maps old names of nodes to new ones.

        Raises:
            RunNotFoundError: the store has no run of this id.
            AnswerError: an ask is unknown or answered, or an answer is of the wrong type: that ask stays open.
            GraphChangedError: the run was begun with another graph.
            NodeError, NoEdgeError, CheckpointError: as `run`.
        """
        executor = await self._take_up(run_id, answers, on_change, rename, given_runtime(runtime), Live())
        return await executor.drive()

    def start(
        self, inputs: Inputs | None = None, *, run_id: str | None = None, runtime: Runtime | None = None
    ) -> "GraphRun[S]":
        """Begin a run in the background of the running asyncio loop and return its handle at once.

        Raises:
            ConfigError: no event loop runs. What else is wrong is raised by the handle's `wait`.
        """
        self._needs_loop("start", "run_sync")
        runtime, run_id, live, scope = given_runtime(runtime), checked_run_id(run_id), Live(), CancelScope()
        store = self._store(runtime)
        begin = self._begin(inputs, run_id, runtime, live, scope)
        return GraphRun(run_id, begin, Story(self._plan, run_id), store, live, scope)

    def start_resume(
        self,
        run_id: str,
        *,
        answers: Answers | None = None,
        on_change: OnChange = "raise",
        rename: Rename | None = None,
        runtime: Runtime | None = None,
    ) -> "GraphRun[S]":
        """Go on with a run, as `resume` does, in the background of the running loop; return its handle at once.

        The handle's events go on where the run stopped, live, to the end of this walk of it.

        Raises:
            ConfigError: no event loop runs. What `resume` would raise is raised by the handle's `wait`.
        """
        self._needs_loop("start_resume", "resume")
        runtime, live, scope = given_runtime(runtime), Live(), CancelScope()
        story, store = Story(self._plan, known_run_id(run_id)), self._store(runtime)
        begin = self._take_up(run_id, answers, on_change, rename, runtime, live, scope)
        return GraphRun(run_id, begin, story, store, live, scope)

    def _needs_loop(self, called: str, instead: str) -> None:
        if not has_running_loop():
            raise ConfigError(f'{called} of graph "{self.name}" needs a running event loop; use `app.{instead}(…)`')

    # Looking into runs.

    async def history(self, run_id: str, *, runtime: Runtime | None = None) -> list[Checkpoint]:
        """Return the saved points of a run, oldest first; the input is seq 0, node START.

        Raises:
            RunNotFoundError: the store has no run of this id.
            GraphChangedError: the run was begun with another graph.
        """
        return points(self._plan, await self._read(run_id, given_runtime(runtime)))

    async def state(
        self, run_id: str, *, at: int | None = None, branch: str | None = None, runtime: Runtime | None = None
    ) -> S:
        """Return the state as it was once step `at` was saved; the latest without `at`.

        Inside a fan-out it is that of the trunk, with finished joins; `branch` asks for one branch's
        view.

        Raises:
            RunNotFoundError: the store has no run of this id.
            CheckpointError: the run has no such step.
            LoomError: it has no such branch there.
        """
        check_branch(branch)
        past = past_at(self._plan, await self._read(run_id, given_runtime(runtime)), at)
        return state_from(self._plan.state, past.view(branch))  # type: ignore[no-any-return]

    async def told(self, run_id: str, *, runtime: Runtime | None = None) -> Callable[[], list[Event]]:
        """Read what is saved of a run now, and return what tells it as events, worked out when they are wanted.

        Raises:
            RunNotFoundError: the store has no run of this id.
        """
        return partial(told, self._plan, await self._read(run_id, given_runtime(runtime)))

    async def events(
        self, run_id: str, *, after: int = 0, follow: bool = True, runtime: Runtime | None = None
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of a run with offsets above `after`; follow it if it is running elsewhere.

        A run that died without an end looks like one at work, so following it waits until someone
        resumes it; with `follow=False` the events end with what is saved now.

        Raises:
            RunNotFoundError: the store has no run of this id.
        """
        store = self._store(given_runtime(runtime))
        check_offset(after)
        story = Story(self._plan, known_run_id(run_id))
        async with contextlib.aclosing(follow_stored(story, store, run_id, after=after, waits=follow)) as told:
            async for event in told:
                yield event

    async def fork(
        self,
        run_id: str,
        *,
        at: int | None = None,
        set: Inputs | None = None,  # noqa: A002 - the name users know
        runtime: Runtime | None = None,
    ) -> str:
        """Make a new run that begins at step `at` of this one, by default its last; return its id.

        `set` replaces fields. The new run does not start: `resume` starts it. Answers and finished
        effects are kept; the new run has idempotency keys of its own.

        Raises:
            RunNotFoundError: the store has no run of this id.
            CheckpointError: the run has no such step.
            LoomError: `set` where the run has several branches; it names the nearest steps that do.
            ConfigError: a value does not fit its field.
        """
        runtime = given_runtime(runtime)
        store, new_id, secrets = self._store(runtime), new_run_id(), secrets_of(runtime.secrets)
        journal = await self._read(run_id, runtime)
        kept = forked(self._plan, journal, at, {} if set is None else set, runtime.clock())
        *records, end = map(secrets.clean_record, kept)
        claim = await store.create(new_id, self.name, journal.header, records, parent=run_id)
        await store.append(claim, [end], "stopped")
        return new_id

    async def replay(self, run_id: str, *, runtime: Runtime | None = None) -> ReplayReport:
        """Walk a run again on its recorded writes, without running a node, and tell where it would go elsewhere.

        Raises:
            RunNotFoundError: the store has no run of this id.
            GraphChangedError: the run was begun with a graph of another name.
        """
        return replayed(self._plan, await self._read(run_id, given_runtime(runtime)))

    # As a part of another graph.

    def as_node(self, *, reads: Mapping[str, str], writes: Mapping[str, str]) -> GraphNode:
        """Return this graph as a node of another one; each visit walks it afresh.

        `reads` and `writes` map fields of this graph to fields of the outer one, and are complete: a
        field that is not mapped stays inside.

        Raises:
            ConfigError: a map names no field of this graph, or leaves out one that it must be given.
        """
        plan = self._plan
        for word, mapping in (("reads", reads), ("writes", writes)):
            if not isinstance(mapping, Mapping):
                raise ConfigError(
                    f'as_node of graph "{self.name}": expected {word}={{"inner": "outer"}}; got {short(mapping)}'
                )
            for name in mapping:
                if name not in plan.fields:
                    hint = did_you_mean(name, plan.fields)
                    raise ConfigError(
                        f'as_node({word}=…) of graph "{self.name}" maps "{name}", which is no field.{hint}'
                    )
        missing = [name for name in plan.given if name not in reads]
        if missing:
            raise ConfigError(
                f'as_node(reads=…) of graph "{self.name}" leaves out {quoted(missing)}, which it must be given'
            )
        from loom.core.flow import written_at_end  # noqa: PLC0415 - brings networkx, which running does not need

        sure = written_at_end(plan.declared)
        return GraphNode(
            plan=plan,
            fingerprint=self.fingerprint,
            reads=dict(reads),
            writes=dict(writes),
            inputs=tuple(Port(name, plan.fields[name].values.type, name not in plan.given) for name in reads),
            outputs=tuple(Port(name, plan.fields[name].values.type, name not in sure) for name in writes),
            effect=EFFECTS[max((task.effect for task in plan.tasks), default=0)],
        )

    # Showing it.

    def outline(self) -> Outline:
        """Return the graph's shape as plain records."""
        return outline_of(self._plan.declared)

    @overload
    def draw(self, format: Literal["svg", "dot", "mermaid"] = "svg") -> str: ...
    @overload
    def draw(self, format: Literal["png"]) -> bytes: ...
    def draw(self, format: Literal["svg", "dot", "mermaid", "png"] = "svg") -> str | bytes:  # noqa: A002 - as above
        """Draw the graph; equal graphs give equal bytes. PNG comes as bytes, the rest as text."""
        from loom.draw.picture import draw  # noqa: PLC0415 - a higher floor, needed only for pictures

        return draw(self.outline(), format)

    # How a run begins.

    def _store(self, runtime: Runtime) -> Checkpointer:
        if runtime.checkpointer is not None:
            return runtime.checkpointer
        if self._own_store is None:
            from loom.checkpoint.memory import MemoryCheckpointer  # noqa: PLC0415 - a higher floor, only the default

            self._own_store = MemoryCheckpointer(keep_finished=100)
        return self._own_store

    async def _read(self, run_id: str, runtime: Runtime, *, from_snapshot: bool = False) -> Journal:
        return await self._store(runtime).read(known_run_id(run_id), from_snapshot=from_snapshot)

    async def _begin(
        self, inputs: Inputs | None, run_id: str, runtime: Runtime, live: Live, scope: CancelScope | None = None
    ) -> Executor:
        plan, store = self._plan, self._store(runtime)
        values, saved = starting_values(plan, {} if inputs is None else inputs)
        past = Past(plan, run_id)
        if runtime.secrets:
            saved = secrets_of(runtime.secrets).clean_fields(saved)
            values = past.restore(from_json(saved))
        way = chosen_way(plan, OPENED_BY_START, values)
        past.begin(values, way.targets)
        run = Run(run_id, past.totals, store, runtime, live)
        run.scope = scope
        record = input_record(run, past, saved, way)
        run.claimed(await store.create(run_id, plan.name, self._header, (record,)))
        return Executor(run, past)

    async def _take_up(
        self,
        run_id: str,
        answers: Answers | None,
        on_change: OnChange,
        rename: Rename | None,
        runtime: Runtime,
        live: Live,
        scope: CancelScope | None = None,
    ) -> Executor:
        store = self._store(runtime)
        journal = await self._read(run_id, runtime, from_snapshot=True)
        past = read_back(self._plan, journal, self._header, on_change, {} if rename is None else rename)
        totals, secrets, at = past.totals, secrets_of(runtime.secrets), runtime.clock()
        is_over, was_paused = totals.status == "completed", totals.status == "paused"
        taken = [*past.migration(at), *answer_records(totals, {} if answers is None else answers, at)]
        records = [secrets.clean_record(encode(record)) for record in taken]
        for record in records:
            past.take(decode(record, run_id))
        run = Run(run_id, totals, store, runtime, live)
        run.scope = scope
        live.first = live.head = journal.head
        if not is_over:
            resumed: dict[str, Any] = {"kind": "resume", "at": at}
            if was_paused and not answers:
                resumed["passes"] = True
            if past.changed:
                resumed["changed"] = past.changed
            past.take(resumed)
            if held := open_walk(run, past):
                resumed["held"] = held
            records.append(encode(resumed))
            run.claimed(await store.claim(run_id, journal.head, records))
            run.taken_up(journal)
        return Executor(run, past)
