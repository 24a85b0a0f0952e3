"""A compiled graph: run it, resume it, look into its runs, draw it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Generic, Literal, TypeVar, overload

from loom.core.executor import Executor
from loom.core.handle import GraphRun
from loom.core.inputs import Inputs, check_header, new_run_id, starting_values, starting_way
from loom.core.journal import FORMAT, Checkpointer, Claim, encode
from loom.core.live import Live, follow
from loom.core.outline import outline_of
from loom.core.past import Past, past_at, points
from loom.core.plan import Plan
from loom.core.result import Checkpoint, GraphResult
from loom.core.runtime import Runtime
from loom.core.state import State, state_from
from loom.core.story import Story
from loom.errors import ConfigError
from loom.types.events import Event
from loom.types.outline import Outline

S = TypeVar("S", bound=State)
DEFAULT = Runtime()


class CompiledGraph(Generic[S]):
    """A graph that was checked and frozen. Made by `Graph.compile()`; safe to share and to run concurrently."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._header = encode({"format": FORMAT, "graph": plan.name, "nodes": [task.name for task in plan.tasks]})
        self._own_store: Checkpointer | None = None

    @property
    def name(self) -> str:
        """The graph's name."""
        return self._plan.name

    @property
    def state_type(self) -> type[S]:
        """The state the graph works on."""
        return self._plan.state  # type: ignore[return-value]  # the plan was made of a Graph[S]

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
        executor = await self._begin(inputs or {}, run_id or new_run_id(), runtime or DEFAULT, Live())
        return await executor.drive()

    def run_sync(
        self, inputs: Inputs | None = None, *, run_id: str | None = None, runtime: Runtime | None = None
    ) -> GraphResult[S]:
        """`run`, from code that is not async. Raises what `run` raises."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.run(inputs, run_id=run_id, runtime=runtime))
        raise ConfigError(f'run_sync of graph "{self.name}" was called where an event loop runs; use `await app.run(…)`')

    async def resume(self, run_id: str, *, runtime: Runtime | None = None) -> GraphResult[S]:
        """Go on with a run after a crash, a failure, a cancellation or a stop.

        What was finished does not run again. Of a completed run this returns the result, and nothing
        runs.

        Raises:
            RunNotFoundError: the store has no run of this id.
            GraphChangedError: the run was begun with another graph.
            NodeError, NoEdgeError, CheckpointError: as `run`.
        """
        executor = await self._take_up(run_id, runtime or DEFAULT, Live())
        return await executor.drive()

    def start(
        self, inputs: Inputs | None = None, *, run_id: str | None = None, runtime: Runtime | None = None
    ) -> "GraphRun[S]":
        """Begin a run in the background of the running asyncio loop and return its handle at once."""
        runtime, run_id, live = runtime or DEFAULT, run_id or new_run_id(), Live()
        story = Story(self._plan, run_id)
        begin = self._begin(inputs or {}, run_id, runtime, live)
        return GraphRun(run_id, begin, story, self._store(runtime), live)

    # Looking into runs.

    async def history(self, run_id: str, *, runtime: Runtime | None = None) -> list[Checkpoint]:
        """Return the saved points of a run, oldest first; the input is seq 0, node START.

        Raises:
            RunNotFoundError: the store has no run of this id.
            GraphChangedError: the run was begun with another graph.
        """
        return points(self._plan, await self._store(runtime or DEFAULT).read(run_id))

    async def state(
        self, run_id: str, *, at: int | None = None, branch: str | None = None, runtime: Runtime | None = None
    ) -> S:
        """Return the state as it was once step `at` was saved; the latest without `at`.

        Inside a fan-out it is that of the trunk, with finished joins; `branch` asks for one branch's
        view.

        Raises:
            RunNotFoundError: the store has no run of this id.
            CheckpointError: the run has no such step.
        """
        past = past_at(self._plan, await self._store(runtime or DEFAULT).read(run_id), at)
        return state_from(self._plan.state, past.walk.view(branch))  # type: ignore[no-any-return]

    async def events(
        self, run_id: str, *, after: int = 0, runtime: Runtime | None = None
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of a run with offsets above `after`; follow it if it is running elsewhere.

        Raises:
            RunNotFoundError: the store has no run of this id.
        """
        store = self._store(runtime or DEFAULT)
        story = Story(self._plan, run_id)
        async with contextlib.aclosing(follow(story, store, run_id, after=after, live=None, ends_from=0)) as told:
            async for event in told:
                yield event

    # Showing it.

    def outline(self) -> Outline:
        """Return the graph's shape as plain records."""
        return outline_of(self._plan.declared)

    @overload
    def draw(self, format: Literal["svg", "dot", "mermaid"] = "svg") -> str: ...
    @overload
    def draw(self, format: Literal["png"]) -> bytes: ...
    def draw(self, format: Literal["svg", "dot", "mermaid", "png"] = "svg") -> str | bytes:
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

    async def _begin(self, inputs: Inputs, run_id: str, runtime: Runtime, live: Live) -> Executor:
        plan, store = self._plan, self._store(runtime)
        values, saved = starting_values(plan, inputs)
        way = starting_way(plan, values)
        record = b'{"kind":"input","at":%.6f,"values":%b,"taken":%b}' % (runtime.clock(), saved, way.taken)
        claim = await store.create(run_id, plan.name, self._header, (record,))
        live.head = claim.head
        past = Past(plan, run_id)
        due = past.walk.start(values, way.targets)
        return Executor(plan, past, store, claim, runtime, live, due)

    async def _take_up(self, run_id: str, runtime: Runtime, live: Live) -> Executor:
        plan, store = self._plan, self._store(runtime)
        journal = await store.read(run_id)
        check_header(plan, journal)
        past = Past(plan, run_id)
        past.take_all(journal)
        claim = Claim(run_id, token=0, head=len(journal.records))
        if past.status != "completed":
            claim = await store.claim(run_id, len(journal.records))
            await store.append(claim, [encode({"kind": "resume", "at": runtime.clock()})])
            past.status, past.stop_reason = "running", None
        live.head = claim.head
        due = [branch for branch in past.walk.due() if branch.id not in past.undecided]
        return Executor(plan, past, store, claim, runtime, live, due)
