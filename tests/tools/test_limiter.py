"""Tests of how many calls may be made in a minute."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom.tools.limiter import Limiter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_places_come_back_after_sixty_seconds_one_by_one() -> None:
    clock = Clock()
    limiter = Limiter(2, clock)
    assert limiter.take("a") == 0
    clock.now += 10
    assert limiter.take("b") == 0
    assert limiter.take("c") == pytest.approx(50)
    clock.now += 49.999
    assert limiter.take("c") > 0
    clock.now += 0.001
    assert limiter.take("c") == 0
    assert limiter.take("d") == pytest.approx(10)


def test_a_place_given_back_does_not_count_and_one_used_cannot_be_given_back() -> None:
    limiter = Limiter(1, Clock())
    limiter.take("a")
    limiter.give_back("a")
    assert limiter.take("b") == 0
    assert limiter.use("b")
    limiter.give_back("b")
    assert limiter.take("c") > 0


def test_a_place_counts_from_when_it_was_used_and_keeps_no_other_one_back() -> None:
    clock = Clock()
    limiter = Limiter(2, clock)
    limiter.take("a")
    clock.now += 30
    limiter.take("b")
    clock.now += 10
    limiter.use("a")
    clock.now += 50
    assert limiter.take("c") == 0
    assert limiter.take("d") == pytest.approx(10)


def test_a_place_is_used_once_and_only_while_the_window_lasts() -> None:
    clock = Clock()
    limiter = Limiter(5, clock)
    limiter.take("a")
    limiter.take("a")
    assert [limiter.use("a"), limiter.use("a"), limiter.use("a"), limiter.use("b")] == [True, True, False, False]
    limiter.take("a")
    clock.now += 60
    assert not limiter.use("a")


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.floats(0, 40), st.sampled_from(["take", "give back", "use"]), st.sampled_from("ab"))),
)
def test_no_window_of_sixty_seconds_ever_holds_more_than_the_limit(
    limit: int, moves: list[tuple[float, str, str]]
) -> None:
    clock = Clock()
    limiter = Limiter(limit, clock)
    used: list[float] = []
    for wait_s, move, digest in moves:
        clock.now += wait_s
        if move == "take":
            limiter.take(digest)
        elif move == "give back":
            limiter.give_back(digest)
        elif limiter.use(digest):
            used.append(clock.now)
            assert sum(at > clock.now - 60 for at in used) <= limit


def test_a_hundred_threads_take_no_more_than_there_are() -> None:
    limiter = Limiter(60, lambda: 0.0)
    with ThreadPoolExecutor(16) as pool:
        waits = list(pool.map(limiter.take, (str(number) for number in range(100))))
    assert waits.count(0) == 60
