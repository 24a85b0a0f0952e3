"""Runs to be killed: a program that makes a process for each command it reads, and tells its number.

    python crashing.py FOLDER

A command is a line of JSON, `[what, shape, run_id, durability]`. The program has everything imported
and forks, so a command costs milliseconds. What the processes have in common is the file in FOLDER.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

from loom import END, START, Graph, Runtime, SqliteCheckpointer, State, append, node
from loom.core.node import AnyNode
from loom.runs.app import CompiledGraph

Shape = Literal["chain", "fan"]
Durability = Literal["process", "power"]

CHAIN = [f"n{number:02}" for number in range(20)]
ROWS = [[f"{branch}{step}" for step in range(6)] for branch in "abc"]
NODES = {"chain": CHAIN, "fan": ["first", *(name for row in ROWS for name in row), "last"]}


class Log(State):
    log: Annotated[list[str], append] = []


def worker(name: str, ledger: Path) -> AnyNode:
    """Return a node that writes its name into a ledger outside the store, as the last thing it does."""

    @node(writes="log")
    async def work() -> list[str]:
        await asyncio.sleep(0.001)
        file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, f"{name}\n".encode())
        os.close(file)
        return [name]

    return work


def drawn(shape: Shape, ledger: Path) -> CompiledGraph[Log]:
    """Return a chain of twenty nodes, or a fan-out of three branches of six."""
    graph = Graph(shape, Log)
    for name in NODES[shape]:
        graph.node(name, worker(name, ledger))
    if shape == "chain":
        graph.edge(START, *CHAIN, END)
    else:
        graph.edge(START, "first", [row[0] for row in ROWS])
        for row in ROWS:
            graph.edge(*row)
        graph.edge([row[-1] for row in ROWS], "last", END)
    return graph.compile()


def store_in(folder: Path, durability: Durability = "process") -> SqliteCheckpointer:
    """Return the store that all processes share."""
    return SqliteCheckpointer(folder / "loom.db", durability=durability)


async def begin(app: CompiledGraph[Log], run_id: str, store: SqliteCheckpointer) -> list[object]:
    """Begin a run and walk it to its end, if nobody kills it."""
    result = await app.run(run_id=run_id, runtime=Runtime(checkpointer=store))
    return [result.status, result.steps, result.state.log]


async def resume(app: CompiledGraph[Log], run_id: str, store: SqliteCheckpointer) -> list[object]:
    """Go on with a run."""
    result = await app.resume(run_id, runtime=Runtime(checkpointer=store))
    return [result.status, result.steps, result.state.log]


def say(what: object) -> None:
    """Write one line, at once."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(folder: Path) -> None:
    """Do each command in a process of its own; say how it ended when it has."""
    works = {"run": begin, "run and wait": begin, "resume": resume}
    asyncio.run(drawn("fan", folder / "warm").run())  # imports all that a run needs
    for line in sys.stdin:
        what, shape, run_id, durability = json.loads(line)
        child = os.fork()
        if child == 0:
            app, store = drawn(shape, folder / run_id), store_in(folder, durability)
            say(os.getpid())
            say(asyncio.run(works[what](app, run_id, store)))
            if what == "run and wait":
                signal.pause()  # to be killed, even if the run was quicker
            os._exit(0)
        _, status = os.waitpid(child, 0)
        say(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
