"""Loom in the side-by-side benchmark: the workloads that it has so far."""

from __future__ import annotations

import asyncio
import os
from functools import cache
from typing import Annotated

from _util import EXTRA, KB, dists, drop, folder_bytes, fresh_db, mark

from loom import END, START, Graph, Limits, Runtime, SqliteCheckpointer, State, append, node

DURABILITY = {"normal": "process", "full": "power"}[os.environ.get("BENCH_SQLITE_SYNC", "normal")]


class Count(State):
    i: int = 0


class Messages(State):
    msgs: Annotated[list[str], append] = []


@node(writes="i")
async def step(i: int) -> int:
    return i + 1


@node(writes="i")
async def nap(i: int) -> int:
    await asyncio.sleep(0.001)
    return i + 1


@node(writes="i")
async def marked(i: int) -> int:
    mark()
    return i + 1


def message(k: int) -> str:
    return f"{k:06d}{KB}"[:1024]


@node(writes="msgs")
async def grow(msgs: list[str]) -> list[str]:
    return [message(len(msgs))]


@node(writes="msgs")
async def grow_marked(msgs: list[str]) -> list[str]:
    mark()
    return [message(len(msgs))]


def build_chain(k, fn=step):
    graph = Graph("chain", Count)
    names = [f"n{j}" for j in range(k)]
    for name in names:
        graph.node(name, fn)
    graph.edge(START, *names, END)
    return graph.compile()


chain = cache(build_chain)


def loop(condition, fn, state):
    graph = Graph("loop", state)
    graph.node("n", fn)
    graph.edge(START, "n")
    graph.switch("n", {condition: "n"}, otherwise=END)
    return graph.compile()


def w1(n):
    app = chain(10)

    async def main():
        for _ in range(n):
            result = await app.run({"i": 0})
            assert result.state.i == 10

    asyncio.run(main())


def w2(n):
    app = loop(f"i < {n}", step, Count)
    assert app.run_sync({"i": 0}).state.i == n


def w3(n):
    path = fresh_db("loom3")
    app = chain(10)

    async def main():
        store = SqliteCheckpointer(path, durability=DURABILITY)
        for r in range(n):
            result = await app.run({"i": 0}, run_id=f"t{r}", runtime=Runtime(checkpointer=store))
            assert result.state.i == 10
        EXTRA["db_bytes"] = folder_bytes(path)
        await store.close()

    asyncio.run(main())
    drop(path)


def _w4(n, path):
    app = loop(f"len(msgs) < {n}", grow, Messages)

    async def main():
        store = SqliteCheckpointer(path, durability=DURABILITY)
        result = await app.run(run_id="t", runtime=Runtime(checkpointer=store))
        assert len(result.state.msgs) == n
        EXTRA["db_bytes"] = folder_bytes(path)
        await store.close()

    asyncio.run(main())


def w4(n):
    path = fresh_db("loom4")
    _w4(n, path)
    drop(path)


class Wide(State):
    tasks: list[int] = []
    out: Annotated[list[int], append] = []


@node(writes="out")
async def work(task: int) -> list[int]:
    return [task + 1]


@cache
def fan_out():
    graph = Graph("wide", Wide)
    graph.node("work", work)
    graph.each(START, "work", over="tasks", bind="task", max_concurrency=1000)
    graph.edge("work", END)
    return graph.compile()


def w5(n):
    app = fan_out()

    async def main():
        for _ in range(5):
            result = await app.run({"tasks": list(range(n))})
            assert len(result.state.out) == n

    asyncio.run(main())


def w6(n):
    app = chain(5, nap)

    async def main():
        await asyncio.gather(*(app.run({"i": 0}) for _ in range(n)))

    asyncio.run(main())


def w7a(n):
    build_chain(n)


def w7b(n):
    count = n // 10
    graph = Graph("dense", Count)
    for k in range(count):
        graph.node(f"n{k}", step)
    graph.edge(START, "n0")
    for k in range(count):
        graph.switch(f"n{k}", {f"i % 10 == {j}": f"n{(k + j + 1) % count}" for j in range(10)}, otherwise=END)
    graph.compile()


_db: dict[str, str | int] = {}


@cache
def _endless(fn, state):
    field = "i" if state is Count else "len(msgs)"
    return loop(f"{field} < {10**9}", fn, state)


def setup_w10(n):
    _db["w10"] = path = fresh_db("loom10")
    _db["w10_steps"] = n
    app = _endless(marked, Count)
    runtime = Runtime(checkpointer=SqliteCheckpointer(path), limits=Limits(max_steps=n))
    assert app.run_sync({"i": 0}, run_id="t", runtime=runtime).stop_reason == "max_steps"


def w10(n):
    _resume(_endless(marked, Count), _db["w10"], _db["w10_steps"])


def setup_w10b(n):
    _db["w10b"] = path = fresh_db("loom10b")
    _db["w10b_steps"] = n
    app = _endless(grow_marked, Messages)
    runtime = Runtime(checkpointer=SqliteCheckpointer(path), limits=Limits(max_steps=n))
    app.run_sync(run_id="t", runtime=runtime)


def w10b(n):
    _resume(_endless(grow_marked, Messages), _db["w10b"], _db["w10b_steps"])


_steps: dict[str, int] = {}
_left_open = []


def _resume(app, path, steps):
    """Resume for one step more than the run has."""

    async def main():
        _left_open.append(store := SqliteCheckpointer(path))
        limits = Limits(max_steps=_steps.setdefault(path, steps) + 1)
        result = await app.resume("t", runtime=Runtime(checkpointer=store, limits=limits))
        _steps[path] += 1
        assert result.steps == _steps[path]

    asyncio.run(main())


def versions():
    return dists("loom-agent", "pydantic")


IMPORT = "from loom import END, START, Graph, State, node"
WORKLOADS = {
    "W1": w1,
    "W2": w2,
    "W3": w3,
    "W4": w4,
    "W5": w5,
    "W6": w6,
    "W7a": w7a,
    "W7b": w7b,
    "W9": "n/a: the agent comes later",
    "W10": w10,
    "W10b": w10b,
}
SETUP = {"W10": setup_w10, "W10b": setup_w10b}
NOTES = {
    "W10": "the store is left open, as a crash leaves it: closing it costs the next claim a flush of the disk",
    "W5": "each over a list of 1,000, all of them at once",
}
