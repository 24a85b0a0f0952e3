from typing import Annotated

import pytest

from loom import END, START, Graph, NodeError, NoEdgeError, RunError, State, append, node
from loom.runs.app import CompiledGraph


class Brief(State):
    topic: str
    limit: int = 3
    words: Annotated[list[str], append] = []


@node
async def look(topic: str) -> None:
    pass


def switched(*conditions: str) -> CompiledGraph[Brief]:
    graph = Graph("switched", Brief)
    graph.node("look", look)
    graph.switch(START, dict.fromkeys(conditions, "look"))
    graph.edge("look", END)
    return graph.compile()


def test_a_switch_at_start_is_decided_by_the_inputs() -> None:
    assert switched("limit > 3", "topic == 'a'").run_sync({"topic": "a"}).steps == 1


def test_a_switch_at_start_with_no_open_way_is_an_error_and_no_run_is_begun() -> None:
    made = switched("limit > 3", "limit < 2")
    with pytest.raises(NoEdgeError) as caught:
        made.run_sync({"topic": "a"}, run_id="r")
    assert str(caught.value) == (
        'graph "switched", node "START": no condition of its switch holds ("limit > 3", "limit < 2") '
        "and it has no otherwise"
    )
    assert caught.value.node == START
    assert made.run_sync({"topic": "a", "limit": 9}, run_id="r").status == "completed"


def test_a_condition_at_start_that_raises_is_an_error_of_start() -> None:
    with pytest.raises(NodeError, match=r'"1 / \(limit - 3\) > 2".*ZeroDivisionError') as caught:
        switched("1 / (limit - 3) > 2").run_sync({"topic": "a"})
    assert (caught.value.node, caught.value.step) == (START, 0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("limit > 3", 'no condition of its switch holds ("limit > 3") and it has no otherwise'),
        (
            "1 / (limit - limit) > 2",
            'the condition "1 / (limit - limit) > 2" of its switch raised ZeroDivisionError: division by zero',
        ),
    ],
)
def test_a_switch_at_the_start_of_an_inner_graph_tells_run_and_place(condition: str, told: str) -> None:
    outer = Graph("outer", Brief)
    outer.node("look", look)
    outer.node("inner", switched(condition).as_node(reads={"topic": "topic"}, writes={}))
    outer.edge(START, "look", "inner", END)
    with pytest.raises(RunError) as caught:
        outer.compile().run_sync({"topic": "a"}, run_id="r")
    assert str(caught.value) == f'run "r", node "inner/START": {told}'
    failed = caught.value
    assert isinstance(failed, (NoEdgeError, NodeError))
    assert isinstance(failed, NoEdgeError) or (failed.run_id, failed.step) == ("r", 1)
    assert failed.node == "inner/START"


@node(writes="words")
async def shorten(topic: str) -> list[str]:
    return [topic[:1]]


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("limit > 3", 'no condition of its switch holds ("limit > 3") and it has no otherwise'),
        ("topic > 3", "the condition \"topic > 3\" of its switch raised TypeError: '>' not supported"),
    ],
)
def test_after_an_each_over_nothing_the_switch_of_its_node_is_told(condition: str, told: str) -> None:
    class Topics(Brief):
        topics: list[str] = []

    graph = Graph("topics", Topics)
    graph.node("shorten", shorten)
    graph.each(START, "shorten", over="topics", bind="topic")
    graph.switch("shorten", {condition: END})
    with pytest.raises(RunError) as caught:
        graph.compile().run_sync({"topic": "a"})
    assert str(caught.value).startswith(f'graph "topics", node "shorten": {told}')
