"""A folder with graphs of a user, and the command line in it: in this process, and as a real one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from loom.cli.commands import cli

GRAPHS = '''\
"""Graphs of a user."""

import asyncio
import os
import time
from pathlib import Path
from typing import Annotated

from loom import END, START, Context, Graph, ModelRef, Retry, State, append, node
from loom.types import Event, Message


class Review(State):
    brief: str
    drafts: Annotated[list[str], append] = []
    score: float = 0.0
    tags: list[str] = []
    limit: int | None = None


@node(writes="drafts")
async def write(brief: str, drafts: list[str]) -> list[str]:
    return [f"{brief}, version {len(drafts) + 1}"]


@node(writes="score")
async def judge(drafts: list[str]) -> float:
    return 0.3 * len(drafts)


review = Graph("review", Review, inputs=("limit", "tags"))
review.node("write", write)
review.node("judge", judge)
review.edge(START, "write", "judge")
review.switch("judge", {"score >= 0.8": END}, otherwise="write")
app = review.compile()


class Words(State):
    words: Annotated[list[str], append] = []


@node(writes="words")
async def unsteady(ctx: Context) -> list[str]:
    if ctx.attempt < 3:
        raise ConnectionError("no luck")
    return ["unsteady"]


@node(writes="words")
def left() -> list[str]:
    print("a node prints")
    return ["left"]


@node(writes="words")
async def right() -> list[str]:
    return ["right"]


wide = Graph("wide", Words)
wide.node("unsteady", unsteady, retry=Retry(backoff_s=0.01))
wide.node("left", left)
wide.node("right", right)
wide.edge(START, "unsteady", ["left", "right"], "last", END)
wide.node("last", right)


@node(writes="words")
async def broken(words: list[str]) -> list[str]:
    if Path("repaired").exists():
        return ["repaired"]
    return [{}["nothing"]]


fragile = Graph("fragile", Words)
fragile.node("right", right)
fragile.node("broken", broken)
fragile.edge(START, "right", "broken", END)


@node(writes="words")
async def step(words: list[str]) -> list[str]:
    with Path("steps").open("a") as log:
        log.write(f"{len(words)}\\n")
    await asyncio.sleep(float(os.environ.get("STEP_S", "0.05")))
    return [str(len(words))]


long = Graph("long", Words)
long.node("step", step)
long.edge(START, "step")
long.switch("step", {"len(words) >= 20": END}, otherwise="step")


@node(writes="words")
def sleep() -> list[str]:
    Path("asleep").touch()
    time.sleep(60)
    return ["slept"]


deaf = Graph("deaf", Words)
deaf.node("sleep", sleep)
deaf.edge(START, "sleep", END)


@node(writes="words")
async def ship(ctx: Context) -> list[str]:
    ready = await ctx.ask("Ship it?", answer_type=bool, key="ship")
    name = await ctx.ask("Under which name?", answer_type=str, key="name")
    return [f"{name} shipped: {ready}"]


asking = Graph("asking", Words)
asking.node("right", right)
asking.node("ship", ship)
asking.edge(START, "right", "ship", END)


def talk(model: ModelRef, judge: ModelRef | None = None, turns: int = 1, checks: dict[str, list[str]] | None = None):
    """A function that makes a graph, without an annotation that says so."""

    @node(writes="words", effect="model", kind="reason")
    async def ask(words: list[str], ctx: Context) -> list[str]:
        reply = await ctx.model(model).complete([Message(role="user", content="Hello")])
        return [reply.text]

    graph = Graph("talk", Words)
    graph.node("ask", ask)
    for turn in range(1, turns):
        graph.node(f"ask {turn + 1}", ask)
    graph.edge(START, "ask", *(f"ask {turn + 1}" for turn in range(1, turns)), END)
    return graph


talking = talk(ModelRef("anthropic", "claude-sonnet-4-5"))
'''

BAD = """\
from loom import END, START, Graph, State, node


class Review(State):
    score: int


@node(writes="score")
async def judge(scor: int) -> int:
    return scor


graph = Graph("bad", Review)
graph.node("judge", judge)
graph.edge(START, "judge", "jugde")
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Loom = Callable[..., Ended]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path, None, None]:
    """The working directory, with `graphs.py`. What the command line imports from it is forgotten afterwards."""
    (tmp_path / "graphs.py").write_text(GRAPHS)
    (tmp_path / "bad.py").write_text(BAD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def loom(folder: Path) -> Loom:
    """The command line, in this process."""

    def call(*arguments: str, stdin: str = "") -> Ended:
        done = CliRunner().invoke(cli, arguments, input=stdin)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ended(done.exit_code, done.stdout, done.stderr)

    return call


@pytest.fixture
def start(folder: Path) -> Generator[Callable[..., subprocess.Popen[str]], None, None]:
    """The command line, as a process of its own."""
    begun: list[subprocess.Popen[str]] = []

    def call(*arguments: str, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "loom", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=os.environ | more,
        )
        begun.append(process)
        return process

    yield call
    for process in begun:
        process.kill()
        process.communicate()
