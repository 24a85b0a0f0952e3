"""Threads for tests, each with an event loop of its own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any


# Any: what a coroutine is sent, which is nothing.
def in_threads(work: Callable[[int], Coroutine[Any, Any, None]], count: int) -> None:
    """Do work in as many threads at once; raise what one of them raised."""
    failures: list[BaseException] = []

    def do(number: int) -> None:
        try:
            asyncio.run(work(number))
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread of the test
            failures.append(error)

    threads = [threading.Thread(target=do, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads), "a thread waits for ever"
    for failure in failures:
        raise failure
