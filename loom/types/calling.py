"""Calling functions of the user's, of whatever kind they are."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from anyio import to_thread


# Any: whatever the user's function takes and gives.
async def call_off_loop(fn: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
    """Call a function, in a thread if it is not async; return its result. A thread that is cut off goes on alone."""
    if inspect.iscoroutinefunction(fn):
        return await fn(*arguments)
    result = await to_thread.run_sync(partial(fn, *arguments), abandon_on_cancel=True)
    # What is not async may return what is to be awaited, as an object with an async `__call__` does.
    return await result if inspect.isawaitable(result) else result
