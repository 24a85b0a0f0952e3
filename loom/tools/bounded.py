"""Code of the user's that may hang: rules and hooks."""

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, cast

import anyio
import anyio.to_thread

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
        if inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None)):  # noqa: B004
            return await cast("Awaitable[object]", fn(*arguments))
        result = await anyio.to_thread.run_sync(partial(fn, *arguments), abandon_on_cancel=True)
        return await cast("Awaitable[object]", result) if inspect.isawaitable(result) else result
    raise OutOfTimeError(f"it took longer than {limit_s:g} s")
