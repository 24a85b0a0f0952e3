"""Loom for an outside driver, which has a floor of its own: the workloads of bench/peers/loom.py in its form."""

import asyncio
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _util import EXTRA, drop, fresh_db, mark

sys.path.append(str(Path(__file__).resolve().parent.parent))  # behind what is installed: Loom itself is not from here

from bench.lap import Lap, Work
from bench.peers import loom
from loom.runs.app import CompiledGraph

FLUSH = os.environ.get("BENCH_SQLITE_SYNC", "normal") == "full"
NO_FOLDER = Path("unused")


class OutsideLap(Lap):
    """A lap whose clock is the driver's."""

    def stop(self) -> None:
        mark()


def in_memory(work: Work) -> Callable[[int], None]:
    return lambda size: asyncio.run(work(Lap(size, NO_FOLDER)))


def on_disk(work: Work) -> Callable[[int], None]:
    def run(size: int) -> None:
        path = fresh_db("loom")
        lap = Lap(size, Path(path).parent, FLUSH)
        asyncio.run(work(lap))
        EXTRA["db_bytes"] = lap.disk_bytes
        drop(path)

    return run


class Resumes:
    """One store that is written once and resumed from many times, each time for one step more.

    Its stores stay open, as a crash leaves them: closing one costs the next claim a flush of the disk.
    """

    def __init__(self, loop: Callable[[Lap], CompiledGraph[Any]]) -> None:
        self.loop = loop

    def write(self, size: int) -> None:
        self.lap = OutsideLap(size, Path(fresh_db("loom")).parent, FLUSH)
        self.app = self.loop(self.lap)
        self.open = [asyncio.run(loom.write_records(self.app, self.lap))]

    def resume(self, size: int) -> None:
        steps = self.lap.size + len(self.open) - 1
        self.open.append(asyncio.run(loom.go_on(self.app, self.lap, steps)))


RESUMES = {"W10": Resumes(loom.endless_count), "W10b": Resumes(loom.endless_list)}

IMPORT = "from loom import END, START, Graph, State, node"
WORKLOADS = {
    **{key: in_memory(loom.WORK[key]) for key in ("W1", "W2", "W5", "W6", "W7a", "W7b", "W9")},
    **{key: on_disk(loom.WORK[key]) for key in ("W3", "W4")},
    **{key: resumes.resume for key, resumes in RESUMES.items()},
}
SETUP = {key: resumes.write for key, resumes in RESUMES.items()}
NOTES = {
    "W10": "the store is left open, as a crash leaves it: closing it costs the next claim a flush of the disk",
    "W5": "each over a list of 1,000, all of them at once",
}


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("loom-agent", "pydantic")}
