"""Tests of keeping leases alive."""

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Sequence

import psutil

from loom.checkpoint.keeper import Keeper
from loom.core.journal import Claim


def threads() -> set[int]:
    return {thread.id for thread in psutil.Process().threads()}


def wait_until_only(others: set[int]) -> None:
    while threads() - others:  # the machine ends a thread a moment after its work is done
        time.sleep(0.005)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_claims_that_are_held_are_renewed_and_those_dropped_are_not() -> None:
    others = threads()  # of whatever other tests have left
    renewed: list[set[str]] = []
    keeper = Keeper(lambda claims: renewed.append({claim.run_id for claim in claims}), 0.01)
    a, b = Claim("a", 1, 0), Claim("b", 1, 0)
    keeper.hold(a)
    keeper.hold(b)
    while {"a", "b"} not in renewed:
        time.sleep(0.005)
    keeper.drop(a)
    renewed.clear()
    while {"b"} not in renewed:
        time.sleep(0.005)
    keeper.close()
    wait_until_only(others)


def test_the_thread_ends_when_nothing_is_held_and_begins_again() -> None:
    others = threads()
    turns: list[Sequence[Claim]] = []
    keeper = Keeper(turns.append, 0.01)
    claim = Claim("a", 1, 0)
    keeper.hold(claim)
    keeper.drop(claim)
    wait_until_only(others)
    keeper.hold(claim)
    while not turns:
        time.sleep(0.005)
    keeper.close()
    keeper.close()
    wait_until_only(others)


def test_a_claim_made_while_the_keeper_closes_is_renewed() -> None:
    others = threads()
    at_work, go_on = threading.Event(), threading.Event()
    renewed: list[str] = []

    def renew(claims: Sequence[Claim]) -> None:
        renewed.extend(claim.run_id for claim in claims)
        at_work.set()
        go_on.wait()

    keeper = Keeper(renew, 0.01)
    keeper.hold(Claim("a", 1, 0))
    at_work.wait()
    closing = threading.Thread(target=keeper.close)
    closing.start()
    time.sleep(0.05)  # it waits for the renewal by now
    keeper.hold(Claim("b", 1, 0))
    go_on.set()
    closing.join()
    wait_for(lambda: "b" in renewed)
    keeper.close()
    wait_until_only(others)


def test_a_renewal_that_fails_unforeseen_is_reported_and_the_next_comes() -> None:
    turns: list[Sequence[Claim]] = []
    reported: list[type[BaseException]] = []

    def renew(claims: Sequence[Claim]) -> None:
        turns.append(claims)
        if len(turns) == 1:
            raise MemoryError("once")

    def report(failed: threading.ExceptHookArgs) -> None:
        reported.append(failed.exc_type)

    before, threading.excepthook = threading.excepthook, report
    keeper = Keeper(renew, 0.01)
    try:
        keeper.hold(Claim("a", 1, 0))
        wait_for(lambda: len(turns) > 1)
    finally:
        keeper.close()
        threading.excepthook = before
    assert reported == [MemoryError]


class SlowId(str):
    """An id that is looked up for as long as `go_on` is not set."""

    __slots__ = ()
    at_work, go_on = threading.Event(), threading.Event()

    def __hash__(self) -> int:
        self.at_work.set()
        self.go_on.wait()
        return super().__hash__()


def test_a_process_that_is_forked_while_a_run_is_claimed_keeps_only_its_own_claims() -> None:
    reading, told = os.pipe()

    def renew(claims: Sequence[Claim]) -> None:
        os.write(told, f"{os.getpid()}:{','.join(claim.run_id for claim in claims)} ".encode())

    keeper = Keeper(renew, 0.01)
    keeper.hold(Claim("p", 1, 0))
    claiming = threading.Thread(target=lambda: keeper.hold(Claim(SlowId("slow"), 1, 0)))
    claiming.start()
    SlowId.at_work.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(5)  # which ends it
        keeper.hold(Claim("c", 1, 0))
        time.sleep(0.1)
        keeper.close()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    SlowId.go_on.set()
    claiming.join()
    keeper.close()
    os.close(told)
    with os.fdopen(reading) as heard:
        turns = [turn.split(":") for turn in heard.read().split()]
    assert status == 0
    assert {claims for process, claims in turns if process == str(child)} == {"c"}


def test_a_forked_process_keeps_its_own_claims() -> None:
    """The parent's thread is not carried over."""
    reading, told = os.pipe()

    def renew(claims: Sequence[Claim]) -> None:
        os.write(told, claims[-1].run_id.encode())

    keeper = Keeper(renew, 0.01)
    keeper.hold(Claim("p", 1, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads, which is what is tried
        child = os.fork()
    if child == 0:
        keeper.hold(Claim("c", 1, 0))
        time.sleep(60)
        os._exit(0)
    heard = b""
    while b"c" not in heard:
        heard += os.read(reading, 100)
    os.kill(child, 9)
    os.waitpid(child, 0)
    keeper.close()
    os.close(told)
    os.close(reading)
