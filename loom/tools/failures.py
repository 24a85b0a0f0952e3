"""What code of the user's raises: a failure of its own, or what is meant for the whole program."""

import asyncio
from typing import cast


def is_failure(error: BaseException) -> bool:
    """Tell whether code of the user's failed by itself, so that it is told and the program goes on.

    `SystemExit` is such a failure: a tool that parses arguments must not end its host. So is a cancellation that nobody
    asked of the current task, as of a task that the code waited for. Ctrl-C and a cancellation that was asked for are
    none, not even in a group.
    """
    if isinstance(error, Exception):
        return True
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_failure, cast("BaseExceptionGroup[BaseException]", error).exceptions))
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    return not isinstance(error, KeyboardInterrupt | GeneratorExit)
