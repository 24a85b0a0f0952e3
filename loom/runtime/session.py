"""A session: runs one after the other, each of which knows what was said before."""

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from loom.errors import RunError
from loom.runtime.engine import Engine
from loom.runtime.records import RunContext, RunResult, SessionConfig
from loom.runtime.run import Run
from loom.runtime.walk import attended
from loom.types.absent import refused_attribute
from loom.types.content import MessageContent
from loom.types.events import Event
from loom.types.stream import StreamEvent


class Session:
    """Runs that remember: each is told what earlier ones of this session said, where the agent has a memory.

    One run is at work at a time; a second waits. With a durable store a session goes on in another process, which must
    not use it at the same time. A run that is left before its end, by `run` or a stream, is cancelled; one that was
    begun by `start` is not.
    """

    def __init__(self, engine: Engine, config: SessionConfig | None = None) -> None:
        config = config or SessionConfig()
        self.id = uuid.uuid4().hex if config.id is None else config.id
        self.metadata: dict[str, Any] = dict(config.metadata)
        self.created_at = engine.clock()
        self._engine = engine
        self._began_at: float | None = None
        self._runs: dict[str, Run] = {}
        self._is_closed = False

    if not TYPE_CHECKING:  # for type checkers what is not here is an error as anywhere

        def __getattr__(self, name: str) -> object:
            raise refused_attribute("Session", name)

    def __repr__(self) -> str:
        return f"<session {self.id}, {len(self._runs)} runs>"

    def start(self, prompt: MessageContent, context: RunContext | None = None) -> Run:
        """Begin a run in the background of the running event loop and return it at once.

        Raises:
            RunError: the session is closed; or this is called inside a run of it, as in a tool.
            ConfigError: the prompt or the context is of another kind.
        """
        if self._is_closed:
            raise RunError(f'session "{self.id}" is closed; open one with agent.session(…)')
        self._engine.turn(self.id).refuse_inside()
        run = Run(self._engine, prompt, context, session=self)
        self._runs[run.run_id] = run
        return run

    async def run(self, prompt: MessageContent, context: RunContext | None = None) -> RunResult:
        """Run to the end, and return the result. Raises what `Run.wait` raises."""
        async with attended(self.start(prompt, context).walk) as walk:
            return await walk.wait()

    async def stream(self, prompt: MessageContent, context: RunContext | None = None) -> AsyncGenerator[Event, None]:
        """Run, and yield what happens, live. Raises at the end what `Run.wait` raises."""
        async with attended(self.start(prompt, context).walk) as walk, aclosing(walk.events(None)) as told:
            async for event in told:
                yield event
            await walk.wait()

    async def run_streaming(
        self, prompt: MessageContent, context: RunContext | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Run, and yield what the model says piece by piece, its tool calls and their results, and how it ended."""
        async with attended(self.start(prompt, context).walk) as walk, aclosing(walk.stream(None)) as told:
            async for event in told:
                yield event

    def get_run(self, run_id: str) -> Run | None:
        """Return a run of this session that was begun in this process; None if there is none of this id."""
        return self._runs.get(run_id)

    def list_runs(self) -> list[Run]:
        """Return the runs of this session that were begun in this process, oldest first."""
        return list(self._runs.values())

    async def close(self) -> None:
        """Cancel what is at work and begin no more."""
        self._is_closed = True
        runs = self.list_runs()
        for run in runs:
            run.cancel()
        for run in runs:
            await run.settled()

    def goes_since(self, began_at: float) -> None:
        """Learn since when the session goes, as far as the agent's memory knows; without one since its first run."""
        if self._engine.memory.is_on or self._began_at is None or self.is_over:
            self._began_at = began_at

    @property
    def is_over(self) -> bool:
        """Tell whether the session is closed, or older than its time to live: since its first run, if it has any."""
        began_at = self.created_at if self._began_at is None else self._began_at
        return self._is_closed or self._engine.memory.is_over(began_at, self._engine.clock())
