"""Commits that wait for the disk, made together: one flush for all that came while the last one lasted."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

Work = Callable[[], None]


class Group:
    """Hands pieces of work to `commit` in batches, in a thread of its own, in the order they came.

    `commit` does all of a batch in one transaction and returns, for each piece, the error that it
    raised, or None.
    """

    def __init__(self, commit: Callable[[Sequence[Work]], Sequence[BaseException | None]]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        self._waiting: list[tuple[Work, Future[None]]] = []
        self._thread: ThreadPoolExecutor | None = None

    def submit(self, work: Work) -> Future[None]:
        """Have a piece of work done; the future ends once it is committed, with its error if it has one."""
        done: Future[None] = Future()
        with self._lock:
            self._waiting.append((work, done))
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="loom commits")
            self._thread.submit(self._next)
        return done

    def close(self) -> None:
        """Do what waits, then end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread:
            thread.shutdown()

    def _next(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, []
        if not batch:
            return  # an earlier turn took it along
        try:
            errors = self._commit([work for work, _ in batch])
        except BaseException as failed:  # noqa: BLE001 - of the commit, so of every piece
            errors = [failed] * len(batch)
        for (_, done), error in zip(batch, errors, strict=True):
            if error:
                done.set_exception(error)
            else:
                done.set_result(None)
