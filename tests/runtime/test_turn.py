"""Tests of turns: one at a time and in order, over tasks, threads and event loops."""

import asyncio
import threading
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

import pytest

from loom.errors import RunError
from loom.runtime.turn import Turn

pytestmark = pytest.mark.anyio


# Any: what a coroutine is sent, which is nothing.
def in_thread(work: Coroutine[Any, Any, None]) -> threading.Thread:
    """Do work in a thread of its own, with a loop of its own."""
    thread = threading.Thread(target=asyncio.run, args=(work,), daemon=True)
    thread.start()
    return thread


async def test_turns_are_taken_in_the_order_in_which_they_were_asked_for() -> None:
    turn, order = Turn("the door"), list[int]()

    async def take(number: int) -> None:
        async with turn:
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(take(number) for number in range(5)))
    assert order == [0, 1, 2, 3, 4]


async def test_whoever_stops_waiting_holds_nobody_up() -> None:
    turn = Turn("the door")

    async def take() -> str:
        async with turn:
            return "had it"

    first, second = asyncio.create_task(take()), asyncio.create_task(take())
    async with turn:
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
    async with asyncio.timeout(5):
        assert await second == "had it"


async def test_a_turn_that_is_given_to_one_who_is_cancelled_in_that_moment_is_passed_on() -> None:
    turn = Turn("the door")

    async def take() -> str:
        async with turn:
            return "had it"

    first, second = asyncio.create_task(take()), asyncio.create_task(take())
    async with turn:
        await asyncio.sleep(0)
    first.cancel()  # the turn is its own by now, but it has not run since
    async with asyncio.timeout(5):
        assert await second == "had it"
    assert first.cancelled()


async def test_who_holds_the_turn_is_refused_to_wait_for_it_until_it_is_given_back() -> None:
    turn = Turn("the door")
    for _ in range(2):
        async with turn:
            with pytest.raises(RunError, match="inside a run that has the turn of the door another was begun"):
                async with asyncio.timeout(5), turn:
                    pass


def test_only_one_of_many_threads_has_its_turn() -> None:
    turn, at_once, most, had = Turn("the door"), 0, 0, list[int]()

    async def take(number: int) -> None:
        nonlocal at_once, most
        for _ in range(20):
            async with turn:
                at_once += 1
                most = max(most, at_once)
                await asyncio.sleep(0.0005)
                at_once -= 1
                had.append(number)

    threads = [in_thread(take(number)) for number in range(4)]
    for thread in threads:
        thread.join(20)
    assert (most, len(had)) == (1, 80)


def test_a_loop_that_was_closed_while_it_waited_neither_gets_the_turn_nor_gives_away_that_of_another() -> None:
    turn, had = Turn("the door"), list[str]()
    begun = threading.Semaphore(0)
    ends = threading.Event()

    async def hold(name: str) -> None:
        async with turn:
            had.append(name)
            begun.release()
            await asyncio.to_thread(ends.wait, 10)

    threads = [in_thread(hold("first"))]
    assert begun.acquire(timeout=5)
    loop = asyncio.new_event_loop()
    waiting = hold("lost")
    loop.call_soon(waiting.send, None)  # no task: asyncio would complain of one that is left
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    ends.set()
    threads[0].join(5)
    ends.clear()
    for name in ("second", "third"):
        threads.append(in_thread(hold(name)))
        begun.acquire(timeout=0.2)
    assert had == ["first", "second"]
    waiting.close()
    assert not begun.acquire(timeout=0.2)
    ends.set()
    for thread in threads:
        thread.join(5)
    assert had == ["first", "second", "third"]


def test_a_loop_that_is_stopped_is_passed_over_and_has_its_turn_once_it_runs_again() -> None:
    turn, had = Turn("the door"), list[str]()
    stopped = asyncio.new_event_loop()

    async def take(name: str) -> None:
        async with asyncio.timeout(5), turn:
            had.append(name)

    async def hold_and_stop() -> asyncio.Task[None]:
        async with asyncio.timeout(5), turn:
            waiting = await asyncio.to_thread(stopped.run_until_complete, begin())
        for name in ("second", "third"):
            await take(name)
        return waiting

    async def begin() -> asyncio.Task[None]:
        waiting = asyncio.create_task(take("late"), context=Context())
        await asyncio.sleep(0)
        return waiting

    waiting = asyncio.run(hold_and_stop())
    assert had == ["second", "third"]
    stopped.run_until_complete(waiting)
    asyncio.run(take("last"))
    assert had == ["second", "third", "late", "last"]
    stopped.close()
