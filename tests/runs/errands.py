"""Runs that act on the world, to be killed: a program that makes a process for each command it reads.

    python errands.py

A command is a line of JSON, a folder and the fields of `Command`. The program has everything imported and
forks, so a command costs milliseconds. What the processes have in common are the store and the ledger in the
folder: every effect writes its name into the ledger, once for each time that it happened.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, ClassVar, Literal

from loom import (
    END,
    START,
    AnswerError,
    Context,
    Graph,
    LoomError,
    Result,
    RunNotFoundError,
    Runtime,
    SqliteCheckpointer,
    State,
    append,
    node,
)
from loom.runs.app import CompiledGraph

# Any, in this module: JSON.

Kind = Literal["write", "idempotent", "read", "hold"]
SLEEP_S = 0.002


@dataclass
class Command:
    """What a process is to do.

    `dies` is `before NAME` or `after NAME`: when it kills itself at an effect. With `waits` it waits to be
    killed when it is done.
    """

    kind: Kind
    run_id: str = "r"
    dies: str = ""
    answers: Mapping[str, Any] = field(default_factory=dict[str, Any])
    lease_s: float = 30.0
    length: int = 1
    waits: bool = False


class Here:
    """What this process knows. Not closed over by any node, so it is no part of a graph's meaning."""

    folder: ClassVar[Path]
    dies: ClassVar[str] = ""


class Log(State):
    log: Annotated[list[str], append] = []


def note(line: str) -> None:
    """Write a line into the ledger, which outlives every process."""
    file = os.open(Here.folder / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def ledger(folder: Path) -> list[str]:
    """Return the lines of the ledger in a folder."""
    path = folder / "ledger"
    return path.read_text().splitlines() if path.exists() else []


def die_if(moment: str) -> None:
    """Kill this process, if this is the moment to."""
    if moment == Here.dies:
        os.kill(os.getpid(), signal.SIGKILL)


async def charge(name: str, key: str) -> str:
    """Act on the world. What it gives tells the idempotency key, which the world would go by."""
    die_if(f"before {name}")
    await asyncio.sleep(SLEEP_S)
    note(f"{name} {key}")
    await asyncio.sleep(SLEEP_S)
    die_if(f"after {name}")
    return f"{name} {key}"


@node(writes="log", effect="read")
async def read(ctx: Context) -> list[str]:
    return [await ctx.once("act", charge, ctx.node, ctx.idempotency_key("act"))]


@node(writes="log", effect="write")
async def write(ctx: Context) -> list[str]:
    return [await ctx.once("act", charge, ctx.node, ctx.idempotency_key("act")) or "skipped"]


@node(writes="log", effect="write")
async def idempotent(ctx: Context) -> list[str]:
    return [await ctx.once("act", charge, ctx.node, ctx.idempotency_key("act"), idempotent=True)]


@node(writes="log")
async def hold(ctx: Context) -> list[str]:
    """Say that it is at work, then wait until the file `go` is there."""
    note(f"{ctx.node} {os.getpid()}")
    while not (Here.folder / "go").exists():  # noqa: ASYNC110 - what it waits for is another process
        await asyncio.sleep(SLEEP_S)
    return [ctx.node]


@node(writes="log")
async def last(ctx: Context) -> list[str]:
    note(ctx.node)
    return [ctx.node]


def errand(kind: Kind, length: int = 1) -> CompiledGraph[Log]:
    """Return a graph of nodes that act, `act0` and so on, and one after them."""
    graph = Graph(f"errand-{kind}", Log)
    names = [f"act{number}" for number in range(length)]
    for name in names:
        graph.node(name, {"read": read, "write": write, "idempotent": idempotent, "hold": hold}[kind], ungated="a test")
    graph.node("last", last)
    graph.edge(START, *names, "last", END)
    return graph.compile()


async def go(command: Command) -> dict[str, Any]:
    """Go on with a run, or begin it if there is none yet; return what came of it."""
    runtime = Runtime(checkpointer=SqliteCheckpointer(Here.folder / "loom.db", lease_s=command.lease_s))
    app = errand(command.kind, command.length)
    answers = {
        ask_id: Result(answer["result"]) if isinstance(answer, dict) else answer
        for ask_id, answer in command.answers.items()
    }
    try:
        result = await app.resume(command.run_id, answers=answers, runtime=runtime)
    except AnswerError:  # a process before this one got as far as saving it
        result = await app.resume(command.run_id, runtime=runtime)
    except RunNotFoundError:
        result = await app.run(run_id=command.run_id, runtime=runtime)
    asks = [{"id": ask.id, "kind": ask.kind, "node": ask.node} for ask in result.asks]
    return {"status": result.status, "log": result.state.log, "asks": asks}


def say(what: object) -> None:
    """Write one line, at once."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do each command in a process of its own; say its number, and how it ended when it has."""
    with TemporaryDirectory() as folder:  # imports all that a run needs
        Here.folder = Path(folder)
        asyncio.run(go(Command("write")))
    for line in sys.stdin:
        folder, fields = json.loads(line)
        child = os.fork()
        if child == 0:
            command = Command(**fields)
            Here.folder, Here.dies = Path(folder), command.dies
            say(os.getpid())
            try:
                say(asyncio.run(go(command)))
            except LoomError as error:
                say({"error": type(error).__name__, "message": str(error)})
            if command.waits:
                signal.pause()
            os._exit(0)
        os.waitpid(child, 0)
        say(None)


@contextmanager
def program() -> Generator["subprocess.Popen[str]", None, None]:
    """Have the program run."""
    running = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield running
    running.communicate(timeout=10)
    assert running.returncode == 0


class Errands:
    """The program, for one folder."""

    def __init__(self, running: "subprocess.Popen[str]", folder: Path) -> None:
        self._program = running
        self._folder = folder

    def begin(self, command: Command) -> int:
        """Give a command; return the number of its process."""
        assert self._program.stdin
        self._program.stdin.write(json.dumps([str(self._folder), asdict(command)]) + "\n")
        self._program.stdin.flush()
        return int(self._said())

    def end(self) -> dict[str, Any] | None:
        """Return what came of the command; None if its process died before."""
        said: dict[str, Any] | None = self._said()
        if said is not None:
            self._said()
        return said

    def do(self, command: Command) -> dict[str, Any] | None:
        """Do a command to its end."""
        self.begin(command)
        return self.end()

    def kill(self, command: Command, after_s: float) -> dict[str, Any] | None:
        """Begin a command and kill its process with SIGKILL; return what came of it, if it was quicker."""
        process = self.begin(replace(command, waits=True))
        time.sleep(after_s)
        os.kill(process, signal.SIGKILL)
        return self.end()

    def _said(self) -> Any:
        assert self._program.stdout
        return json.loads(self._program.stdout.readline())


if __name__ == "__main__":
    main()
