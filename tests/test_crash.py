"""Kill a process with SIGKILL at random moments, resume in a new one: nothing runs twice, nothing is lost.

Every node writes its name into a ledger outside the store as the last thing it does. A step is finished
when its record is in the journal that the dead process left. Its name must stand in the ledger once, before
the resume and after it; only steps that were under way at the kill, one for each branch, may stand there twice.
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
from pathlib import Path
from random import Random

import pytest

from loom import RunNotFoundError, Runtime
from loom.runs.app import CompiledGraph
from tests.crashing import NODES, Durability, Log, Shape, drawn, store_in

pytestmark = pytest.mark.slow


class Nursery:
    """Runs commands in processes of their own, which can be killed."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("crashing.py"), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begun(self, *command: str) -> int:
        """Give a command; return the number of its process once it has begun."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        child = self.said()
        assert isinstance(child, int)
        return child

    def said(self) -> object:
        """Return what was said next: what a command came to, then how its process ended."""
        assert self.process.stdout
        said: object = json.loads(self.process.stdout.readline())
        return said


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path)
    yield nursery
    nursery.process.communicate(timeout=10)
    assert nursery.process.returncode == 0


async def committed(app: CompiledGraph[Log], folder: Path, run_id: str) -> list[str] | None:
    """Return the nodes whose steps are in the journal, in order; None if there is no such run."""
    store = store_in(folder)
    try:
        points = await app.history(run_id, runtime=Runtime(checkpointer=store))
    except RunNotFoundError:
        return None
    finally:
        await store.close()
    return [point.node for point in points][1:]


def noted(ledger: Path) -> Counter[str]:
    return Counter(ledger.read_text().split() if ledger.exists() else [])


def wait_for(ledger: Path, lines: int) -> None:
    """Wait until a run has come so far: a moment chosen by the clock would depend on how busy the machine is."""
    deadline = time.monotonic() + 10
    while noted(ledger).total() < lines and time.monotonic() < deadline:
        time.sleep(0.0002)


@pytest.mark.parametrize(
    ("shape", "durability", "kills"), [("chain", "process", 50), ("fan", "process", 50), ("fan", "power", 10)]
)
def test_a_killed_run_goes_on_where_it_was(
    tmp_path: Path, nursery: Nursery, shape: Shape, durability: Durability, kills: int
) -> None:
    chance, branches, app = Random(20), 1 if shape == "chain" else 3, drawn(shape, tmp_path / "none")
    nursery.begun("run", shape, "whole", durability)
    whole = nursery.said()
    assert (whole, nursery.said()) == (["completed", 20, NODES[shape]], 0)
    seen: set[int] = set()
    for number in range(kills):
        run_id = f"r{number}"
        child = nursery.begun("run and wait", shape, run_id, durability)
        wait_for(tmp_path / run_id, chance.randrange(20))
        time.sleep(chance.random() * 0.004)
        os.kill(child, signal.SIGKILL)
        said = nursery.said()
        assert (nursery.said() if said == whole else said) == -signal.SIGKILL
        finished = asyncio.run(committed(app, tmp_path, run_id))
        if finished is None:
            continue  # killed before the run had begun
        seen.add(len(finished))
        before = noted(tmp_path / run_id)
        assert len(before) == before.total(), "nothing runs twice without a crash"
        assert before.keys() >= set(finished), "a record stands for work that was done"
        under_way = before.keys() - set(finished)
        assert len(under_way) <= branches

        nursery.begun("resume", shape, run_id, durability)
        assert (nursery.said(), nursery.said()) == (whole, 0)
        assert noted(tmp_path / run_id) == Counter(NODES[shape]) + Counter(under_way)
        after = asyncio.run(committed(app, tmp_path, run_id))
        assert after is not None
        assert after[: len(finished)] == finished, "no record was lost or changed"
        assert sorted(after) == sorted(NODES[shape])
    assert len(seen) >= min(kills / 2, 12), "the kills came at different moments"
