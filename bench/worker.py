"""Run in a peer's environment: one workload, laps of the floor and of the peer in turn; prints one line of JSON.

python -m bench.worker PEER WORKLOAD [--small] [--flush]
"""

import json
import os
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import TypedDict

from bench.lap import Lap, Work, one_lap
from bench.peers import floor
from bench.workloads import WORKLOADS


class Round(TypedDict):
    """What one process measured: medians in seconds, bytes, and the MB that the process grew by."""

    size: int
    flush: bool
    floor_s: float
    peer_s: float
    floor_bytes: int | None
    peer_bytes: int | None
    growth_mb: float | None
    remark: str


def peak_mb() -> float | None:
    """Return the most memory that this process has held so far; None where the system does not tell as Linux does."""
    status = Path("/proc/self/status")
    if not status.exists():  # getrusage would tell, but it counts what the parent held when it made this process
        return None
    return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))


def growth_mb(work: Work, size: int) -> float | None:
    before = peak_mb()
    one_lap(work, size)
    after = peak_mb()
    return None if before is None or after is None else after - before


def measure(peer: str, workload: str, *, small: bool = False, flush: bool = False) -> Round:
    """Warm both up, then take laps in turn, the floor first and last."""
    work: Work = import_module(f"bench.peers.{peer}").WORK[workload]
    bare, task = floor.WORK[workload], WORKLOADS[workload]
    size = task.small if small else task.size
    warm = task.small if small else max(task.small, task.size // 10)
    for warmed in (bare, work):
        one_lap(warmed, warm, flush=flush)
    growth = growth_mb(work, size) if task.memory else None
    floors: list[Lap] = [one_lap(bare, size, flush=flush)]
    peers: list[Lap] = []
    for _ in range(1 if small else task.laps):
        peers.append(one_lap(work, size, flush=flush))
        floors.append(one_lap(bare, size, flush=flush))
    return {
        "size": size,
        "flush": all(lap.flush for lap in (*floors, *peers)),
        "floor_s": median(lap.seconds for lap in floors),
        "peer_s": median(lap.seconds for lap in peers),
        "floor_bytes": floors[-1].disk_bytes,
        "peer_bytes": peers[-1].disk_bytes,
        "growth_mb": growth,
        "remark": peers[-1].remark,
    }


def main(peer: str, workload: str, *options: str) -> None:
    with redirect_stdout(sys.stderr):
        result = measure(peer, workload, small="--small" in options, flush="--flush" in options)
    print(json.dumps(result), flush=True)
    os._exit(0)  # some libraries leave threads behind that would keep the process


if __name__ == "__main__":
    main(*sys.argv[1:])
