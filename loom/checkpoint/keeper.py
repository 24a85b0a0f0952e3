"""Keeps leases alive while their runs are at work, whatever the event loop is busy with."""

import _thread
import os
import sys
import threading
import weakref
from collections.abc import Callable, Sequence

from loom.core.journal import Claim


class Keeper:
    """Calls `renew` with the claims that are held, every `every_s` seconds, from a thread of its own.

    The thread lives from the first claim on until there is none at its turn, or until `close`. A `renew` that raises
    is reported to `threading.excepthook`, and called again at the next turn. A forked process holds nothing yet.
    """

    def __init__(self, renew: Callable[[Sequence[Claim]], None], every_s: float) -> None:
        self._renew = renew
        self._every_s = every_s
        self.hold_nothing()
        _KEEPERS.add(self)

    def hold_nothing(self) -> None:
        """Begin without claims and with locks of its own, as a forked process does."""
        self._held: dict[tuple[str, int], Claim] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._ended.set()
        self._thread = 0

    def hold(self, claim: Claim) -> None:
        """Keep this claim alive from now on."""
        with self._lock:
            self._held[claim.run_id, claim.token] = claim
            if self._ended.is_set() or self._wake.is_set():  # a thread that is told to end may be at work still
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
            ended, thread = self._ended, self._thread
        if thread != threading.get_ident():
            ended.wait()

    def _begin(self) -> None:
        wake, ended = threading.Event(), threading.Event()
        # Not by `threading`, which waits until the thread is at work: that takes longer than to claim a run.
        self._thread = _thread.start_new_thread(self._keep, (wake, ended))
        self._wake, self._ended = wake, ended

    def _keep(self, wake: threading.Event, ended: threading.Event) -> None:
        try:
            while not wake.wait(self._every_s):
                with self._lock:
                    held = list(self._held.values())
                    if not held:
                        ended.set()
                        return
                try:
                    self._renew(held)
                except Exception:  # noqa: BLE001 - it is reported, and the leases need the next turn
                    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), None)))
        finally:
            ended.set()


_KEEPERS: weakref.WeakSet[Keeper] = weakref.WeakSet()


def _hold_nothing_in_child() -> None:
    for keeper in _KEEPERS:  # whose locks may be held by threads that only the parent has
        keeper.hold_nothing()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_hold_nothing_in_child)
