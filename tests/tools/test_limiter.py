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
    limiter = Limiter[int](2, clock)
    assert limiter.take("a", 1) == 0
    clock.now += 10
    assert limiter.take("b", 1) == 0
    assert limiter.take("c", 1) == pytest.approx(50)
    clock.now += 49.999
    assert limiter.take("c", 1) > 0
    clock.now += 0.001
    assert limiter.take("c", 1) == 0
    assert limiter.take("d", 1) == pytest.approx(10)


def test_who_looks_for_a_place_takes_none() -> None:
    clock = Clock()
    limiter = Limiter[int](1, clock)
    assert [limiter.wait_s(), limiter.wait_s()] == [0, 0]
    assert limiter.take("a", 1) == 0
    clock.now += 20
    assert limiter.wait_s() == pytest.approx(40)
    clock.now += 40
    assert limiter.wait_s() == 0


def test_a_place_counts_from_when_it_was_used_and_keeps_no_other_one_back() -> None:
    clock = Clock()
    limiter = Limiter[int](2, clock)
    limiter.take("a", 1)
    clock.now += 30
    limiter.take("b", 1)
    clock.now += 10
    limiter.use("a")
    clock.now += 50
    assert limiter.take("c", 1) == 0
    assert limiter.take("d", 1) == pytest.approx(10)


def test_a_place_is_used_once_and_only_while_the_window_lasts() -> None:
    clock = Clock()
    limiter = Limiter[int](5, clock)
    limiter.take("a", 1)
    limiter.take("a", 1)
    assert [limiter.use("a"), limiter.use("a"), limiter.use("a"), limiter.use("b")] == [True, True, False, False]
    limiter.take("a", 1)
    clock.now += 60
    assert not limiter.use("a")


def test_the_oldest_place_is_used_first_so_that_none_of_two_equal_calls_runs_out() -> None:
    clock = Clock()
    limiter = Limiter[int](5, clock)
    limiter.take("a", 1)
    clock.now += 50
    limiter.take("a", 1)
    clock.now += 5
    assert limiter.use("a")
    clock.now += 6
    assert limiter.use("a"), "decided 11 seconds ago"


def test_a_place_that_ran_out_is_no_reason_to_refuse_a_later_one() -> None:
    clock = Clock()
    limiter = Limiter[int](5, clock)
    limiter.take("a", 1)
    clock.now += 50
    limiter.take("a", 1)
    clock.now += 11
    assert [limiter.use("a"), limiter.use("a")] == [True, False]


def test_a_call_is_known_while_it_has_a_place_that_is_not_used() -> None:
    clock = Clock()
    limiter = Limiter[int](3, clock)
    assert limiter.call("a") is None
    limiter.take("a", 1)
    limiter.take("a", 2)
    limiter.use("a")
    assert limiter.call("a") == 1
    limiter.use("a")
    assert limiter.call("a") is None
    limiter.take("a", 3)
    clock.now += 60
    limiter.take("b", 4)
    assert (limiter.call("a"), limiter.call("b")) == (None, 4)


def test_a_place_that_is_given_back_is_free_and_the_earlier_one_of_an_equal_call_stays() -> None:
    clock = Clock()
    limiter = Limiter[int](2, clock)
    limiter.take("a", 1)
    clock.now += 10
    limiter.take("a", 2)
    limiter.give_back("a")
    assert (limiter.wait_s(), limiter.call("a")) == (0, 1)
    assert limiter.use("a")
    limiter.give_back("a")
    limiter.give_back("b")
    limiter.take("b", 1)
    assert limiter.wait_s() == pytest.approx(60), "one was used and stays so"


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.floats(0, 40), st.sampled_from(["take", "look", "use", "give back"]), st.sampled_from("ab"))),
)
def test_no_window_of_sixty_seconds_ever_holds_more_than_the_limit(
    limit: int, moves: list[tuple[float, str, str]]
) -> None:
    clock = Clock()
    limiter = Limiter[int](limit, clock)
    used: list[float] = []
    for wait_s, move, digest in moves:
        clock.now += wait_s
        if move == "take":
            limiter.take(digest, 1)
        elif move == "look":
            limiter.wait_s()
        elif move == "give back":
            limiter.give_back(digest)
        elif limiter.use(digest):
            used.append(clock.now)
            assert sum(at > clock.now - 60 for at in used) <= limit


def test_a_hundred_threads_take_no_more_than_there_are() -> None:
    limiter = Limiter[int](60, lambda: 0.0)
    with ThreadPoolExecutor(16) as pool:
        waits = list(pool.map(limiter.take, map(str, range(100)), range(100)))
    assert waits.count(0) == 60
