"""Keeps leases alive while their runs are at work, whatever the event loop is busy with."""

import _thread
import os
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
        self._ended = threading.Event()
        self._ended.set()
        self._thread = self._process = 0

    def hold(self, claim: Claim) -> None:
        """Keep this claim alive from now on."""
        with self._lock:
            self._held[claim.run_id, claim.token] = claim
            if self._ended.is_set() or self._process != os.getpid():  # no thread is carried over a fork
                self._begin()

    def drop(self, claim: Claim) -> None:
        """Keep this claim no longer."""
        with self._lock:
            self._held.pop((claim.run_id, claim.token), None)

    def close(self) -> None:
        """End the thread and wait for it."""
        with self._lock:
            self._held.clear()
            self._wake.set()
            ended = self._ended
        if self._process == os.getpid() and self._thread != threading.get_ident():
            ended.wait()

    def _begin(self) -> None:
        wake, ended = threading.Event(), threading.Event()
        # Not by `threading`, which waits until the thread is at work: that takes longer than to claim a run.
        self._thread = _thread.start_new_thread(self._keep, (wake, ended))
        self._wake, self._ended, self._process = wake, ended, os.getpid()

    def _keep(self, wake: threading.Event, ended: threading.Event) -> None:
        try:
            while not wake.wait(self._every_s):
                with self._lock:
                    held = list(self._held.values())
                    if not held:
                        ended.set()
                        return
                self._renew(held)
        finally:
            ended.set()
