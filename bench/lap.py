"""One lap of one workload: what it is given, and what it tells besides its time."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from time import perf_counter

PER_RUN = 10  # nodes in the chains of W1 and W3
NAPS = 5  # nodes in the chain of W6
NAP_S = 0.001
FANS = 5  # fan-outs in one lap of W5
CHOICES = 10  # conditional edges from each node of W7b
CALLS = 20  # tool calls in each run of W9


@dataclass
class Lap:
    """What a workload gets: its size, a folder of its own, and a clock, which runs from its first line to its last."""

    size: int
    folder: Path
    flush: bool = False
    """Whether each commit waits for the disk (SQLite's synchronous=FULL) or only for the system (NORMAL)."""
    disk_bytes: int | None = None
    remark: str = ""
    began: float = 0.0
    ended: float | None = None

    @property
    def store(self) -> Path:
        return self.folder / "store.db"

    @property
    def seconds(self) -> float:
        return (self.ended or self.began) - self.began

    def start(self) -> None:
        """Start the clock anew: what came before was preparation."""
        self.began, self.ended = perf_counter(), None

    def stop(self) -> None:
        """Stop the clock; from the second call on, nothing."""
        if self.ended is None:
            self.ended = perf_counter()

    def crash(self) -> None:
        """Go on with a copy of the folder as it stands on the disk: what a process leaves that is killed here."""
        self.folder = Path(copytree(self.folder, self.folder / "left"))

    def weigh(self) -> None:
        """Take down what stands in the folder, logs of open databases included."""
        self.disk_bytes = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


Work = Callable[[Lap], Awaitable[None]]


def message(number: int) -> str:
    """Return the 1 KB that W4 adds to its list, different for each number."""
    return f"{number:08d}".ljust(1024, "x")


def one_lap(work: Work, size: int, *, flush: bool = False) -> Lap:
    """Run a workload once, in an empty folder, after a collection of garbage."""

    async def timed(lap: Lap) -> None:
        lap.start()
        await work(lap)
        lap.stop()

    with TemporaryDirectory(prefix="loom-bench-", ignore_cleanup_errors=True) as folder:
        lap = Lap(size, Path(folder), flush)
        gc.collect()
        asyncio.run(timed(lap))
        return lap
