"""Tests of keeping leases alive."""

import threading
import time
from collections.abc import Sequence

from loom.checkpoint.keeper import Keeper
from loom.core.journal import Claim


def lease_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "loom leases"}


def test_claims_that_are_held_are_renewed_and_those_dropped_are_not() -> None:
    others = lease_threads()  # of stores that other tests have left
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
    assert lease_threads() <= others


def test_the_thread_ends_when_nothing_is_held_and_begins_again() -> None:
    others = lease_threads()
    turns: list[Sequence[Claim]] = []
    keeper = Keeper(turns.append, 0.01)
    claim = Claim("a", 1, 0)
    keeper.hold(claim)
    keeper.drop(claim)
    while lease_threads() - others:
        time.sleep(0.005)
    keeper.hold(claim)
    while not turns:
        time.sleep(0.005)
    keeper.close()
    keeper.close()
    assert lease_threads() <= others
