"""Small graphs of nodes named by letters, each of which appends its name to `log`; a test gives some a body."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import anyio

from loom import END, START, Context, Graph, MemoryCheckpointer, Retry, State, append, node
from loom.core.journal import Checkpointer, Journal, encode
from loom.core.node import AnyNode
from loom.core.plan import Plan
from loom.runs.app import CompiledGraph

# Any, in this module: the states of graphs, which do not matter here.

Body = Callable[[Context], Awaitable[object]]
Stops = str | list[str]


class Log(State):
    log: Annotated[list[str], append] = []
    note: str = ""


def letter(name: str, body: Body | None = None) -> AnyNode:
    """Return a node that does what `body` does, then writes its name."""

    @node(writes="log")
    async def work(log: list[str], ctx: Context) -> list[str]:
        if body:
            await body(ctx)
        return [name]

    @node(writes="log")
    async def plain(log: list[str]) -> list[str]:
        return [name]

    return work if body else plain


def graph_of(
    *edges: tuple[Stops, ...],
    bodies: Mapping[str, Body] | None = None,
    nodes: Mapping[str, AnyNode] | None = None,
    retry: Mapping[str, Retry] | None = None,
    timeout_s: Mapping[str, float] | None = None,
) -> Graph[Log]:
    """Draw edges as `graph.edge` takes them. What is not said about a node is nothing."""
    graph = Graph("letters", Log)
    stops = [stop for edge in edges for stop in edge]
    names = {name for stop in stops for name in ([stop] if isinstance(stop, str) else stop)} - {START, END}
    every: set[str] = {*names, *(bodies or {}), *(nodes or {})}
    for name in sorted(every):
        given = (nodes or {}).get(name) or letter(name, (bodies or {}).get(name))
        graph.node(name, given, retry=(retry or {}).get(name), timeout_s=(timeout_s or {}).get(name))
    for edge in edges:
        graph.edge(*edge)
    return graph


def chain(names: str, **bodies: Body) -> CompiledGraph[Log]:
    """Return a graph of nodes one after the other."""
    return graph_of((START, *names, END), bodies=bodies).compile()


def fan(names: str, **bodies: Body) -> CompiledGraph[Log]:
    """Return a graph that fans out to all nodes but the last, where they join."""
    return graph_of((START, list(names[:-1]), names[-1], END), bodies=bodies).compile()


def plan_of(graph: Graph[Any] | CompiledGraph[Any]) -> Plan:
    """Return the tables of a graph, which a compiled one keeps to itself."""
    app = graph.compile() if isinstance(graph, Graph) else graph
    return app._plan  # pyright: ignore[reportPrivateUsage]  # what pasts and stories are made of


def journal_of(app: CompiledGraph[Any], *records: Mapping[str, Any]) -> Journal:
    """Return a journal of a graph, written by hand; what it does not say of the time is a second after the epoch."""
    header = app._header  # pyright: ignore[reportPrivateUsage]
    return Journal("r", header, [encode({"at": 1.0, **record}) for record in records], "running")


async def after_crash(store: Checkpointer, run_id: str, records: int) -> MemoryCheckpointer:
    """Return what a process that died right after so many records of a run would have left."""
    journal = await store.read(run_id)
    left = MemoryCheckpointer()
    await left.release(await left.create(run_id, "letters", journal.header, journal.records[:records]))
    return left


class Diary:
    """What bodies note down: who began, who ended."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []

    def noting(self, body: Body | None = None) -> Body:
        async def noted(ctx: Context) -> None:
            self.begun.append(ctx.node)
            if body:
                await body(ctx)
            self.ended.append(ctx.node)

        return noted


async def soon(ctx: Context) -> None:
    await anyio.sleep(0.01)


async def forever(ctx: Context) -> None:
    await anyio.sleep(3600)


def failing(*errors: Exception | None) -> Body:
    """Return a body that raises these one after the other, then nothing any more."""
    left = list(errors)

    async def body(ctx: Context) -> None:
        if left and (error := left.pop(0)):
            raise error

    return body


# A journal written by hand: its first record and those of its steps.

NESTED = graph_of((START, "a", ["b", "c"]), ("b", ["d", "e"], "f"), (["c", "f"], "g", END)).compile()


def step(seq: int, node: str, taken: list[str] | None, branch: str = "", **more: object) -> dict[str, Any]:
    return {
        "kind": "step", "seq": seq, "node": node, "branch": branch, "attempt": 1, "s": 0.5,
        "writes": {"log": [node]}, "taken": taken, **more,
    }  # fmt: skip


BEGUN: dict[str, Any] = {"kind": "input", "values": {"log": [], "note": ""}, "taken": ["a"]}
