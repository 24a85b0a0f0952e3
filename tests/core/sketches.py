"""Random graphs that compile and end: chains, switches on counters, fan-outs, joins, bounded loops.

A sketch is drawn wild and then mended until `check()` has nothing against it. Every node appends its
name to `log` and counts its visits; a switch leaves its loop when its own node was visited often
enough, so every walk ends.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import permutations
from random import Random
from typing import Annotated, Any

from anyio import sleep
from anyio.lowlevel import checkpoint
from hypothesis import strategies as st
from pydantic import BaseModel

from loom import END, START, Graph, State, add, append, node
from loom.core.declared import Declared
from loom.core.flow import branch_problems
from loom.core.node import AnyNode

# Any, in this module: field values.

NAMES = "abcdefgh"


class Trail(State):
    log: Annotated[list[str], append] = []
    mark: str = ""
    a: Annotated[int, add] = 0
    b: Annotated[int, add] = 0
    c: Annotated[int, add] = 0
    d: Annotated[int, add] = 0
    e: Annotated[int, add] = 0
    f: Annotated[int, add] = 0
    g: Annotated[int, add] = 0
    h: Annotated[int, add] = 0


class Wrote(BaseModel):
    log: list[str]
    visits: int


class Marked(Wrote):
    mark: str


# What a run of a sketch begins with, how its writes combine, and what a step is told by: node, log and mark as seen.
INPUTS: dict[str, Any] = {"log": [], "mark": "", **dict.fromkeys(NAMES, 0)}
REDUCERS: dict[str, Callable[[Any, Any], Any]] = dict.fromkeys(("log", *NAMES), operator.add)
Seen = tuple[str, tuple[str, ...], str]

Targets = tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """A switch: after so many visits of its own node it leads on, before that back."""

    visits: int
    on: Targets
    back: Targets


Ways = Targets | Choice


@dataclass(frozen=True)
class Sketch:
    """A drawing as data. `marks` are the nodes that write `mark`, which has no reducer."""

    ways: Mapping[str, Ways]
    joins: frozenset[str]
    marks: frozenset[str]

    def lists(self) -> list[tuple[str, Targets]]:
        """Return every source with every list of targets it may lead to."""
        return [
            (source, targets)
            for source, ways in self.ways.items()
            for targets in ((ways.on, ways.back) if isinstance(ways, Choice) else (ways,))
        ]

    def act(self, name: str, seen: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a node writes that sees this."""
        visit = seen[name] + 1
        marked = {"mark": f"{name}{visit}"} if name in self.marks else {}
        return {"log": [f"{name}{visit}"], name: 1, **marked}

    def pruned(self) -> "Sketch":
        """Return the sketch without what START does not lead to."""
        found, todo = {START}, [START]
        while todo:
            source = todo.pop()
            new = {t for s, targets in self.lists() if s == source for t in targets} - found - {END}
            found |= new
            todo += new
        ways = {name: ways for name, ways in self.ways.items() if name in found}
        return Sketch(ways, self.joins & found, self.marks & found)

    def graph(self, act: Callable[[str, bool], AnyNode]) -> Graph[Trail]:
        """Draw it."""
        graph = Graph("sketch", Trail)
        for name in self.ways:
            if name != START:
                graph.node(
                    name, act(name, name in self.marks), reads={"visits": name}, writes={"visits": name},
                    join=name in self.joins,
                )  # fmt: skip
        for source, ways in self.ways.items():
            if isinstance(ways, Choice):
                graph.switch(source, {f"{source} >= {ways.visits}": list(ways.on)}, otherwise=list(ways.back))
            else:
                graph.edge(source, list(ways))
        return graph

    def declared(self) -> Declared:
        """Return the drawing as the checks see it."""
        return self.graph(idle)._declared  # pyright: ignore[reportPrivateUsage]  # the checks are handed it too


def idle(name: str, marks: bool) -> AnyNode:
    """Return a node that is only drawn."""
    return _IDLE[marks]


class Listener:
    """Hears what the nodes of a run see, and keeps each of them waiting for as long as chance will have it."""

    def __init__(self, chance: Random | None = None) -> None:
        self.heard: list[Seen] = []
        self._chance = chance

    async def hear(self, seen: Seen) -> None:
        self.heard.append(seen)
        if self._chance:
            for _ in range(self._chance.randrange(4)):
                await checkpoint()
            if self._chance.randrange(8) == 0:
                await sleep(0.0005)


def worker(name: str, marks: bool, listener: Listener) -> AnyNode:
    """Return a node that tells what it sees and writes its visit."""

    @node
    async def plain(log: list[str], visits: int, mark: str) -> Wrote:
        await listener.hear((name, tuple(log), mark))
        return Wrote(log=[f"{name}{visits + 1}"], visits=1)

    @node
    async def marking(log: list[str], visits: int, mark: str) -> Marked:
        await listener.hear((name, tuple(log), mark))
        return Marked(log=[f"{name}{visits + 1}"], visits=1, mark=f"{name}{visits + 1}")

    return marking if marks else plain


_IDLE = [worker("", marks, Listener()) for marks in (False, True)]


def mended(sketch: Sketch) -> Sketch:
    """Change a sketch until it compiles: where branches meet there is a join, where one jumps out the way back goes."""
    while True:
        sketch = sketch.pruned()
        problems = list(branch_problems(sketch.declared()))
        if not problems:
            return sketch
        meeting = {name for p in problems for name in sketch.ways if p.where == f'node "{name}"'} - sketch.joins
        loops = [name for name, ways in sketch.ways.items() if isinstance(ways, Choice) and ways.back[0] <= name]
        fans = [(len(targets), source) for source, targets in sketch.lists() if len(targets) > 1]
        if all(problem.code == "LOOM204" for problem in problems):
            sketch = replace(sketch, marks=frozenset())
        elif meeting:
            sketch = replace(sketch, joins=sketch.joins | {min(meeting)})
        elif loops:
            last = sketch.ways[loops[-1]]
            assert isinstance(last, Choice)
            sketch = replace(sketch, ways={**sketch.ways, loops[-1]: last.on})
        else:
            source = max(fans)[1]
            ways = sketch.ways[source]
            less = Choice(ways.visits, ways.on[:1], ways.back[:1]) if isinstance(ways, Choice) else ways[:1]
            sketch = replace(sketch, ways={**sketch.ways, source: less})


@st.composite
def sketches(draw: st.DrawFn) -> Sketch:
    """Return sketches of up to eight nodes. Only the way of a switch with a counter leads back."""
    names = NAMES[: draw(st.integers(3, len(NAMES)))]

    def forward(index: int) -> Targets:
        ahead = names[index : index + 4]
        if not ahead:
            return (END,)
        lists = [(ahead[0],), *permutations(ahead, 2), *permutations(ahead, 3), *permutations(ahead, 4)]
        return draw(st.sampled_from([*lists, *((name,) for name in ahead), (END,)]))

    ways: dict[str, Ways] = {START: forward(0)}
    for index, name in enumerate(names, 1):
        kind = draw(st.sampled_from(["edge", "edge", "switch", "loop"]))
        if kind == "edge":
            ways[name] = forward(index)
        elif kind == "switch":
            ways[name] = Choice(draw(st.integers(1, 2)), forward(index), forward(index))
        else:
            back = (draw(st.sampled_from(names[:index])),)
            ways[name] = Choice(draw(st.integers(1, 3)), forward(index), back)
    joins = draw(st.frozensets(st.sampled_from(names)))
    marks = draw(st.one_of(st.just(frozenset[str]()), st.frozensets(st.sampled_from(names))))
    return mended(Sketch(ways, joins, marks))
