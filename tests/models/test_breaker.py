"""Tests of the circuit breaker, on a clock that stands still."""

import pytest

from loom.errors import ContextOverflowError, LoomError, ProviderError, ProviderUnavailableError, RateLimitError
from loom.models.breaker import Breaker
from tests.clock import Clock

LEFT_ALONE = r'model "m" is left alone: its last \d+ calls failed; it is asked again'


def call(breaker: Breaker, ends: BaseException | None = None, key: str = "m") -> None:
    """Make one call that ends as told."""
    with breaker.guard(key, f'model "{key}"'):
        if ends is not None:
            raise ends


def fail(breaker: Breaker, times: int = 1, key: str = "m") -> None:
    for _ in range(times):
        with pytest.raises(ProviderUnavailableError, match="no network"):
            call(breaker, ProviderUnavailableError("no network"), key)


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(clock=clock)
    fail(breaker, times=5)
    return breaker


def test_the_sixth_call_after_five_failures_is_not_made() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 18
    with pytest.raises(ProviderUnavailableError, match=rf"{LEFT_ALONE} in 42 s"):
        call(breaker)


def test_only_failures_in_a_row_count() -> None:
    breaker = Breaker(clock=Clock())
    for _ in range(3):
        fail(breaker, times=4)
        call(breaker)


@pytest.mark.parametrize("error", [ProviderError("400"), RateLimitError("429"), ContextOverflowError("413")])
def test_a_refusal_is_an_answer(error: LoomError) -> None:
    breaker = Breaker(clock=Clock())
    for _ in range(9):
        with pytest.raises(type(error)):
            call(breaker, error)
    fail(breaker, times=4)
    with pytest.raises(type(error)):
        call(breaker, error)
    fail(breaker)
    call(breaker)


def test_after_its_time_one_call_tries_and_closes_the_circuit() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 60
    with breaker.guard("m", 'model "m"'), pytest.raises(ProviderUnavailableError, match=f"{LEFT_ALONE} when the call"):
        call(breaker)
    fail(breaker, times=4)
    call(breaker)


def test_a_trial_that_fails_opens_the_circuit_for_as_long_again() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 61
    fail(breaker)
    with pytest.raises(ProviderUnavailableError, match=rf"{LEFT_ALONE} in 60 s"):
        call(breaker)


def test_a_trial_that_was_cancelled_leaves_the_next_call_to_try() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 61
    with pytest.raises(KeyboardInterrupt):
        call(breaker, KeyboardInterrupt())
    call(breaker)


def test_what_the_caller_breaks_says_nothing_of_the_provider() -> None:
    breaker = Breaker(clock=Clock())
    fail(breaker, times=4)
    with pytest.raises(ZeroDivisionError):
        call(breaker, ZeroDivisionError())
    fail(breaker)
    with pytest.raises(ProviderUnavailableError, match=LEFT_ALONE):
        call(breaker)


def test_each_provider_has_a_circuit_of_its_own() -> None:
    breaker = opened(Clock())
    call(breaker, key="other")
