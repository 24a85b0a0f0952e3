"""Calling functions of the user's, of whatever kind they are."""

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from anyio import to_thread


# Any: whatever the user's function takes and gives.
async def call_off_loop(fn: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
    """Call a function, in a thread if it is not async; return its result. A thread that is cut off goes on alone."""
    if inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None)):  # noqa: B004
        return await cast("Awaitable[Any]", fn(*arguments))
    result = await to_thread.run_sync(partial(fn, *arguments), abandon_on_cancel=True)
    # A plain function may return what is to be awaited, as a partial of an async one does.
    return await result if inspect.isawaitable(result) else result
