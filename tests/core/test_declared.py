"""Tests of graphs as they are declared, and of each, as it is declared, checked and run."""

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel

from loom import (
    END,
    START,
    ConfigError,
    Context,
    Graph,
    Limits,
    MemoryCheckpointer,
    Node,
    NodeError,
    Problem,
    Retry,
    Runtime,
    State,
    add,
    append,
    merge,
    node,
)
from loom.core.declared import Declared
from loom.core.journal import Claim, decode
from loom.core.node import AnyNode
from loom.core.result import Status
from loom.runs.app import CompiledGraph

# Any, in this module: parsed JSON and graphs of any state.


class Tasks(State):
    tasks: list[str] = []
    out: Annotated[list[str], append] = []
    last: str = ""
    count: int = 0


@node(writes="out")
async def work(task: str) -> list[str]:
    return [task.upper()]


@node(writes="count")
async def count(out: list[str]) -> int:
    return len(out)


def drawn(worker: AnyNode = work, over: str = "tasks", bind: str = "task", **settings: Any) -> Graph[Tasks]:
    graph = Graph("g", Tasks)
    graph.node("work", worker)
    graph.node("count", count)
    graph.each(START, "work", over=over, bind=bind, **settings)
    graph.edge("work", "count", END)
    return graph


def declared(graph: Graph[Any]) -> Declared:
    return graph._declared  # pyright: ignore[reportPrivateUsage]


# What was declared


def test_what_is_drawn_later_does_not_change_what_was_declared() -> None:
    graph = drawn()
    before = declared(graph)
    graph.node("more", count)
    graph.edge("more", END)
    assert "more" not in before.nodes
    assert len(before.drawings) == 2 + 1
    assert len(declared(graph).drawings) == 4


def test_successors_are_known_nodes_and_the_end_each_once() -> None:
    graph = Graph("g", Tasks)
    graph.node("a", count)
    graph.node("b", count)
    graph.switch("a", {"count > 1": ["a", "b"], "count > 2": "b", "count > 3": "nowhere"}, otherwise=END)
    graph.edge(START, "a")
    graph.edge("nowhere", "a")
    assert declared(graph).successors == {START: ("a",), "a": ("a", "b", END), "b": ()}
    assert list(declared(graph).fan_outs()) == [("a", ("a", "b"))]
    assert [one.call for one in declared(graph).drawings] == ['switch("a")', 'edge("START")', 'edge("nowhere")']


def test_a_field_must_be_given_that_has_no_default_and_that_nothing_writes() -> None:
    class Wants(State):
        given: str
        written: int
        also: str = ""

    @node(writes="written")
    async def write(given: str) -> int:
        return len(given)

    graph = Graph("g", Wants, inputs=("also",))
    graph.node("write", write)
    assert declared(graph).given == ("also", "given")
    assert declared(graph).written == {"written"}


def test_a_join_is_what_follows_a_list_or_says_so() -> None:
    graph = Graph("g", Tasks)
    for name in "abcd":
        graph.node(name, count, join=name == "d")
    graph.edge(START, ["a", "b"], "c", "d", END)
    assert [name for name in "abcd" if name in declared(graph).joins] == ["c", "d"]


# Each, run


def test_results_stand_in_the_order_of_the_items() -> None:
    result = drawn().compile().run_sync({"tasks": ["b", "a", "b"]})
    assert (result.state.out, result.state.count, result.steps) == (["B", "A", "B"], 3, 4)


class AtWork:
    """Counts who is at work at once; no part of a fingerprint but by its name."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.ended: list[str] = []
        self.errors: dict[str, Exception] = {}

    async def do(self, task: str, *, seconds: float = 0.002) -> str:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await anyio.sleep(seconds)
            if task in self.errors:
                raise self.errors.pop(task)
            self.ended.append(task)
        finally:
            self.now -= 1
        return task.upper()


def busy(at_work: AtWork, seconds: Mapping[str, float] | None = None) -> AnyNode:
    @node(writes="out")
    async def work(task: str) -> list[str]:
        return [await at_work.do(task, seconds=(seconds or {}).get(task, 0.002))]

    return work


@pytest.mark.anyio
async def test_the_order_is_that_of_the_items_whoever_is_first() -> None:
    ended = {name: anyio.Event() for name in "abc"}

    @node(writes="out")
    async def work(task: str) -> list[str]:
        if task != "c":
            await ended["b" if task == "a" else "c"].wait()
        ended[task].set()
        return [task.upper()]

    app = drawn(work).compile()
    result = await app.run({"tasks": ["a", "b", "c"]}, run_id="r")
    assert result.state.out == ["A", "B", "C"]
    points = await app.history("r")
    assert [(point.seq, point.node, point.branch, point.next) for point in points] == [
        (0, "START", "", ("work", "work", "work")),
        (1, "work", "2", ("work", "work")),
        (2, "work", "1", ("work",)),
        (3, "work", "0", ("count",)),
        (4, "count", "", ()),
    ]


@pytest.mark.anyio
@pytest.mark.parametrize(("settings", "most"), [({}, 16), ({"max_concurrency": 3}, 3), ({"max_concurrency": 1}, 1)])
async def test_so_many_items_are_at_work_at_once_and_no_more(settings: dict[str, Any], most: int) -> None:
    at_work = AtWork()
    result = await drawn(busy(at_work), **settings).compile().run({"tasks": [*"abcdefghijklmnopqrstuvwxyz"]})
    assert "".join(result.state.out) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert at_work.most == most


class Slow(MemoryCheckpointer):
    """A store that takes its time, and hears what is committed."""

    def __init__(self) -> None:
        super().__init__()
        self.committed = 0

    async def append(
        self, claim: Claim, records: Any, status: Status = "running", snapshot: bytes | None = None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.002)
        await super().append(claim, records, status, snapshot)
        self.committed += 1


@pytest.mark.anyio
async def test_a_slot_is_free_once_the_record_of_its_item_is_committed() -> None:
    store, begun, open_at_once = Slow(), list[str](), list[int]()

    @node(writes="out")
    async def work(task: str) -> list[str]:
        begun.append(task)
        open_at_once.append(len(begun) - store.committed)
        await anyio.lowlevel.checkpoint()
        return [task]

    app = drawn(work, max_concurrency=3).compile()
    await app.run({"tasks": [*"abcdefghi"]}, runtime=Runtime(checkpointer=store))
    assert max(open_at_once) == 3


def test_an_empty_list_goes_on_once() -> None:
    result = drawn().compile().run_sync({"tasks": []})
    assert (result.state.out, result.state.count, result.steps) == ([], 0, 1)


def test_an_empty_list_that_is_all_there_is_ends_the_run() -> None:
    graph = Graph("g", Tasks)
    graph.node("work", work)
    graph.each(START, "work", over="tasks", bind="task")
    graph.edge("work", END)
    app = graph.compile()
    result = app.run_sync({"tasks": []})
    assert (result.status, result.steps, result.state.out) == ("completed", 0, [])


class Two(State):
    first: list[str] = []
    second: list[str] = []
    out: Annotated[list[str], append] = []


@pytest.mark.parametrize("first", [[], ["a"], ["a", "b"]])
@pytest.mark.parametrize("second", [[], ["c"], ["c", "d"]])
@pytest.mark.parametrize("starts", [True, False])
def test_one_each_may_follow_another(first: list[str], second: list[str], starts: bool) -> None:
    @node(writes="out")
    async def end(out: list[str]) -> list[str]:
        return ["end"]

    graph = Graph("g", Two)
    graph.node("one", work)
    graph.node("two", work)
    graph.node("end", end)
    if not starts:
        graph.node("start", end)
        graph.edge(START, "start")
    graph.each(START if starts else "start", "one", over="first", bind="task")
    graph.each("one", "two", over="second", bind="task")
    graph.switch("two", {"len(out) > 100": "end"}, otherwise="end")
    graph.edge("end", END)
    app = graph.compile()
    result = app.run_sync({"first": first, "second": second}, run_id="r")
    expected = [*([] if starts else ["end"]), *(word.upper() for word in (*first, *second)), "end"]
    assert (result.state.out, result.steps) == (expected, len(expected))


@pytest.mark.anyio
async def test_an_each_in_a_loop_takes_the_items_that_are_there_then() -> None:
    class Rounds(State):
        tasks: list[int] = []
        out: Annotated[list[str], append] = []
        rounds: Annotated[int, add] = 0

    @node
    async def plan(rounds: int) -> Planned:
        return Planned(tasks=list(range(rounds)), rounds=1)

    @node(writes="out")
    async def item(task: int, rounds: int, ctx: Context) -> list[str]:
        return [f"{rounds}:{task} visit {ctx.visit}"]

    graph = Graph("g", Rounds)
    graph.node("plan", plan)
    graph.node("item", item)
    graph.edge(START, "plan")
    graph.each("plan", "item", over="tasks", bind="task", max_concurrency=1)
    graph.switch("item", {"rounds >= 4": END}, otherwise="plan")
    result = await graph.compile().run()
    assert result.state.out == [
        "2:0 visit 1", "3:0 visit 2", "3:1 visit 3", "4:0 visit 4", "4:1 visit 5", "4:2 visit 6",
    ]  # fmt: skip


class Planned(BaseModel):
    tasks: list[int]
    rounds: int


@pytest.mark.anyio
async def test_items_in_a_branch_of_a_fan_out_meet_before_the_branch_goes_on() -> None:
    @node(writes="out")
    async def tell(out: list[str], ctx: Context) -> list[str]:
        return [f"{ctx.node} saw {len(out)}"]

    graph = Graph("g", Tasks)
    graph.node("work", busy(AtWork()))
    for name in ("before", "after", "beside", "join"):
        graph.node(name, tell)
    graph.edge(START, ["before", "beside"])
    graph.each("before", "work", over="tasks", bind="task")
    graph.edge("work", "after")
    graph.edge(["after", "beside"], "join", END)
    app = graph.compile()
    result = await app.run({"tasks": ["a", "b"]}, run_id="r")
    assert result.state.out == ["before saw 0", "A", "B", "after saw 3", "beside saw 0", "join saw 5"]
    assert [point.branch for point in await app.history("r") if point.node == "work"] == ["0.0", "0.1"]


@pytest.mark.anyio
async def test_after_the_items_a_fan_out_may_follow() -> None:
    @node(writes="out")
    async def tell(out: list[str], ctx: Context) -> list[str]:
        return [f"{ctx.node} saw {len(out)}"]

    graph = Graph("g", Tasks)
    graph.node("work", work)
    for name in "xyz":
        graph.node(name, tell)
    graph.each(START, "work", over="tasks", bind="task")
    graph.edge("work", ["x", "y"], "z", END)
    for tasks, seen in ((["a", "b"], 2), ([], 0)):
        result = await graph.compile().run({"tasks": tasks})
        assert result.state.out[seen:] == [f"x saw {seen}", f"y saw {seen}", f"z saw {seen + 2}"]


@pytest.mark.anyio
async def test_an_item_sees_the_state_as_it_was_and_its_own_is_its_own() -> None:
    class Job(BaseModel):
        name: str
        parts: list[int]

    class Jobs(State):
        jobs: list[Job]
        seen: Annotated[list[str], append] = []

    @node(writes="seen")
    async def item(job: Job, seen: list[str], jobs: list[Job]) -> list[str]:
        job.parts.append(9)
        seen.append("mine")
        jobs.clear()
        return [f"{job.name} {job.parts} {len(seen)}"]

    graph = Graph("g", Jobs)
    graph.node("item", item)
    graph.each(START, "item", over="jobs", bind="job")
    graph.edge("item", END)
    job = Job(name="a", parts=[1])
    result = await graph.compile().run({"jobs": [job, job]})
    assert result.state.seen == ["a [1, 9] 1", "a [1, 9] 1"]
    assert result.state.jobs == [job, job] == [Job(name="a", parts=[1])] * 2


def test_writes_of_items_go_through_every_reducer_in_their_order() -> None:
    class Sums(State):
        tasks: tuple[int, ...]
        total: Annotated[int, add] = 0
        last: Annotated[dict[str, int], merge] = {}

    class Wrote(BaseModel):
        total: int
        last: dict[str, int]

    @node
    async def item(task: int) -> Wrote:
        await anyio.sleep(0.01 / (task + 1))
        return Wrote(total=task, last={"last": task})

    graph = Graph("g", Sums)
    graph.node("item", item)
    graph.each(START, "item", over="tasks", bind="task")
    graph.edge("item", END)
    result = graph.compile().run_sync({"tasks": (1, 2, 3, 4)})
    assert (result.state.total, result.state.last) == (10, {"last": 4})


class Ports(BaseModel):
    task: str
    other: list[str]


class Wrote(BaseModel):
    out: list[str]


class Worker(Node[Ports, Wrote]):
    mark: str

    async def run(self, inputs: Ports, ctx: Context) -> Wrote:
        return Wrote(out=[f"{self.mark}{inputs.task}{len(inputs.other)}"])


@node(writes="out")
def threaded(task: str) -> list[str]:
    return [task]


@node(writes="out")
async def named_as_a_field(last: str, count: int = 7) -> list[str]:
    return [f"{last}{count}"]


@pytest.mark.parametrize(
    ("worker", "bind", "reads", "expected"),
    [
        (Worker(mark="!"), "task", {"other": "tasks"}, ["!a2", "!b2"]),
        (threaded, "task", {}, ["a", "b"]),
        (named_as_a_field, "last", {}, ["a0", "b0"]),
    ],
)
def test_any_kind_of_node_may_take_an_item(
    worker: AnyNode, bind: str, reads: dict[str, str], expected: list[str]
) -> None:
    graph = Graph("g", Tasks)
    graph.node("work", worker, reads=reads)
    graph.each(START, "work", over="tasks", bind=bind)
    graph.edge("work", END)
    assert graph.compile().run_sync({"tasks": ["a", "b"]}).state.out == expected


@pytest.mark.anyio
async def test_an_item_that_fails_keeps_what_others_finished() -> None:
    at_work = AtWork()
    at_work.errors = {"c": ValueError("no c")}
    app = drawn(busy(at_work, {"c": 0.01, "d": 0.1}), max_concurrency=2).compile()
    with pytest.raises(NodeError, match='node "work", step 3, attempt 1: ValueError: no c') as caught:
        await app.run({"tasks": ["a", "b", "c", "d", "e"]}, run_id="r")
    assert caught.value.node == "work"
    assert (at_work.ended, at_work.now) == (["a", "b"], 0)
    result = await app.resume("r")
    assert (result.state.out, Counter(at_work.ended)) == (["A", "B", "C", "D", "E"], Counter("abcde"))


def test_each_item_has_attempts_of_its_own() -> None:
    tries = Counter[str]()

    @node(writes="out")
    async def work(task: str, ctx: Context) -> list[str]:
        tries[task] += 1
        if tries[task] < 3:
            raise ValueError(task)
        return [f"{task}{ctx.attempt}"]

    graph = Graph("g", Tasks)
    graph.node("work", work, retry=Retry(max_attempts=3, backoff_s=0))
    graph.each(START, "work", over="tasks", bind="task", max_concurrency=2)
    graph.edge("work", END)
    assert graph.compile().run_sync({"tasks": ["a", "b", "c"]}).state.out == ["a3", "b3", "c3"]


@pytest.mark.anyio
@pytest.mark.parametrize("at_once", [1, 2, 16])
async def test_cut_off_anywhere_nothing_that_was_saved_runs_again(at_once: int) -> None:
    at_work, store = AtWork(), MemoryCheckpointer()
    app = drawn(busy(at_work), max_concurrency=at_once).compile()
    whole = await app.run({"tasks": [*"abcde"]}, run_id="r", runtime=Runtime(checkpointer=store))
    journal = await store.read("r")
    for records in range(1, len(journal.records) + 1):
        left = MemoryCheckpointer()
        await left.release(await left.create("r", "g", journal.header, journal.records[:records]))
        kept = [decode(line, "r") for line in journal.records[:records]]
        saved = [record["writes"]["out"][0].lower() for record in kept if record.get("node") == "work"]
        at_work.ended.clear()
        at_work.most = 0
        result = await app.resume("r", runtime=Runtime(checkpointer=left))
        assert (result.status, result.state, result.steps) == ("completed", whole.state, whole.steps)
        assert Counter(at_work.ended) == Counter("abcde") - Counter(saved)
        assert at_work.most <= at_once


@pytest.mark.anyio
@pytest.mark.parametrize("limit", range(7))
async def test_limits_count_items_as_steps(limit: int) -> None:
    at_work, store = AtWork(), MemoryCheckpointer()
    app = drawn(busy(at_work), max_concurrency=2).compile()
    runtime = Runtime(checkpointer=store, limits=Limits(max_steps=limit))
    result = await app.run({"tasks": [*"abcd"]}, run_id="r", runtime=runtime)
    assert (result.steps, len(at_work.ended)) == (min(limit, 5), min(limit, 4))
    result = await app.resume("r", runtime=Runtime(checkpointer=store))
    assert (result.state.out, len(at_work.ended)) == (["A", "B", "C", "D"], 4)


@pytest.mark.anyio
async def test_cancelling_keeps_the_items_that_were_finished() -> None:
    at_work, store = AtWork(), MemoryCheckpointer()
    app = drawn(busy(at_work, {"c": 0.2, "d": 0.2}), max_concurrency=2).compile()
    run = app.start({"tasks": [*"abcd"]}, run_id="r", runtime=Runtime(checkpointer=store))
    await anyio.sleep(0.05)
    run.cancel()
    assert (await run.wait()).status == "cancelled"
    assert (at_work.ended, at_work.now) == (["a", "b"], 0)
    assert (await app.resume("r", runtime=Runtime(checkpointer=store))).state.out == ["A", "B", "C", "D"]


# Each around inner graphs


class Inside(State):
    task: str
    steps: Annotated[list[str], append] = []


def inside(at_work: AtWork) -> CompiledGraph[Inside]:
    @node(writes="steps")
    async def one(task: str, ctx: Context) -> list[str]:
        return [f"{ctx.node} {await at_work.do(task)}"]

    graph = Graph("inside", Inside)
    graph.node("one", one)
    graph.node("two", one)
    graph.edge(START, "one", "two", END)
    return graph.compile()


@pytest.mark.anyio
async def test_an_item_may_be_a_whole_graph() -> None:
    at_work = AtWork()
    app = drawn(inside(at_work).as_node(reads={"task": "task"}, writes={"steps": "out"})).compile()
    result = await app.run({"tasks": ["a", "b"]}, run_id="r")
    assert result.state.out == ["work/one A", "work/two A", "work/one B", "work/two B"]
    points = [(point.node, point.branch) for point in await app.history("r")]
    assert Counter(points) == Counter(
        [("START", ""), ("count", "")]
        + [(name, branch) for name in ("work", "work/one", "work/two") for branch in ("0", "1")]
    )


@pytest.mark.anyio
async def test_a_graph_of_an_item_that_fails_goes_on_where_it_was() -> None:
    at_work = AtWork()
    app = drawn(inside(at_work).as_node(reads={"task": "task"}, writes={"steps": "out"}), max_concurrency=1).compile()
    whole = await app.run({"tasks": [*"abc"]})
    store = MemoryCheckpointer()
    journal_of = await _journal(app, store)
    for records in range(1, len(journal_of) + 1):
        left = MemoryCheckpointer()
        header = (await store.read("r")).header
        await left.release(await left.create("r", "g", header, journal_of[:records]))
        done = sum(b'"node":"one"' in line or b'"node":"two"' in line for line in journal_of[:records])
        at_work.ended.clear()
        result = await app.resume("r", runtime=Runtime(checkpointer=left))
        assert result.state == whole.state
        assert len(at_work.ended) == 6 - done


async def _journal(app: CompiledGraph[Tasks], store: MemoryCheckpointer) -> list[bytes]:
    await app.run({"tasks": [*"abc"]}, run_id="r", runtime=Runtime(checkpointer=store))
    return list((await store.read("r")).records)


# Each, checked


@node(writes="last")
async def clash(task: str) -> str:
    return task


@node(writes="out")
async def of_numbers(task: int) -> list[str]:
    return []


def errors(graph: Graph[Any]) -> list[Problem]:
    return [problem for problem in graph.check() if problem.severity == "error"]


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        (
            drawn(over="task"),
            'over="task" is no field; fields are "count", "last", "out", "tasks". Did you mean "tasks"?',
        ),
        (drawn(over="count"), 'over="count" holds int; expected a list or a tuple of one type'),
        (drawn(bind="job"), 'bind="job" is no port of "work"; ports are "task"'),
        (drawn(of_numbers), 'port "task" wants int, an item of "tasks" is str'),
        (drawn(clash), '"work" writes field "last" once for each item, and it has no reducer'),
    ],
)
def test_an_each_that_cannot_be_run_is_loom208(graph: Graph[Tasks], told: str) -> None:
    found = [problem for problem in errors(graph) if problem.code == "LOOM208"]
    assert len(found) == 1
    assert found[0].where == 'each("START")'
    assert found[0].message.startswith(told)
    assert errors(drawn()) == []


def test_an_each_over_loose_lists_and_bare_tuples() -> None:
    class Loose(State):
        any_list: list[Any] = []
        bare: list = []  # type: ignore[type-arg]  # pyright: ignore[reportMissingTypeArgument, reportUnknownVariableType]
        pair: tuple[int, str] = (1, "a")
        maybe: list[str] | None = None
        out: Annotated[list[str], append] = []

    def over(field: str) -> list[str]:
        graph = Graph("g", Loose)
        graph.node("work", work)
        graph.each(START, "work", over=field, bind="task")
        graph.edge("work", END)
        return [problem.code for problem in errors(graph)]

    assert [over(field) for field in ("any_list", "bare")] == [[], []]
    assert [over(field) for field in ("pair", "maybe")] == [["LOOM208"], ["LOOM208"]]


def test_a_node_of_an_each_is_reached_by_nothing_else() -> None:
    graph = Graph("g", Tasks)
    graph.node("work", work)
    graph.node("count", count)
    graph.each(START, "work", over="tasks", bind="task")
    graph.edge("work", "count")
    graph.switch("count", {"count > 5": "work"}, otherwise=END)
    assert [(problem.code, problem.where) for problem in errors(graph)] == [("LOOM208", 'each("START")')]
    assert 'is also reached by switch("count")' in errors(graph)[0].message


def test_a_node_of_an_each_is_no_join() -> None:
    graph = Graph("g", Tasks)
    graph.node("work", work, join=True)
    graph.each(START, "work", over="tasks", bind="task")
    graph.edge("work", END)
    assert [problem.code for problem in errors(graph)] == ["LOOM208"]


def test_the_source_of_an_each_has_no_other_edge() -> None:
    def edge(graph: Graph[Tasks]) -> None:
        graph.edge(START, "count")

    def switch(graph: Graph[Tasks]) -> None:
        graph.switch(START, {"count > 1": "count"}, otherwise="count")

    def each(graph: Graph[Tasks]) -> None:
        graph.each(START, "other", over="tasks", bind="task")

    for draw in (edge, switch, each):
        graph = drawn()
        graph.node("other", work)
        graph.edge("other", END)
        draw(graph)
        assert "LOOM105" in [problem.code for problem in errors(graph)]


def test_an_unknown_node_or_source_is_loom101() -> None:
    graph = Graph("g", Tasks)
    graph.node("work", work)
    graph.each(START, "wrok", over="tasks", bind="task")
    graph.edge("work", END)
    assert [problem.code for problem in errors(graph) if problem.code == "LOOM101"] == ["LOOM101"]


def test_the_list_must_have_been_written_and_the_item_needs_no_field() -> None:
    class Late(State):
        tasks: list[str]
        out: Annotated[list[str], append] = []

    @node(writes="tasks")
    async def plan() -> list[str]:
        return ["a"]

    graph = Graph("g", Late)
    graph.node("plan", plan)
    graph.node("work", work)
    graph.each(START, "work", over="tasks", bind="task")
    graph.edge("work", "plan", END)
    (problem,) = errors(graph)
    assert (problem.code, problem.where) == ("LOOM203", 'each("START")')
    assert 'over= may read "tasks" before anything writes it' in problem.message
    graph = Graph("g", Late)
    graph.node("plan", plan)
    graph.node("work", work)
    graph.edge(START, "plan")
    graph.each("plan", "work", over="tasks", bind="task")
    graph.edge("work", END)
    assert errors(graph) == []


WRONG: list[dict[str, Any]] = [
    {"max_concurrency": 0},
    {"max_concurrency": -1},
    {"max_concurrency": "3"},
    {"max_concurrency": 1.5},
    {"max_concurrency": None},
]


@pytest.mark.parametrize("settings", WRONG)
def test_a_number_of_items_at_once_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r'graph "g", each\("START"\): max_concurrency'):
        drawn(**settings)


def test_names_that_are_no_names_are_refused() -> None:
    for stops in itertools.permutations((["a"], "work"), 2):
        given: Any = stops
        with pytest.raises(ConfigError, match=r'graph "g"'):
            Graph("g", Tasks).each(*given, over="tasks", bind="task")
