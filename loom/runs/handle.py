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
from loom.runs.given import check_offset
from loom.runs.live import Live, follow
from loom.runs.story import Story
from loom.types.events import Event

S = TypeVar("S", bound=State)


class GraphRun(Generic[S]):
    """A run that goes on by itself: wait for it, read its events, cancel it."""

    # Any: the coroutine's send and yield types, which no one uses.
    def __init__(
        self,
        run_id: str,
        begin: Coroutine[Any, Any, Executor],
        story: Story,
        store: Checkpointer,
        live: Live,
        scope: CancelScope,
    ) -> None:
        self.run_id = run_id
        self._begin = begin
        self._story = story
        self._store = store
        self._live = live
        self._scope = scope
        self._has_begun = False
        self._is_known_to_begin = asyncio.Event()
        self._task = asyncio.create_task(self._drive(), name=f"loom run {run_id}")
        self._task.add_done_callback(self._over)

    async def wait(self) -> GraphResult[S]:
        """Return how the run ended; raise what it raised. Cancelling the waiter leaves the run alone."""
        return await asyncio.shield(self._task)

    async def settled(self) -> None:
        """Wait until nothing of the run is at work any more, however it ended."""
        await asyncio.wait([self._task])

    async def begun(self) -> bool:
        """Wait until the run is at work or could not begin; tell which."""
        await self._is_known_to_begin.wait()
        return self._has_begun

    def cancel(self) -> None:
        """Ask the run to end now; `wait` then gives the status `cancelled`. What was finished is kept.

        A run whose last step ends all the same, as it swallows this, is `completed`: nothing of it is left to do.
        """
        self._scope.cancel()

    async def events(self, after: int | None = 0) -> AsyncGenerator[Event, None]:
        """Yield the run's events with offsets above `after`, live, to the end of this walk of it.

        Those of earlier walks come first, as they are saved; `after=None` leaves them out. Any number of readers may
        follow; a slow one holds nothing up.

        Raises:
            ConfigError: `after` is no offset.
        """
        if after is not None:
            check_offset(after)
        if not await self.begun():
            return
        told = follow(self._story.fresh(), self._store, self.run_id, after=after, live=self._live)
        async with contextlib.aclosing(told):
            async for event in told:
                yield event

    async def _drive(self) -> GraphResult[S]:
        try:
            executor = await self._begin
            self._has_begun = True
            self._is_known_to_begin.set()
            return await (executor.cancel() if self._scope.cancel_called else executor.drive())
        finally:
            self._is_known_to_begin.set()
            self._live.close()

    def _over(self, _: asyncio.Task[GraphResult[S]]) -> None:
        self._begin.close()  # else Python complains of it where the loop ended before the first step


def has_running_loop() -> bool:
    """Tell whether an asyncio loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
