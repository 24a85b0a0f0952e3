"""How many tool calls may be made in a minute."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final, Generic, TypeVar

WINDOW_S: Final = 60.0

Call = TypeVar("Call")


class Limiter(Generic[Call]):
    """Count calls in a sliding window of 60 seconds by `clock`, for all who share this limiter, also in other threads.

    A place is taken when a call is allowed and used when the call is made; from then on it counts for 60 seconds. So
    no window ever holds more calls than `limit`. A place that is not used counts for 60 seconds too, unless it is
    given back.
    """

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self.limit = limit
        self._clock = clock
        self._places: OrderedDict[int, tuple[float, str]] = OrderedDict()  # oldest first
        self._unused: dict[str, tuple[Call, list[int]]] = {}
        self._last = 0
        self._lock = Lock()

    def wait_s(self) -> float:
        """Return the seconds until there will be a place; 0 if there is one. Nothing is taken."""
        with self._lock:
            return self._wait_s(self._now())

    def take(self, digest: str, call: Call) -> float:
        """Take a place for a call, known by its digest; return 0, or the seconds until there will be one."""
        with self._lock:
            now = self._now()
            wait_s = self._wait_s(now)
            if not wait_s:
                self._last += 1
                self._places[self._last] = now, digest
                self._unused.setdefault(digest, (call, []))[1].append(self._last)
            return wait_s

    def use(self, digest: str) -> bool:
        """Use a place that was taken for a call within the window; tell whether there was one."""
        with self._lock:
            now = self._now()
            if digest not in self._unused:
                return False
            place = self._unused[digest][1][0]  # the oldest, which would be the first to run out
            self._leave(place, digest)
            self._places[place] = now, ""
            return True

    def give_back(self, digest: str) -> None:
        """Give back the newest place that was taken for a call and not used; without one nothing happens."""
        with self._lock:
            if digest in self._unused:
                self._leave(self._unused[digest][1][-1], digest)

    def call(self, digest: str) -> Call | None:
        """Return the call that a place was taken for; None where there is none, or it was used."""
        unused = self._unused.get(digest)
        return None if unused is None else unused[0]

    def full(self, wait_s: float) -> str:
        """Say that there was no place, and when there will be one."""
        return f"more than {self.limit} tool calls in {WINDOW_S:g} s; try again in {wait_s:.1f} s"

    def _wait_s(self, now: float) -> float:
        if len(self._places) < self.limit:
            return 0.0
        return max(self._places[next(iter(self._places))][0] + WINDOW_S - now, 0.001)

    def _now(self) -> float:
        """Return the time, after letting go of the places that are out of the window."""
        now = self._clock()
        while self._places:
            place, (at, digest) = next(iter(self._places.items()))
            if at + WINDOW_S > now:
                break
            self._leave(place, digest)
        return now

    def _leave(self, place: int, digest: str) -> None:
        """Remove a place, and what it was taken for, if it was not used."""
        del self._places[place]
        if digest:
            places = self._unused[digest][1]
            places.remove(place)
            if not places:
                del self._unused[digest]
