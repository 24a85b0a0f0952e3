"""Cut a run off between any two of its records, go on: the end is that of the run that was not interrupted.

Each case runs once as a whole, while the world is watched: a folder with the files that nodes write and a ledger of
effects. Then, for every beginning of its journal, a store that holds just that is resumed in the world as it was right
after the last of these records, and once more in the world as it was right before the next.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Annotated, Any

import pytest

from loom import (
    END,
    START,
    Ask,
    Context,
    Graph,
    GraphResult,
    MemoryCheckpointer,
    ModelRef,
    Result,
    Runtime,
    State,
    append,
    node,
)
from loom.core.journal import Claim, decode
from loom.core.node import AnyNode
from loom.core.result import Status
from loom.graphs.agent import agent
from loom.graphs.harness import harness
from loom.runs.app import CompiledGraph
from loom.testing import ScriptedModel
from loom.tools.door import Door
from loom.tools.tool import tool
from loom.tools.workspace import guarded_files
from loom.types.messages import ToolCall
from loom.types.models import ModelRequest
from loom.types.policy import PolicyConfig, ToolAccessPolicy, ToolPolicy
from loom.types.tools import Tool
from tests.graphs.briefs import BRIEF, CHECKS, COMMAND, EVALUATOR, GENERATOR, PLANNER, TEST, answer

pytestmark = pytest.mark.anyio

# Any, in this module: states of all kinds, JSON.

Files = dict[str, bytes]


class World:
    """What a run acts on: a folder, with a ledger of effects by their keys, and what has run in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ran: list[str] = []
        folder.mkdir()

    def did(self, key: str) -> str:
        """Note an effect."""
        with (self.folder / "ledger").open("a") as ledger:
            ledger.write(f"{key}\n")
        return f"{key} done"

    def effects(self) -> Counter[str]:
        """Count the effects that have happened."""
        path = self.folder / "ledger"
        return Counter(path.read_text().splitlines() if path.exists() else [])

    def files(self) -> Files:
        """Return what is in the folder, without what Python has compiled."""
        found = (path for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}

    def become(self, files: Files) -> None:
        """Put the folder back to what it was."""
        rmtree(self.folder)
        self.folder.mkdir()
        self.ran.clear()
        for name, content in files.items():
            (self.folder / name).write_bytes(content)


class Watching(MemoryCheckpointer):
    """A store that notes the world before and after each of its commits, by the number of records there are."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.before: dict[int, Files] = {}
        self.after: dict[int, Files] = {}

    async def create(
        self, run_id: str, graph: str, header: bytes, records: Sequence[bytes], *, parent: str | None = None
    ) -> Claim:
        self.before[0] = self._world.files()
        claim = await super().create(run_id, graph, header, records, parent=parent)
        self.after[claim.head] = self._world.files()
        return claim

    async def claim(self, run_id: str, head: int, records: Sequence[bytes]) -> Claim:
        self.before[head] = self._world.files()
        claim = await super().claim(run_id, head, records)
        self.after[claim.head] = self._world.files()
        return claim

    async def append(
        self, claim: Claim, records: Sequence[bytes], status: Status = "running", snapshot: bytes | None = None
    ) -> None:
        self.before[claim.head] = self._world.files()
        await super().append(claim, records, status, snapshot)
        self.after[claim.head] = self._world.files()

    def worlds(self, records: int) -> list[Files]:
        """Return the worlds that a crash with so many records could leave: where nothing and where all has happened."""
        if records not in self.after:  # inside a commit: as it was before
            return [self.before[max(head for head in self.before if head < records)]]
        return [self.after[records], self.before.get(records, self.after[records])]


@dataclass(frozen=True)
class Case:
    """A graph in a world, and what its run begins with. `says` is the model's part, `has` are files to begin with."""

    drawn: Callable[[World], Graph[Any]]
    inputs: Callable[[World], dict[str, Any]] = lambda _: {}
    says: str | Callable[[ModelRequest], Any] = ""
    has: Mapping[str, str] = field(default_factory=dict[str, str])
    tools: Callable[[World], Mapping[str, Tool]] = lambda _: {}


# The prebuilt graphs.


def reply(request: ModelRequest) -> str | list[ToolCall]:
    """Pay twice, wish for what is forbidden, needs permission or is not there, then say so."""
    turn = sum(message.role == "assistant" for message in request.messages)
    wishes = [["pay"], ["pay", "drop"], ["sign", "look", "sign"], ["fly"]]
    if turn == len(wishes):
        return "Paid."
    return [ToolCall(id=f"{turn}{name}", name=name, arguments={}) for name in wishes[turn]]


def paying(world: World) -> Door:
    @tool
    async def pay() -> str:
        return world.did("0: pay")

    @tool(requires_permission=True)
    async def sign() -> str:
        return world.did(f"{'2' if world.effects()['0: sign'] else '0'}: sign")

    @tool(read_only=True)
    async def look() -> str:
        return f"seen {world.effects()['0: sign']}"

    @tool
    async def drop() -> str:
        raise AssertionError("not to be called")

    policy = PolicyConfig(tools=ToolPolicy(access=ToolAccessPolicy(deny=["drop"])))
    return Door([pay, sign, look, drop], policy=policy)


def judged(world: World, **parts: Any) -> Graph[Any]:
    return harness(GENERATOR, **parts)


def checked(world: World, **parts: Any) -> Graph[Any]:
    return harness(GENERATOR, checks=CHECKS, workspace=world.folder, **parts)


def briefed(world: World) -> dict[str, Any]:
    return {"brief": BRIEF, "guarded": guarded_files(world.folder, [COMMAND])}


JUDGED = partial(Case, inputs=briefed, says=answer)
CHECKED = partial(JUDGED, has={"test_add.py": TEST})
PAYER = ModelRef("given", "payer")
PREBUILT = {
    "agent": Case(lambda _: agent(PAYER), lambda _: {"prompt": "Pay!"}, reply, tools=paying),
    "harness": JUDGED(judged),
    "harness with planner": JUDGED(partial(judged, planner=PLANNER)),
    "harness with evaluator": JUDGED(partial(judged, evaluator=EVALUATOR)),
    "harness with evaluator and planner": JUDGED(partial(judged, evaluator=EVALUATOR, planner=PLANNER)),
    "harness with checks": CHECKED(checked),
    "harness with checks and planner": CHECKED(partial(checked, planner=PLANNER)),
    "harness with checks and evaluator": CHECKED(partial(checked, evaluator=EVALUATOR)),
    "harness with checks, evaluator and planner": CHECKED(partial(checked, evaluator=EVALUATOR, planner=PLANNER)),
}


# Sketches of what graphs are made of. Every node writes its name as the last thing into `log`.


class Log(State):
    log: Annotated[list[str], append] = []
    tasks: list[str] = []


def worker(name: str, world: World) -> AnyNode:
    """Return a node; one whose name begins with `act` or `ask` acts on the world twice, the latter asks before."""

    @node(writes="log")
    async def work(log: list[str]) -> list[str]:
        world.ran.append(name)
        return [f"seen {len(log)}", name]

    @node(writes="log", effect="write")
    async def act(ctx: Context) -> list[str]:
        said = [await ctx.ask("Now?", key="now")] if name.startswith("ask") else []
        done = [await ctx.once(key, world.did, key) for key in (f"{name} first", f"{name} then")]
        world.ran.append(name)
        return [*said, *done, name]

    return act if name.startswith(("act", "ask")) else work


def with_nodes(world: World, *names: str) -> Graph[Log]:
    graph = Graph("sketch", Log)
    for name in names:
        graph.node(name, worker(name, world), ungated="a test")
    return graph


def fan(world: World) -> Graph[Log]:
    """A fan-out in a fan-out: a branch acts, one asks, one chooses its way to the join."""
    graph = with_nodes(world, "first", "a", "b", "act", "ask", "d", "e", "actc", "last")
    graph.edge(START, "first", ["a", "b", "actc"])
    graph.edge("a", ["act", "ask"], "d")
    graph.switch("b", {"len(log) > 2": "e"}, otherwise="last")
    graph.edge("e", "last")
    graph.edge(["d", "actc"], "last", END)
    return graph


def each(world: World) -> Graph[Log]:
    """Items that act, two at once."""
    graph = with_nodes(world, "first", "last")

    @node(writes="log", effect="write")
    async def work(task: str, ctx: Context) -> list[str]:
        done = await ctx.once(task, world.did, task)
        world.ran.append(task)
        return [done, task]

    graph.node("work", work, ungated="a test")
    graph.edge(START, "first")
    graph.each("first", "work", over="tasks", bind="task", max_concurrency=2)
    graph.edge("work", "last", END)
    return graph


def switch(world: World) -> Graph[Log]:
    """A switch that leads back twice, then on through an act."""
    graph = with_nodes(world, "a", "b", "act")
    graph.edge(START, "a", "b")
    graph.switch("b", {"len(log) >= 12": "act"}, otherwise="a")
    graph.edge("act", END)
    return graph


def inner(world: World) -> Graph[Log]:
    """Graphs in a graph, two at once, each with a fan-out that acts."""
    graph = with_nodes(world, "first", "last")
    for side in ("left", "right"):
        within = with_nodes(world, f"act {side}", f"b {side}", f"c {side}")
        within.edge(START, [f"act {side}", f"b {side}"], f"c {side}", END)
        graph.node(side, within.compile().as_node(reads={}, writes={"log": "log"}), ungated="a test")
    graph.edge(START, "first", ["left", "right"], "last", END)
    return graph


SKETCHES = {
    "fan": Case(fan),
    "each": Case(each, lambda _: {"tasks": ["one", "two", "three", "four"]}),
    "switch": Case(switch),
    "inner": Case(inner),
}
INNER = {"left", "right"}


# The cut.


@dataclass(frozen=True)
class Whole:
    """The run that was not interrupted."""

    result: GraphResult[Any]
    header: bytes
    lines: list[bytes]
    records: list[dict[str, Any]]
    ran: Counter[str]
    effects: Counter[str]


def ran(world: World, model: ScriptedModel) -> Counter[str]:
    """Count what has run: nodes of sketches, and model calls by node."""
    return Counter(world.ran) + Counter(request.node for request in model.requests)


def finished(records: Sequence[dict[str, Any]], whole: Counter[str]) -> Counter[str]:
    """Count what finished steps ran."""
    steps = [record for record in records if record["kind"] == "step" and record["node"] not in INNER]
    names = [record["writes"]["log"][-1] if "log" in record["writes"] else record["node"] for record in steps]
    return Counter(name for name in names if name in whole)


async def answered(
    app: CompiledGraph[Any], result: GraphResult[Any], runtime: Runtime, decide: Callable[[Ask], object]
) -> GraphResult[Any]:
    """Answer what is asked until nothing is."""
    while result.status == "paused":
        answers = {ask.id: decide(ask) for ask in result.asks}
        result = await app.resume("r", answers=answers, runtime=runtime)
    return result


async def uninterrupted(case: Case, world: World, store: Watching) -> Whole:
    model, app = ScriptedModel([case.says] * 50), case.drawn(world).compile()
    runtime = Runtime(checkpointer=store, models=model, tools=case.tools(world))
    first = await app.run(case.inputs(world), run_id="r", runtime=runtime)
    result = await answered(app, first, runtime, lambda ask: True if ask.kind == "approve" else "now")
    assert result.status == "completed"
    journal = await store.read("r")
    records = [decode(line, "r") for line in journal.records]
    return Whole(result, journal.header, list(journal.records), records, ran(world, model), world.effects())


async def resumed(case: Case, world: World, whole: Whole, cut: int) -> None:
    """Go on after so many records, and compare."""
    left, kept = MemoryCheckpointer(), whole.records[:cut]
    await left.release(await left.create("r", "g", whole.header, whole.lines[:cut]))
    saved = Counter(record["key"] for record in kept if record["kind"] == "effect")

    def decide(ask: Ask) -> object:
        if ask.kind != "in_doubt":
            return True if ask.kind == "approve" else "now"
        key = ask.payload["effect"]
        if world.effects()[key] == saved[key]:
            return "retry"
        return Result(next(r["result"] for r in whole.records[cut:] if r["kind"] == "effect" and r["key"] == key))

    model, app = ScriptedModel([case.says] * 50), case.drawn(world).compile()
    runtime = Runtime(checkpointer=left, models=model, tools=case.tools(world))
    result = await answered(app, await app.resume("r", runtime=runtime), runtime, decide)
    assert (result.status, result.state, result.steps) == ("completed", whole.result.state, whole.result.steps)
    assert ran(world, model) == whole.ran - finished(kept, whole.ran), "what was finished does not run again"
    assert world.effects() == whole.effects, "every effect happens once"


async def cut_everywhere(case: Case, folder: Path) -> None:
    world = World(folder / "world")
    begin = {name: text.encode() for name, text in case.has.items()}
    world.become(begin)
    store = Watching(world)
    whole = await uninterrupted(case, world, store)
    for cut in range(1, len(whole.lines) + 1):
        for files in store.worlds(cut):
            world.become(files)
            await resumed(case, world, whole, cut)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * ("checks" in n)) for n in PREBUILT])
async def test_a_prebuilt_graph_cut_off_anywhere_ends_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    await cut_everywhere(PREBUILT[name], tmp_path)


@pytest.mark.parametrize("name", SKETCHES)
async def test_a_sketch_cut_off_anywhere_ends_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    await cut_everywhere(SKETCHES[name], tmp_path)


def test_every_prebuilt_graph_is_cut() -> None:
    files = (Path(__file__).parent.parent / "graphs").glob("[a-z]*.py")
    assert {file.stem for file in files} == {name.split()[0] for name in PREBUILT}
