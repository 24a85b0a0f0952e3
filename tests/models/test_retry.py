from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom.models.retry import Backoff, retry_after_s, retry_delay_s

NOW = 1_800_000_000.0


def test_waits_double() -> None:
    backoff = Backoff(max_attempts=4, backoff_s=1.0)
    assert [backoff.wait_s(attempt, None, 0.0) for attempt in (1, 2, 3)] == [1.0, 2.0, 4.0]


def test_the_last_attempt_is_not_waited_after() -> None:
    assert Backoff(max_attempts=3).wait_s(3, None, 0.0) is None
    assert Backoff(max_attempts=1).wait_s(1, 1.0, 0.0) is None


def test_a_wish_is_honoured() -> None:
    assert Backoff(backoff_s=0.5).wait_s(1, 7.0, 0.0) == 7.0


def test_a_wish_too_long_is_not_waited_for() -> None:
    assert Backoff(max_backoff_s=60.0).wait_s(1, 61.0, 0.0) is None


@given(st.integers(1, 99), st.floats(0, 1), st.none() | st.floats(0, 60))
def test_a_wait_lies_between_half_the_backoff_and_the_maximum(attempt: int, chance: float, wish: float | None) -> None:
    wait_s = Backoff(max_attempts=100, backoff_s=0.5).wait_s(attempt, wish, chance)
    assert wait_s is not None
    assert 0.25 <= wait_s <= 60.0
    assert wait_s >= (wish or 0.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"Retry-After": format_datetime(datetime.fromtimestamp(NOW + 30, UTC), usegmt=True)}, 30.0),
        ({"Retry-After": format_datetime(datetime.fromtimestamp(NOW - 30, UTC), usegmt=True)}, 0.0),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Content-Type": "application/json"}, None),
    ],
)
def test_the_wish_is_read_from_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("details", "delay_s"),
    [
        ([{"@type": "QuotaFailure"}, {"retryDelay": "34s"}], 34.0),
        ([{"retryDelay": "0.250s"}], 0.25),
        ([{"retryDelay": "soon"}, {"retryDelay": 7}, "7s", None], None),
        ([], None),
        ({"retryDelay": "7s"}, None),
        (None, None),
    ],
)
def test_google_says_among_the_details_of_an_error_how_long_to_wait(details: object, delay_s: float | None) -> None:
    assert retry_delay_s(details) == delay_s
