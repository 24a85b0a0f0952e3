import threading
from collections.abc import Awaitable
from functools import partial
from typing import Any

import pytest

from loom.types.calling import call_off_loop

# Any: a function of any kind.

pytestmark = pytest.mark.anyio

CALLED_IN: list[int] = []


async def later(x: int) -> int:
    CALLED_IN.append(threading.get_ident())
    return x + 1


def plain(x: int) -> int:
    CALLED_IN.append(threading.get_ident())
    return x + 1


def awaitable(x: int) -> Awaitable[int]:
    CALLED_IN.append(threading.get_ident())
    return later(x)


class Later:
    async def __call__(self, x: int) -> int:
        return await later(x)


class Opened:
    """What is called is the class: that its instances can be called is no matter."""

    def __init__(self, x: int) -> None:
        self.x = plain(x)

    async def __call__(self) -> None:
        raise NotImplementedError


def opened(x: int) -> int:
    return Opened(x).x


@pytest.mark.parametrize(
    ("fn", "in_loop"),
    [
        (later, [True]),
        (partial(later), [True]),
        (plain, [False]),
        (partial(plain), [False]),
        (awaitable, [False, True]),
        (Later(), [True]),
        (opened, [False]),
    ],
    ids=["async", "partial of async", "plain", "partial", "gives an awaitable", "object", "makes an object"],
)
async def test_only_what_is_async_is_called_in_the_loop(fn: Any, in_loop: list[bool]) -> None:
    CALLED_IN.clear()
    assert await call_off_loop(fn, 1) == 2
    assert [thread == threading.get_ident() for thread in CALLED_IN] == in_loop


async def test_a_class_gives_its_instance_whether_that_can_be_called_or_not() -> None:
    assert (await call_off_loop(Opened, 1)).x == 2
