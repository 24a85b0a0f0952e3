"""Running and resuming with events as they come, until the end or a signal."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from loom.errors import LoomError
from loom.runs.handle import GraphRun
from loom.types.events import Event

# Any, in this module: the state of a graph is the user's.
Hear = Callable[[Event], None]


async def attend(handle: GraphRun[Any], hear: Hear) -> int:
    """Follow a run to its end, or the end of this walk of it; return the signal that cancelled it, else 0.

    Raises what `handle.wait` raises.
    """
    with _cancelled_by_signal(handle.cancel) as caught:
        try:
            async for event in handle.events(after=None):
                hear(event)
        except BaseException:  # the story cannot be told: no run goes on unseen
            handle.cancel()
            with suppress(LoomError):
                await handle.wait()
            raise
        await handle.wait()
    return caught[0] if caught else 0


@contextmanager
def _cancelled_by_signal(cancel: Callable[[], object]) -> Generator[list[int], None, None]:
    """Cancel at the first Ctrl-C or SIGTERM, which is then in the list; a second one ends the process.

    Handlers of the process, not of the loop: those do not exist on Windows.
    """
    loop = asyncio.get_running_loop()
    caught: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        for each in before:
            signal.signal(each, _end_now)
        loop.call_soon_threadsafe(cancel)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_now(number: int, _frame: FrameType | None) -> None:
    """End the process as kill -9 would; what was finished is saved. Only the cursor is given back."""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")
        sys.stderr.flush()
    os._exit(128 + number)
