"""Tests of keeping leases alive."""

import os
import time
import warnings
from collections.abc import Sequence

import psutil

from loom.checkpoint.keeper import Keeper
from loom.core.journal import Claim


def threads() -> set[int]:
    return {thread.id for thread in psutil.Process().threads()}


def wait_until_only(others: set[int]) -> None:
    while threads() - others:  # the machine ends a thread a moment after its work is done
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
