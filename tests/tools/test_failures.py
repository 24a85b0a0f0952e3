"""Tests of what counts as a failure of the user's code."""

import asyncio

import anyio
import pytest

from loom.tools.failures import is_failure

pytestmark = pytest.mark.anyio


class Odd(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        SystemExit(2),
        Odd(),
        asyncio.CancelledError("of another task"),
        BaseExceptionGroup("both", [SystemExit(), BaseExceptionGroup("", [asyncio.CancelledError()])]),
    ],
)
async def test_what_ends_nothing_but_the_code_itself_is_a_failure(error: BaseException) -> None:
    assert is_failure(error)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), GeneratorExit(), BaseExceptionGroup("", [SystemExit(), KeyboardInterrupt()])]
)
async def test_what_is_meant_for_the_whole_program_is_none(error: BaseException) -> None:
    assert not is_failure(error)


async def test_a_cancellation_that_was_asked_for_is_none_alone_or_in_a_group() -> None:
    told: list[bool] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        except BaseException as error:
            told += [is_failure(error), is_failure(BaseExceptionGroup("", [error]))]
            raise
    assert told == [False, False]
    assert is_failure(asyncio.CancelledError())
