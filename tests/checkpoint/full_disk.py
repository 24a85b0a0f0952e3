"""Programs that fill up a disk, or a file that may not grow, and tell what came of it."""

import subprocess
import sys
from pathlib import Path

FILL = """
import asyncio, sys
from loom import CheckpointError, SqliteCheckpointer

async def main():
    store = SqliteCheckpointer(sys.argv[1])
    claim = await store.create("r", "graph", b"{}", [b"0"])
    for number in range(1, 10_000):
        try:
            await store.append(claim, [b"%d " % number * 200])
        except CheckpointError as error:
            print(number, error)
            break
    try:
        await store.append(claim, [b"more"] * 100, "failed")
    except CheckpointError:
        print("still full")

if len(sys.argv) > 2:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
asyncio.run(main())
"""

RESUME = """
import asyncio, resource, sys
from typing import Annotated
from loom import END, START, CheckpointError, Graph, Runtime, SqliteCheckpointer, State, append, node

class Log(State):
    log: Annotated[list[str], append] = []

ran = []

@node(writes="log")
async def work(log: list[str]) -> list[str]:
    ran.append(len(log))
    return ["x" * 5000]

def room(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

graph = Graph("filling", Log)
graph.node("work", work)
graph.edge(START, "work")
graph.switch("work", {"len(log) >= 40": END}, otherwise="work")
app = graph.compile()

async def main():
    def runtime():  # a store of its own each time, as a program may well make it
        return Runtime(checkpointer=SqliteCheckpointer(sys.argv[1], durability=sys.argv[2]))
    room(100_000)
    try:
        await app.run(run_id="r", runtime=runtime())
    except CheckpointError as error:
        print("full:", error)
    kept = len((await app.state("r", runtime=runtime())).log)
    for _ in range(2):
        try:
            await app.resume("r", runtime=runtime())
        except CheckpointError:
            print("still full")
    room(resource.RLIM_INFINITY)
    result = await app.resume("r", runtime=runtime())
    assert ran.count(kept) >= 1 and [step for step in ran if step < kept] == list(range(kept)), ran
    print(result.status, len(result.state.log))

asyncio.run(main())
"""


def filled(path: Path, *limit: str) -> tuple[int, str]:
    """Fill a disk up in another process, which then dies; return the first record that was refused, and why."""
    done = subprocess.run(
        [sys.executable, "-c", FILL, path, *limit], capture_output=True, text=True, check=True, timeout=60
    )
    first, rest = done.stdout.split(" ", 1)
    return int(first), rest


def resumed(path: Path, durability: str) -> str:
    """Resume a run that met a full disk in its own process, before and after there is room; return what was told."""
    done = subprocess.run(
        [sys.executable, "-c", RESUME, path, durability], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
