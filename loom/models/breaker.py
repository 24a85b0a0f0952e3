"""A circuit breaker: who failed too often in a row is left alone for a while. No I/O."""

import time
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from loom.errors import LoomError, ProviderUnavailableError


@dataclass(slots=True)
class _Circuit:
    """What is known of one provider that failed. `open_until` is by the breaker's clock, None while it is closed."""

    failures: int = 0
    open_until: float | None = None
    is_tried: bool = False


class Breaker:
    """Counts failed calls (each with all its attempts) in a row, by provider and server.

    After `failures` of them the circuit is open: for `open_s` seconds calls fail at once. Then one call is let
    through: if it fails too the circuit stays open for as long again, else it closes. Only what may pass counts as
    a failure, that is `ProviderUnavailableError`: a provider that refuses a request is there.

    One breaker may serve many threads and event loops. `clock` gives seconds.
    """

    def __init__(self, *, failures: int = 5, open_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures = failures
        self._open_s = open_s
        self._clock = clock
        self._circuits: dict[Hashable, _Circuit] = {}
        self._lock = Lock()

    @contextmanager
    def guard(self, key: Hashable, name: str) -> Generator[None]:
        """Let the call in the `with` block through, and count how it ends. `name` is for the error.

        Raises:
            ProviderUnavailableError: the circuit is open; it says for how long.
        """
        is_trial = self._admit(key, name)
        try:
            yield
        except ProviderUnavailableError:
            self._failed(key)
            raise
        except LoomError:
            self._answered(key)
            raise
        except BaseException:
            # Cancelled, or the caller's own failure: it says nothing of the provider.
            self._unheard(key, is_trial=is_trial)
            raise
        self._answered(key)

    def _admit(self, key: Hashable, name: str) -> bool:
        with self._lock:
            circuit = self._circuits.get(key)
            if circuit is None or circuit.open_until is None:
                return False
            left_s = circuit.open_until - self._clock()
            if left_s <= 0 and not circuit.is_tried:
                circuit.is_tried = True
                return True
            when = f"in {left_s:.0f} s" if left_s > 0 else "when the call that now tries it has ended well"
            raise ProviderUnavailableError(
                f"{name} is left alone: its last {circuit.failures} calls failed; it is asked again {when}"
            )

    def _failed(self, key: Hashable) -> None:
        with self._lock:
            circuit = self._circuits.setdefault(key, _Circuit())
            circuit.failures += 1
            circuit.is_tried = False
            if circuit.failures >= self._failures:
                circuit.open_until = self._clock() + self._open_s

    def _answered(self, key: Hashable) -> None:
        with self._lock:
            self._circuits.pop(key, None)

    def _unheard(self, key: Hashable, *, is_trial: bool) -> None:
        with self._lock:
            if is_trial and key in self._circuits:
                self._circuits[key].is_tried = False


# Of all calls of this process, unless a client is given another.
BREAKER = Breaker()
