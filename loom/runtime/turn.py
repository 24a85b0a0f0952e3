"""Whose turn it is: one after the other, in whatever threads and event loops of this process they wait."""

import asyncio
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from types import TracebackType

from loom.errors import RunError


@dataclass(eq=False, slots=True)
class _Place:
    """A place in the row of a turn: the loop to wake who waits there in, what is awaited, whether it asks once it runs.

    `needs` are places that wait in other rows, for runs whose end the run at this place awaits.
    """

    turn: "Turn"
    loop: asyncio.AbstractEventLoop
    woken: asyncio.Future[None]
    asks_again: bool = False
    needs: set["_Place"] = field(default_factory=set["_Place"])


# Tasks and threads that are begun inside a turn inherit its place here, and may outlive it.
_around: ContextVar[tuple[_Place, ...]] = ContextVar("loom_turns_around", default=())
# Those of these places whose holders await the end of what is at work here.
_awaiting: ContextVar[tuple[_Place, ...]] = ContextVar("loom_turns_awaiting", default=())
_NEEDS = Lock()


def say_unawaited() -> None:
    """Say that whoever began this task may not await its end."""
    _awaiting.set(())


class Turn:
    """A lock for `async with`, taken in the order in which it was asked for; `of` says what it is the turn of.

    Those of asyncio and anyio wake nobody in another thread's loop.
    """

    def __init__(self, of: str) -> None:
        self._of = of
        self._guard = Lock()
        self._waiting: deque[_Place] = deque()
        self._holder: _Place | None = None

    def refuse_inside(self) -> None:
        """Raise `RunError` where the turn is held around the caller, who would wait for itself for ever."""
        if self._holder in _around.get():
            raise RunError(
                f"inside a run that has the turn of {self._of} another was begun, and each would wait for the other's "
                "end; use another session there, agent.session(), or begin it once the run around it has ended"
            )

    async def __aenter__(self) -> None:
        self.refuse_inside()
        loop = asyncio.get_running_loop()
        place, awaiting = _Place(self, loop, loop.create_future()), _awaiting.get()
        with self._guard:
            if self._holder is None:
                self._holder = place
                place.woken.set_result(None)
            else:
                self._waiting.append(place)
        try:
            with self._needed(place, awaiting):
                await place.woken
        except BaseException:
            with self._guard:
                if place in self._waiting:
                    self._waiting.remove(place)
            if self._holder is place:  # it was given it in that very moment
                self._pass_on()
            raise
        _around.set((*_around.get(), place))
        _awaiting.set((*awaiting, place))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for places in (_around, _awaiting):
            places.set(tuple(place for place in places.get() if place is not self._holder))
        self._pass_on()

    @contextmanager
    def _needed(self, place: _Place, awaiting: tuple[_Place, ...]) -> Generator[None]:
        """Note who needs a place while it is waited in; refuse one that could never be had."""
        with _NEEDS:
            holders, seen = [self._holder], set[_Place | None]()
            while holders:
                holder = holders.pop()
                if holder in awaiting:
                    raise RunError(
                        f"a run that waits for the end of this one has, through others, the turn of {self._of}, and "
                        "each would wait for the other for ever; use another session there, agent.session()"
                    )
                if holder and holder not in seen:
                    seen.add(holder)
                    holders += [one.turn._holder for one in holder.needs]  # noqa: SLF001 - the same class
            for one in awaiting:
                one.needs.add(place)
        try:
            yield
        finally:
            with _NEEDS:
                for one in awaiting:
                    one.needs.discard(place)

    def _pass_on(self) -> None:
        """Give the turn to whoever has waited longest, in a loop that runs; one that is stopped asks when it does."""
        with self._guard:
            self._holder = None
            for waiter in tuple(self._waiting):
                try:
                    if waiter.loop.is_running():
                        waiter.loop.call_soon_threadsafe(_wake, waiter.woken)
                        self._waiting.remove(waiter)
                        self._holder = waiter
                        return
                    if not waiter.asks_again:
                        waiter.loop.call_soon_threadsafe(self._ask_again, waiter)
                        waiter.asks_again = True
                except RuntimeError:  # the loop was closed while it waited
                    self._waiting.remove(waiter)

    def _ask_again(self, waiter: _Place) -> None:
        with self._guard:
            waiter.asks_again = False
            if self._holder is None and waiter in self._waiting:
                self._waiting.remove(waiter)
                self._holder = waiter
                _wake(waiter.woken)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():  # else it was cancelled, and passes the turn on
        waiting.set_result(None)
