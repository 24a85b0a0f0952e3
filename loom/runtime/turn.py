"""Whose turn it is: one after the other, in whatever threads and event loops of this process they wait."""

import asyncio
from collections import deque
from dataclasses import dataclass
from threading import Lock
from types import TracebackType


@dataclass(eq=False, slots=True)
class _Waiter:
    """Who waits: the loop to wake it in, what it awaits there, and whether the turn is its own by now."""

    loop: asyncio.AbstractEventLoop
    woken: asyncio.Future[None]
    has_turn: bool = False


class Turn:
    """A lock for `async with`, taken in the order in which it was asked for.

    Those of asyncio and anyio wake nobody in another thread's loop.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._waiting: deque[_Waiter] = deque()
        self._is_taken = False

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        with self._guard:
            if not self._is_taken:
                self._is_taken = True
                return
            waiter = _Waiter(loop, loop.create_future())
            self._waiting.append(waiter)
        try:
            await waiter.woken
        except BaseException:
            with self._guard:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
            if waiter.has_turn:  # it was given it in that very moment
                self._pass_on()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        """Give the turn to whoever has waited longest, in a loop that still runs."""
        with self._guard:
            while self._waiting:
                waiter = self._waiting.popleft()
                try:
                    waiter.loop.call_soon_threadsafe(_wake, waiter.woken)
                except RuntimeError:  # the loop was closed while it waited
                    continue
                waiter.has_turn = True
                return
            self._is_taken = False


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():  # else it was cancelled, and passes the turn on
        waiting.set_result(None)
