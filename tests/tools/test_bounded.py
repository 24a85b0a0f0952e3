"""Tests of calling what may hang."""

import threading
import time
from collections.abc import Awaitable
from functools import partial

import anyio
import pytest

from loom.tools.bounded import OutOfTimeError, bounded

pytestmark = pytest.mark.anyio


async def test_plain_and_async_functions_are_called_with_what_they_take() -> None:
    async def later(x: int) -> int:
        return x + 1

    class Callable:
        async def __call__(self, x: int) -> int:
            return x + 2

    def plain(x: int) -> int:
        return x

    def awaitable(x: int) -> Awaitable[int]:
        return later(x)

    assert await bounded(plain, 1) == 1
    assert await bounded(later, 1) == 2
    assert await bounded(Callable(), 1) == 3
    assert await bounded(awaitable, 1) == 2
    assert await bounded(partial(later, 1)) == 2


async def test_a_plain_function_does_not_hold_up_the_loop() -> None:
    assert await bounded(threading.get_ident) != threading.get_ident()


async def test_what_hangs_is_left_after_its_time() -> None:
    release = threading.Event()
    started = time.monotonic()
    with pytest.raises(OutOfTimeError, match=r"longer than 0\.05 s"):
        await bounded(release.wait, limit_s=0.05)
    with pytest.raises(OutOfTimeError):
        await bounded(anyio.sleep_forever, limit_s=0.05)
    assert time.monotonic() - started < 2
    release.set()


async def test_what_is_raised_is_raised_also_a_timeout_of_its_own() -> None:
    def fail() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await bounded(fail)
