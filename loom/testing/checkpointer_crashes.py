# ruff: noqa: S101, S311, D102 - cases of a test suite: they assert, by chance too; their names are sentences
"""The cases of the stores' suite in which processes share a store, race for it and are killed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from random import Random
from time import monotonic
from typing import ClassVar

import anyio
import pytest

from loom.core.journal import Checkpointer, Claim
from loom.core.result import Status
from loom.errors import ConfigError, RunConflictError

Opener = Callable[[], Checkpointer]
Work = Callable[[Checkpointer, Connection, int], Awaitable[None]]
Begin = Callable[..., "Child"]

HEADER = b'{"format":1}'
_PATIENCE_S = 60.0
_PROCESSES = get_context("spawn")  # a fork would carry over what a store holds open


class Child:
    """A process that does `work` on a handle of its own on the store, and can be killed."""

    def __init__(self, opener: Opener, work: Work, number: int = 0) -> None:
        self._pipe, its_end = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=_do, args=(opener, work, its_end, number), daemon=True)
        self._process.start()
        its_end.close()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid or 0

    def said(self) -> object:
        """Return what it said next."""
        assert self._pipe.poll(_PATIENCE_S), "the process says nothing"
        try:
            return self._pipe.recv()
        except EOFError:
            self._process.join()
            raise AssertionError(f"the process failed with exit code {self._process.exitcode}, see above") from None

    def go(self) -> None:
        """Let it go on."""
        self._pipe.send("go")

    def kill(self) -> list[object]:
        """End it with SIGKILL; return what it had said before and was not heard yet."""
        self._process.kill()
        self._process.join()
        heard: list[object] = []
        while self._pipe.poll():
            try:
                heard.append(self._pipe.recv())
            except EOFError:
                break
        return heard


def _do(opener: Opener, work: Work, pipe: Connection, number: int) -> None:
    async def done() -> None:
        store = opener()
        await work(store, pipe, number)
        await store.close()

    asyncio.run(done())


# What the processes do. A run is a row of commits, each of one to three records that tell where they stand in it.


def commit_of(number: int) -> list[bytes]:
    """Return the records of a commit."""
    size = 1 + number % 3
    return [b'{"kind":"step","commit":%d,"part":%d,"of":%d}' % (number, part, size) for part in range(size)]


def commits(last: int) -> list[bytes]:
    """Return the records of all commits from 0 to the last."""
    return [record for number in range(last + 1) for record in commit_of(number)]


def status_after(commit: int) -> Status:
    """Return how a run stands after a commit: every seventh gives it back, the next takes it up again."""
    return "failed" if commit % 7 == 6 else "running"


async def go_on_and_on(store: Checkpointer, pipe: Connection, number: int) -> None:
    """Commit to run `r{number}` in all the ways there are; tell the number of each commit after it."""
    run_id, head = f"r{number}", 0
    claim = Claim(run_id, 0, 0)
    for commit in count():
        records = commit_of(commit)
        head += len(records)
        if commit == 0:
            claim = await store.create(run_id, "graph", HEADER, records)
        elif status_after(commit - 1) == "failed":
            claim = await store.claim(run_id, claim.head, records)
        else:
            await store.append(claim, records, status_after(commit), b"%d" % head if commit % 5 == 0 else None)
        pipe.send(commit)


async def hold(store: Checkpointer, pipe: Connection, number: int) -> None:
    """Begin a run, be told to go on, append, and tell whether that was refused."""
    claim = await store.create(f"r{number}", "graph", HEADER, commit_of(0))
    pipe.send("begun")
    await asyncio.to_thread(pipe.recv)
    try:
        await store.append(claim, commit_of(1))
        pipe.send("appended")
    except RunConflictError:
        pipe.send("refused")


async def take(store: Checkpointer, pipe: Connection, number: int) -> None:
    """Try to take run `r` over, tell how that went, and hold it."""
    await store.runs()
    pipe.send("ready")
    pipe.recv()
    try:
        await store.claim("r", 1, commit_of(number))
        pipe.send(number)
    except RunConflictError:
        pipe.send("lost")
    await asyncio.to_thread(pipe.recv)


async def walk(store: Checkpointer, pipe: Connection, number: int) -> None:
    """Walk a run from its beginning to its end. The store is used for the first time when it is told to go on."""
    pipe.send("ready")
    pipe.recv()
    claim = await store.create(f"r{number}", "graph", HEADER, commit_of(0))
    for commit in range(1, 50):
        await store.append(claim, commit_of(commit))
    await store.append(claim, commit_of(50), "completed")
    pipe.send("done")


async def taken_over(store: Checkpointer, run_id: str, head: int, within_s: float) -> Claim:
    """Claim a run as soon as the store lets one."""
    deadline = monotonic() + within_s
    while True:
        try:
            return await store.claim(run_id, head, [])
        except RunConflictError:
            if monotonic() > deadline:
                raise
        await anyio.sleep(0.05)


class ProcessCases:
    """The cases with several processes.

    `lives_in_one_process`: set it to True for a store whose runs no other process can reach; these
    cases are skipped then. `takeover_s`: how long a run may seem taken after its owner's death, in
    seconds; for a store that cannot tell and waits for the lease to expire, a bit more than its lease.
    """

    lives_in_one_process: ClassVar[bool] = False
    takeover_s: ClassVar[float] = 5.0

    @pytest.fixture
    def opener(self) -> Opener:
        """Return what opens one more handle on the same runs, in whatever process it is called."""
        raise ConfigError(
            f'{type(self).__name__} must override the fixture "opener": return what opens the store, such as '
            f"functools.partial(MyStore, path). For a store whose runs live in one process override the fixture "
            f'"store" instead and set lives_in_one_process = True'
        )

    @pytest.fixture
    def begin(self, request: pytest.FixtureRequest) -> Iterator[Begin]:
        """Return what begins a process that uses the store."""
        if self.lives_in_one_process:
            pytest.skip("the runs of this store live in one process")
        opener: Opener = request.getfixturevalue("opener")
        children: list[Child] = []

        def begun(work: Work, number: int = 0) -> Child:
            children.append(Child(opener, work, number))
            return children[-1]

        yield begun
        for child in children:
            child.kill()

    async def test_a_process_killed_while_it_commits_loses_nothing(self, begin: Begin, store: Checkpointer) -> None:
        chance = Random(4)
        for number in range(5):
            run_id, child = f"r{number}", begin(go_on_and_on, number)
            said = [child.said() for _ in range(1 + chance.randrange(40))]
            await anyio.sleep(chance.random() * 0.003)
            last = [*said, *child.kill()][-1]
            assert isinstance(last, int)
            journal = await store.read(run_id)
            found = [done for done in (last, last + 1) if list(journal.records) == commits(done)]
            assert found, "what was committed is there, gapless and in order, and every commit is whole or not there"
            assert journal.status == status_after(found[0])
            newest = await store.read(run_id, from_snapshot=True)
            assert newest.start == int(newest.snapshot or b"0")
            assert list(newest.records) == list(journal.records)[newest.start :]

            claim = await taken_over(store, run_id, journal.head, self.takeover_s)
            await store.append(claim, commit_of(found[0] + 1), "completed")
            after = await store.read(run_id)
            assert (list(after.records), after.status) == (commits(found[0] + 1), "completed")

    async def test_a_run_at_work_in_a_process_is_free_once_that_is_dead(
        self, begin: Begin, store: Checkpointer
    ) -> None:
        child = begin(hold)
        assert child.said() == "begun"
        with pytest.raises(RunConflictError, match='run "r0" is at work'):
            await store.claim("r0", 1, [])
        with pytest.raises(RunConflictError, match='run "r0" is at work'):
            await store.delete("r0")
        assert list((await store.read("r0")).records) == commits(0)
        child.kill()
        claim = await taken_over(store, "r0", 1, self.takeover_s)
        await store.append(claim, commit_of(1))
        assert list((await store.read("r0")).records) == commits(1)

    async def test_one_of_several_processes_takes_a_run(self, begin: Begin, store: Checkpointer) -> None:
        await store.release(await store.create("r", "graph", HEADER, [b"0"]))
        children = [begin(take, number) for number in range(3)]
        for child in children:
            assert child.said() == "ready"
        for child in children:
            child.go()
        said = [child.said() for child in children]
        (winner,) = [number for number in said if number != "lost"]
        assert isinstance(winner, int)
        assert list((await store.read("r")).records) == [b"0", *commit_of(winner)]

    async def test_processes_begin_a_store_at_once_and_work_side_by_side(
        self, begin: Begin, store: Checkpointer
    ) -> None:
        children = [begin(walk, number) for number in range(3)]
        for child in children:
            assert child.said() == "ready"
        for child in children:
            child.go()
        claim = await store.create("mine", "graph", HEADER, commit_of(0))
        for commit in range(1, 51):
            await store.append(claim, commit_of(commit))
        for child in children:
            assert child.said() == "done"
        await store.append(claim, [], "completed")
        for run_id in ("r0", "r1", "r2", "mine"):
            journal = await store.read(run_id)
            assert (list(journal.records), journal.status) == (commits(50), "completed")
        assert {run.run_id for run in await store.runs(status="completed")} == {"r0", "r1", "r2", "mine"}
