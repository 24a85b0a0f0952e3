"""The handle of a run in the background."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Generic, TypeVar

from anyio import CancelScope

from loom.core.journal import Checkpointer
from loom.core.result import GraphResult
from loom.core.state import State
from loom.runs.executor import Executor
from loom.runs.live import Live, follow
from loom.runs.story import Story
from loom.types.events import Event

S = TypeVar("S", bound=State)


class GraphRun(Generic[S]):
    """A run that goes on by itself: wait for it, read its events, cancel it."""

    # Any: the coroutine's send and yield types, which no one uses.
    def __init__(
        self, run_id: str, begin: Coroutine[Any, Any, Executor], story: Story, store: Checkpointer, live: Live
    ) -> None:
        self.run_id = run_id
        self._begin = begin
        self._story = story
        self._store = store
        self._live = live
        self._executor: Executor | None = None
        self._scope: CancelScope | None = None
        self._has_begun = asyncio.Event()
        self._is_cancelled = False
        self._task = asyncio.create_task(self._drive(), name=f"loom run {run_id}")

    async def wait(self) -> GraphResult[S]:
        """Return how the run ended; raise what it raised. Cancelling the waiter leaves the run alone."""
        return await asyncio.shield(self._task)

    def cancel(self) -> None:
        """Ask the run to end now; `wait` then gives the status `cancelled`. What was finished is kept."""
        self._is_cancelled = True
        if self._scope:
            self._scope.cancel()

    async def events(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """Yield the run's events with offsets above `after`, live, to its end.

        Any number of readers may follow; a slow one holds nothing up.
        """
        await self._has_begun.wait()
        if self._executor is None:
            return
        told = follow(self._story.fresh(), self._store, self.run_id, after=after, live=self._live)
        async with contextlib.aclosing(told):
            async for event in told:
                yield event

    async def _drive(self) -> GraphResult[S]:
        try:
            self._executor = executor = await self._begin
            self._scope = executor.cancellable()
            self._has_begun.set()
            return await (executor.cancel() if self._is_cancelled else executor.drive())
        finally:
            self._has_begun.set()
            self._live.close()


def has_running_loop() -> bool:
    """Tell whether an asyncio loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
