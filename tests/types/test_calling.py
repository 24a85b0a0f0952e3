import threading
from collections.abc import Awaitable
from functools import partial
from typing import Any

import pytest

from loom.types.calling import call_off_loop

# Any: a function of any kind.

pytestmark = pytest.mark.anyio


async def later(x: int) -> int:
    return x + threading.get_ident()


def plain(x: int) -> int:
    return x + threading.get_ident()


def awaitable(x: int) -> Awaitable[int]:
    return later(x)


class Later:
    async def __call__(self, x: int) -> int:
        return x + threading.get_ident()


@pytest.mark.parametrize(
    "fn", [later, awaitable, Later(), partial(later)], ids=["async", "gives an awaitable", "an object", "partial"]
)
async def test_what_is_async_is_awaited_in_the_loop(fn: Any) -> None:
    assert await call_off_loop(fn, 1) == threading.get_ident() + 1


@pytest.mark.parametrize("fn", [plain, partial(plain)], ids=["plain", "partial"])
async def test_what_is_not_is_called_in_a_thread(fn: Any) -> None:
    assert await call_off_loop(fn, 1) not in (threading.get_ident(), threading.get_ident() + 1)
