"""Tests of each, as it is declared, checked and run."""

from typing import Annotated

import pytest

from loom import END, START, Graph, State, append, node


class Tasks(State):
    tasks: list[str] = []
    out: Annotated[list[str], append] = []
    last: str = ""
    count: int = 0


@node(writes="out")
async def work(task: str) -> list[str]:
    return [task.upper()]


@node(writes="last")
async def clash(task: str) -> str:
    return task


@node(writes="count")
async def count(out: list[str]) -> int:
    return len(out)


def drawn(worker: object = work, over: str = "tasks", bind: str = "task") -> Graph[Tasks]:
    graph = Graph("g", Tasks)
    graph.node("work", worker)  # type: ignore[arg-type]  # a node
    graph.node("count", count)
    graph.each(START, "work", over=over, bind=bind)
    graph.edge("work", "count", END)
    return graph


def test_results_stand_in_the_order_of_the_items() -> None:
    result = drawn().compile().run_sync({"tasks": ["b", "a", "b"]})
    assert (result.state.out, result.state.count, result.steps) == (["B", "A", "B"], 3, 4)


def test_an_empty_list_goes_on_once() -> None:
    result = drawn().compile().run_sync({"tasks": []})
    assert (result.state.out, result.state.count, result.steps) == ([], 0, 1)


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        (drawn(over="task"), 'over="task" is no field'),
        (drawn(over="count"), "expected a list or a tuple"),
        (drawn(bind="job"), 'bind="job" is no port of "work"; ports are "task"'),
        (drawn(clash), 'writes field "last" once for each item, and it has no reducer'),
    ],
)
def test_an_each_that_cannot_be_run_is_loom208(graph: Graph[Tasks], told: str) -> None:
    found = [problem.message for problem in graph.check() if problem.code == "LOOM208"]
    assert any(told in message for message in found), graph.check()
    assert not [problem for problem in drawn().check() if problem.severity == "error"]
