"""Keeps leases alive while their runs are at work, whatever the event loop is busy with."""

import threading
from collections.abc import Callable, Sequence

from loom.core.journal import Claim


class Keeper:
    """Calls `renew` with the claims that are held, every `every_s` seconds, from a thread of its own.

    The thread lives from the first claim on until there is none at its turn, or until `close`.
    """

    def __init__(self, renew: Callable[[Sequence[Claim]], None], every_s: float) -> None:
        self._renew = renew
        self._every_s = every_s
        self._held: dict[tuple[str, int], Claim] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, claim: Claim) -> None:
        """Keep this claim alive from now on."""
        with self._lock:
            self._held[claim.run_id, claim.token] = claim
            if self._thread is None or not self._thread.is_alive():
                self._wake.clear()
                self._thread = threading.Thread(target=self._keep, name="loom leases", daemon=True)
                self._thread.start()

    def drop(self, claim: Claim) -> None:
        """Keep this claim no longer."""
        with self._lock:
            self._held.pop((claim.run_id, claim.token), None)

    def close(self) -> None:
        """End the thread and wait for it."""
        with self._lock:
            self._held.clear()
            thread, self._thread = self._thread, None
        self._wake.set()
        if thread and thread is not threading.current_thread():
            thread.join()

    def _keep(self) -> None:
        while not self._wake.wait(self._every_s):
            with self._lock:
                held = list(self._held.values())
                if not held:
                    self._thread = None
                    return
            self._renew(held)
