"""Kill a process with SIGKILL at random moments, resume in a new one: nothing runs twice, nothing is lost.

Every node writes its name into a ledger outside the store as the last thing it does. A step is finished
when its record is in the journal that the dead process left: no process after that may write its name again.
Only steps that were under way at a kill, one for each branch, may stand there twice. Every effect writes into
a ledger of its own, and may never stand there twice: where a kill left one in doubt, the run has to ask.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from select import select
from typing import Any

import pytest

from loom import RunNotFoundError, Runtime
from loom.core.result import Status
from tests.crashing import AT_ONCE, DONE, Command, Durability, Ledger, Shape, drawn, effects_of, store_in, work_of

pytestmark = pytest.mark.slow

# Any, in this module: JSON.

KILLS = {"chain": 25, "fan": 25, "each": 25, "once": 25}


class Nursery:
    """Runs commands in processes of their own, which can be killed."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("crashing.py"), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # so that what can be read is seen from outside
        )

    def begun(self, command: Command) -> int:
        """Give a command; return the number of its process once it has begun."""
        assert self.process.stdin
        self.process.stdin.write(f"{json.dumps(asdict(command))}\n".encode())
        return int(self.said())

    def said(self) -> Any:
        """Return what was said next: what a command came to, then how its process ended."""
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def done(self, command: Command) -> dict[str, Any]:
        """Have a command done to its end; return what it came to."""
        self.begun(command)
        came: dict[str, Any] = self.said()
        assert self.said() == 0
        return came

    def killed(self, command: Command, lines: int, ledger: Ledger, more_s: float) -> None:
        """Have a command begun, and kill its process when the ledger has so many lines, and a bit later.

        A moment chosen by the clock alone would depend on how busy the machine is.
        """
        assert self.process.stdout
        stdout, deadline = self.process.stdout.fileno(), time.monotonic() + 60
        child = self.begun(replace(command, waits=True))
        while ledger.read().total() < lines and not select([stdout], [], [], 0.0002)[0]:
            assert time.monotonic() < deadline, "the run stands still"
        time.sleep(more_s)
        os.kill(child, signal.SIGKILL)
        said = self.said()
        assert (self.said() if isinstance(said, dict) else said) == -signal.SIGKILL


class Run:
    """One run in the world: what the ledgers and the store tell of it, and what must be true of that."""

    def __init__(self, shape: Shape, folder: Path, run_id: str) -> None:
        self.work = work_of(folder, run_id)
        self._effects = effects_of(folder, run_id)
        self._shape: Shape = shape
        self._folder = folder
        self._run_id = run_id
        self._worked: Counter[str] = Counter()
        self.finished: list[str] = []
        self.is_begun = False

    def check(self) -> None:
        """Compare how the run stands now, after one more process, with how it stood before."""
        worked, (status, finished) = self.work.read(), asyncio.run(self._stored())
        done = worked - self._worked
        assert not done.keys() & set(self.finished), "what is finished never runs again"
        assert done.total() == len(done), "nothing runs twice without a crash"
        assert finished[: len(self.finished)] == self.finished, "no record is lost or changed"
        assert len(set(finished)) == len(finished)
        assert set(finished) - set(self.finished) <= done.keys(), "a record stands for work that was done"
        assert len(done.keys() - set(finished)) <= AT_ONCE[self._shape], "only what is under way is lost"
        assert all(times == 1 for times in self._effects.read().values()), "no effect happens twice"
        assert self._effects.read().keys() >= (set(finished) if self._shape == "once" else set())
        if status == "completed":
            assert sorted(finished) == sorted(DONE[self._shape]), "only a run that is over reads as completed"
        self._worked, self.finished = worked, finished

    def answers(self, asks: list[dict[str, Any]]) -> dict[str, Any]:
        """Answer what the run asks: it may only ask of the one effect that may or may not have happened."""
        happened = self._effects.read()
        (ask,) = asks
        assert ask["kind"] == "in_doubt"
        assert ask["node"] == DONE[self._shape][len(self.finished)]
        return {ask["id"]: ask["node"] if ask["node"] in happened else "retry"}

    async def _stored(self) -> tuple[Status | None, list[str]]:
        """Return how the run stands in the store, and what its finished steps did, in the order of their records."""
        store = store_in(self._folder)
        runtime = Runtime(checkpointer=store)
        try:
            app = drawn(self._shape, self._folder, self._run_id)
            points = await app.history(self._run_id, runtime=runtime)
            self.is_begun = True
            return (await store.read(self._run_id)).status, [point.writes["log"][0] for point in points[1:]]
        except RunNotFoundError:  # killed before it had begun
            return None, []
        finally:
            await store.close()


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path)
    yield nursery
    nursery.process.communicate(timeout=10)
    assert nursery.process.returncode == 0


@pytest.mark.parametrize(
    ("shape", "durability", "kills"),
    [*((shape, "process", kills) for shape, kills in KILLS.items()), ("fan", "power", 8), ("once", "power", 8)],
)
def test_a_killed_run_goes_on_where_it_was(
    tmp_path: Path, nursery: Nursery, shape: Shape, durability: Durability, kills: int
) -> None:
    chance, asked, seen, killed = Random(20), 0, set[int](), 0
    whole = nursery.done(Command("run", shape, "whole", durability))
    assert (whole["status"], whole["state"]["log"]) == ("completed", DONE[shape])
    while killed < kills:
        command = Command("run", shape, f"r{killed}", durability)
        run = Run(shape, tmp_path, command.run_id)
        while killed < kills and (chance.random() < 0.4 or not run.is_begun):  # some are killed again and again
            lines = run.work.read().total() + chance.randrange(len(DONE[shape]))
            nursery.killed(command, lines, run.work, chance.random() * 0.004)
            killed += 1
            run.check()
            seen.add(len(run.finished))
            command = replace(command, what="resume" if run.is_begun else "run")
        came = nursery.done(command)
        run.check()
        while came["asks"]:
            assert came["status"] == "paused"
            asked += 1
            came = nursery.done(replace(command, what="resume", answers=run.answers(came["asks"])))
            run.check()
        assert came == whole
        assert sorted(run.finished) == sorted(DONE[shape])
    assert len(seen) >= min(kills / 4, 5), "the kills came at different moments"
    assert (asked > 0) == (shape == "once"), "some kills left an effect in doubt"
