"""Code of the user's that may hang: rules and hooks."""

from collections.abc import Callable
from typing import Any, Final

import anyio

from loom.types.calling import call_off_loop

LIMIT_S: Final = 5.0


class OutOfTimeError(Exception):
    """It took longer than it may. Not a `TimeoutError`, which the code may raise itself."""


# Any: whatever the user's function takes.
async def bounded(fn: Callable[..., object], *arguments: Any, limit_s: float = LIMIT_S) -> object:
    """Call a function, async or plain, the latter in a thread; return its result.

    A thread that hangs is abandoned. An async function that never awaits cannot be stopped.

    Raises:
        OutOfTimeError: it took longer than `limit_s` seconds.
    """
    with anyio.move_on_after(limit_s):
        return await call_off_loop(fn, *arguments)
    raise OutOfTimeError(f"it took longer than {limit_s:g} s")
