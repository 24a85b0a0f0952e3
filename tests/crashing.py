"""Runs to be killed: a program that makes a process for each command it reads, and tells its number.

    python crashing.py FOLDER

A command is a line of JSON, the fields of `Command`. The program has everything imported and forks, so a
command costs milliseconds. What the processes have in common is in FOLDER: the file of the store, and for each
run a ledger of what its nodes did and one of its effects.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from loom import END, START, Context, Graph, Runtime, SqliteCheckpointer, State, append, node
from loom.core.node import AnyNode
from loom.runs.app import CompiledGraph

# Any, in this module: JSON.

Shape = Literal["chain", "fan", "each", "once"]
Durability = Literal["process", "power"]

CHAIN = [f"n{number:02}" for number in range(20)]
ROWS = [[f"{branch}{step}" for step in range(6)] for branch in "abc"]
ITEMS = [f"item{number:02}" for number in range(18)]
ACTS = [f"act{number:02}" for number in range(10)]
# What is done in a run of each shape, in the order of the final state, and how much of it can be under way at once.
DONE = {
    "chain": CHAIN,
    "fan": ["first", *(name for row in ROWS for name in row), "last"],
    "each": ["first", *ITEMS, "last"],
    "once": ACTS,
}
AT_ONCE = {"chain": 1, "fan": 3, "each": 4, "once": 1}


@dataclass
class Command:
    """What a process is to do. With `waits` it waits to be killed when it is done."""

    what: Literal["run", "resume"]
    shape: Shape
    run_id: str
    durability: Durability = "process"
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    waits: bool = False


class Log(State):
    log: Annotated[list[str], append] = []
    items: list[str] = ITEMS


class Ledger:
    """What was done in the world, a name a line; it outlives every process. No part of a graph's meaning."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, name: str) -> None:
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, f"{name}\n".encode())
        os.close(file)

    def read(self) -> Counter[str]:
        return Counter(self._path.read_text().split() if self._path.exists() else [])


def work_of(folder: Path, run_id: str) -> Ledger:
    """Return the ledger of what the nodes of a run did."""
    return Ledger(folder / f"{run_id}.work")


def effects_of(folder: Path, run_id: str) -> Ledger:
    """Return the ledger of the effects of a run."""
    return Ledger(folder / f"{run_id}.effects")


def worker(name: str, ledger: Ledger) -> AnyNode:
    """Return a node that notes its name as the last thing it does."""

    @node(writes="log")
    async def work() -> list[str]:
        await asyncio.sleep(0.001)
        ledger.note(name)
        return [name]

    return work


def actor(name: str, ledger: Ledger, effects: Ledger) -> AnyNode:
    """Return a node that acts on the world, then notes its name."""

    async def act(what: str) -> str:
        await asyncio.sleep(0.001)
        effects.note(what)
        await asyncio.sleep(0.001)
        return what

    @node(writes="log", effect="write")
    async def work(ctx: Context) -> list[str]:
        done = await ctx.once("act", act, name)
        ledger.note(name)
        return [str(done)]

    return work


def drawn(shape: Shape, folder: Path, run_id: str) -> CompiledGraph[Log]:
    """Return a chain of twenty, a fan-out of three branches of six, an `each` over eighteen items, or ten effects."""
    graph, ledger = Graph(shape, Log), work_of(folder, run_id)
    if shape == "once":
        for name in ACTS:
            graph.node(name, actor(name, ledger, effects_of(folder, run_id)), ungated="a test")
        graph.edge(START, *ACTS, END)
        return graph.compile()

    @node(writes="log")
    async def item(one: str) -> list[str]:
        await asyncio.sleep(0.001)
        ledger.note(one)
        return [one]

    for name in DONE[shape]:
        if name not in ITEMS:
            graph.node(name, worker(name, ledger))
    if shape == "chain":
        graph.edge(START, *CHAIN, END)
    elif shape == "fan":
        graph.edge(START, "first", [row[0] for row in ROWS])
        for row in ROWS:
            graph.edge(*row)
        graph.edge([row[-1] for row in ROWS], "last", END)
    else:
        graph.node("item", item)
        graph.edge(START, "first")
        graph.each("first", "item", over="items", bind="one", max_concurrency=AT_ONCE["each"])
        graph.edge("item", "last", END)
    return graph.compile()


def store_in(folder: Path, durability: Durability = "process") -> SqliteCheckpointer:
    """Return the store that all processes share."""
    return SqliteCheckpointer(folder / "loom.db", durability=durability)


async def do(command: Command, folder: Path) -> dict[str, Any]:
    """Begin a run, or go on with it, and walk it to its end, if nobody kills it."""
    app = drawn(command.shape, folder, command.run_id)
    runtime = Runtime(checkpointer=store_in(folder, command.durability))
    if command.what == "run":
        result = await app.run(run_id=command.run_id, runtime=runtime)
    else:
        result = await app.resume(command.run_id, answers=command.answers, runtime=runtime)
    asks = [{"id": ask.id, "kind": ask.kind, "node": ask.node} for ask in result.asks]
    return {"status": result.status, "steps": result.steps, "state": result.state.model_dump(), "asks": asks}


def say(what: object) -> None:
    """Write one line, at once."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(folder: Path) -> None:
    """Do each command in a process of its own; say its number, what came of it, and how the process ended."""
    for shape in get_args(Shape):  # imports all that a run needs
        asyncio.run(drawn(shape, folder, "warm").run())
    for line in sys.stdin:
        command = Command(**json.loads(line))
        child = os.fork()
        if child == 0:
            say(os.getpid())
            say(asyncio.run(do(command, folder)))
            if command.waits:
                signal.pause()  # to be killed, even if the run was quicker
            os._exit(0)
        _, status = os.waitpid(child, 0)
        say(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
