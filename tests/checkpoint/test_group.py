"""Tests of commits made together."""

import threading
from collections.abc import Sequence
from functools import partial

import pytest

from loom.checkpoint.group import Group, Work


class Disk:
    """Commits batches, as slowly as the test lets it."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.may_go_on = threading.Event()
        self.fails = False

    def commit(self, works: Sequence[Work]) -> list[BaseException | None]:
        self.batches.append(len(works))
        assert self.may_go_on.wait(10)
        if self.fails:
            raise OSError("the disk is full")
        errors: list[BaseException | None] = []
        for work in works:
            try:
                work()
                errors.append(None)
            except ValueError as error:
                errors.append(error)
        return errors


def test_what_comes_while_a_commit_lasts_is_committed_together() -> None:
    disk, done = Disk(), list[int]()
    group = Group(disk.commit)
    first = group.submit(lambda: done.append(0))
    while not disk.batches:
        pass
    others = [group.submit(partial(done.append, number)) for number in range(1, 20)]
    disk.may_go_on.set()
    for future in (first, *others):
        future.result(10)
    group.close()
    assert (disk.batches, done) == ([1, 19], list(range(20)))


def test_a_piece_that_fails_leaves_the_others_alone() -> None:
    disk = Disk()
    disk.may_go_on.set()
    group = Group(disk.commit)

    def fail() -> None:
        raise ValueError("not this one")

    good, bad = group.submit(lambda: None), group.submit(fail)
    good.result(10)
    with pytest.raises(ValueError, match="not this one"):
        bad.result(10)
    group.close()


def test_a_commit_that_fails_is_the_failure_of_every_piece() -> None:
    disk = Disk()
    disk.fails = True
    group = Group(disk.commit)
    futures = [group.submit(lambda: None) for _ in range(3)]
    disk.may_go_on.set()
    for future in futures:
        with pytest.raises(OSError, match="the disk is full"):
            future.result(10)
    group.close()


def test_closing_does_what_waits_and_ends_the_thread() -> None:
    disk = Disk()
    disk.may_go_on.set()
    group = Group(disk.commit)
    futures = [group.submit(lambda: None) for _ in range(10)]
    group.close()
    assert all(future.done() for future in futures)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loom commits")]
    again = group.submit(lambda: None)
    group.close()
    assert again.done()
