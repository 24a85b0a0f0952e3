from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from loom import END, START, Cache, Context, Graph, Node, Retry, State, append, node
from loom.core.branches import ENDED, OPENED_BY_START
from loom.core.node import AnyNode, GraphNode
from loom.core.plan import ConditionError, Plan, make_plan


class Board(State):
    text: str = ""
    items: Annotated[list[str], append] = []


@node
async def idle(text: str) -> None: ...


@node
def threaded() -> None: ...


@node(thread=False)
def inline() -> None: ...


@node
async def curious(ctx: Context) -> None: ...


@node(writes="items")
async def work(item: str) -> list[str]:
    return [item]


class Text(BaseModel):
    text: str


class Kind(Node[Text, Text]):
    async def run(self, inputs: Text, ctx: Context) -> Text:
        return inputs


def planned(graph: Graph[Any], before: str = "", after: str = "") -> Plan:
    assert [problem for problem in graph.check() if problem.severity == "error"] == []
    return make_plan(graph._declared, frozenset(before), frozenset(after))  # pyright: ignore[reportPrivateUsage]


def board(*names: str) -> Graph[Board]:
    graph = Graph("board", Board)
    for name in names:
        graph.node(name, idle)
    return graph


def test_nodes_are_numbers_in_the_order_they_were_declared() -> None:
    graph = board("b", "a")
    graph.edge(START, "a", "b", END)
    plan = planned(graph, before="a", after="b")
    assert (plan.name, plan.state) == ("board", Board)
    assert plan.index == {"b": 0, "a": 1, END: ENDED}
    assert [task.name for task in plan.tasks] == ["b", "a"]
    assert [way.targets for way in plan.start] == [(1,)]
    assert [way.targets for task in plan.tasks for way in task.ways] == [(ENDED,), (0,)]
    assert plan.names((1, ENDED)) == ("a", END)
    assert (set(plan.pause_before), set(plan.pause_after)) == ({1}, {0})


def test_a_way_carries_the_json_of_its_targets() -> None:
    graph = board("a", 'b"')
    graph.edge(START, ["a", 'b"'], END)
    assert planned(graph).start[0].taken == b'["a","b\\""]'


def test_a_task_knows_how_it_is_run() -> None:
    graph = Graph("board", Board)
    nodes: dict[str, AnyNode] = {
        "idle": idle,
        "threaded": threaded,
        "inline": inline,
        "curious": curious,
        "kind": Kind(),
    }
    for name, made in nodes.items():
        graph.node(name, made)
    graph.node("retried", idle, retry=Retry())
    graph.node("timed", idle, timeout_s=3)
    graph.node("cached", idle, cache=Cache(ttl_s=3))
    graph.edge(START, *nodes, "retried", "timed", "cached", END)
    tasks = {task.name: task for task in planned(graph).tasks}
    assert {name for name, task in tasks.items() if task.is_thread} == {"threaded"}
    assert {name for name, task in tasks.items() if task.wants_context} == {"curious", "kind"}
    assert {name for name, task in tasks.items() if task.is_plain} == {"idle", "threaded", "inline"}
    assert {name for name, task in tasks.items() if task.cache} == {"cached"}
    assert tasks["timed"].timeout_s == 3
    assert tasks["idle"].opening == b'{"kind":"step","node":"idle","branch":'


def test_the_first_open_way_is_taken() -> None:
    graph = board("a", "b", "c")
    graph.switch(START, {"text == 'b'": "b", "text != ''": ["b", "c"]}, otherwise="a")
    for name in "abc":
        graph.edge(name, END)
    plan = planned(graph)

    def led(text: str) -> tuple[int, ...]:
        way = plan.way_on(OPENED_BY_START, {"text": text})
        assert way is not None
        return way.targets

    assert [led(text) for text in ("b", "x", "")] == [(1,), (1, 2), (0,)]


def test_no_way_is_open_where_nothing_holds() -> None:
    graph = board("a")
    graph.edge(START, "a")
    graph.switch("a", {"text == 'x'": END})
    assert planned(graph).way_on(0, {"text": ""}) is None


def test_a_condition_that_raises_says_which_it_was() -> None:
    graph = board("a")
    graph.edge(START, "a")
    graph.switch("a", {"1 / len(text) > 2": END})
    with pytest.raises(
        ConditionError, match=r'the condition "1 / len\(text\) > 2" of its switch raised Zero'
    ) as caught:
        planned(graph).way_on(0, {"text": ""})
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_each_over_nothing_is_passed() -> None:
    graph = board("a", "b")
    graph.node("work", work)
    graph.edge(START, "a")
    graph.each("a", "work", over="items", bind="item")
    graph.edge("work", "b", END)
    plan = planned(graph)
    over_nothing, over_one = plan.way_on(0, {"items": []}), plan.way_on(0, {"items": ["x"]})
    assert over_nothing is not None
    assert over_one is not None
    assert (plan.names(over_nothing.targets), plan.names(over_one.targets)) == (("b",), ("work",))
    assert plan.eaches[0].max_concurrency == 16


def test_a_plan_knows_where_its_fan_outs_are_over() -> None:
    graph = board("a", "b", "c", "j", "k")
    graph.edge(START, ["a", "b", "c"])
    graph.edge(["a", "b"], "j")
    graph.edge(["j", "c"], "k", END)
    plan = planned(graph)
    a, b, c, j, k = range(5)
    assert plan.joins == {j, k}
    assert [plan.is_over_at(OPENED_BY_START, (a, b, c), join) for join in (j, k)] == [False, True]
    assert plan.can_reach(a, k, OPENED_BY_START)
    assert not plan.can_reach(c, j, OPENED_BY_START)


def test_a_plan_tells_whether_a_fan_out_that_is_not_drawn_could_be_walked() -> None:
    graph = board("a", "b", "c", "d")
    graph.switch(START, {"text": "a"}, otherwise="d")
    graph.edge("a", "b", "c", END)
    graph.edge("d", END)
    plan = planned(graph)
    a, b, c, d = range(4)
    assert plan.allows(OPENED_BY_START, (a, d))
    assert not plan.allows(OPENED_BY_START, (a, b))  # a leads to b
    assert plan.allows(OPENED_BY_START, (c, 99))  # a node that is gone


def test_a_function_that_decides_gets_copies_of_what_it_could_change() -> None:
    seen: list[list[str]] = []

    def spoil(items: list[str], text: str) -> bool:
        seen.append(items)
        items.append(text)
        return True

    graph = board("a")
    graph.edge(START, "a")
    graph.switch("a", {spoil: END})
    items = ["x"]
    way = planned(graph).way_on(0, {"text": "t", "items": items})
    assert way is not None
    assert (items, seen) == (["x"], [["x", "t"]])


class Inner(State):
    text: str
    found: str


@pytest.mark.parametrize("finds", [True, False])
def test_what_an_inner_graph_never_wrote_is_not_written_outside(finds: bool) -> None:
    @node(writes="found")
    def find(text: str) -> str:
        return text.upper()

    inner = Graph("inner", Inner)
    inner.node("find", find)
    inner.node("look", idle)
    inner.switch(START, {"text == 'x'": "find"}, otherwise="look")
    inner.edge("find", END)
    inner.edge("look", END)
    outer = Graph("outer", Board)
    outer.node("in", inner.compile().as_node(reads={"text": "text"}, writes={"found": "text"}))
    outer.edge(START, "in", END)
    (task,) = planned(outer).tasks
    view = {"text": "x", "found": "X"} if finds else {"text": "y"}
    assert task.settle(view) == (({"text": "X"}, b'{"text":"X"}') if finds else ({}, b"{}"))
    assert task.inner is not None
    assert task.inner.reads == {"text": "text"}


def test_a_graph_node_made_by_hand_is_refused() -> None:
    made = GraphNode(plan=None, fingerprint="", reads={}, writes={}, inputs=(), outputs=(), effect="pure")
    graph = Graph("board", Board)
    graph.node("a", made)
    graph.edge(START, "a", END)
    with pytest.raises(TypeError, match=r"a GraphNode is made by CompiledGraph.as_node, with a Plan; got None"):
        planned(graph)
