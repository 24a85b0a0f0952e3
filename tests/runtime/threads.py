"""Threads for tests, each with an event loop of its own."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any


# Any: what a coroutine is sent, which is nothing.
def in_threads(work: Callable[[int], Coroutine[Any, Any, None]], count: int) -> None:
    """Do work in as many threads at once; raise what one of them raised, as soon as it did."""
    failures: list[BaseException] = []

    def do(number: int) -> None:
        try:
            asyncio.run(work(number))
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread of the test
            failures.append(error)

    threads = [threading.Thread(target=do, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + 30
    while any(thread.is_alive() for thread in threads) and not failures and time.monotonic() < ends:
        time.sleep(0.005)
    for failure in failures:  # before the threads that are alive, which may wait for the one that failed
        raise failure
    assert not any(thread.is_alive() for thread in threads), "a thread waits for ever"
