"""Tests of drawing a graph and compiling it."""

from collections.abc import Callable

import pytest

from loom import END, START, ConfigError, Graph, GraphError, Retry, State, node


class Count(State):
    i: int = 0


@node(writes="i")
async def step(i: int) -> int:
    return i + 1


def drawn() -> Graph[Count]:
    graph = Graph("g", Count)
    graph.node("step", step)
    graph.edge(START, "step", END)
    return graph


def test_what_is_drawn_after_compiling_does_not_change_the_app() -> None:
    graph = drawn()
    app = graph.compile()
    graph.node("late", step)
    assert app.run_sync().state.i == 1
    with pytest.raises(GraphError) as caught:
        graph.compile()
    assert {problem.code for problem in caught.value.problems} >= {"LOOM102", "LOOM105"}


def test_compile_tells_every_problem_at_once() -> None:
    graph = Graph("g", Count)
    graph.node("a", step)
    graph.edge(START, "b")
    graph.switch("a", {"j > 1": END})
    with pytest.raises(GraphError) as caught:
        graph.compile()
    assert {problem.code for problem in caught.value.problems} >= {"LOOM101", "LOOM102", "LOOM107", "LOOM206"}
    assert 'did you mean "a"' not in str(caught.value).lower()


MISTAKES: list[tuple[Callable[[Graph[Count]], object], str]] = [
    (lambda graph: graph.edge("step"), "edge() needs two stops or more; got 1"),
    (lambda graph: graph.node("n", step, timeout_s=0), "timeout_s must be a number above 0"),
    (lambda graph: graph.each("step", "n", over="x", bind="y", max_concurrency=0), "max_concurrency must be 1"),
    (lambda graph: graph.compile(pause_before=["stop"]), 'cannot pause at "stop", which is no node. Did you mean'),
]


@pytest.mark.parametrize(("draw", "told"), MISTAKES)
def test_what_cannot_be_meant_is_told_at_once(draw: Callable[[Graph[Count]], object], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        draw(drawn())
    assert told in str(caught.value)


def test_graph_wide_policies_are_defaults_of_the_nodes() -> None:
    tries: list[int] = []

    @node(writes="i")
    async def flaky(i: int) -> int:
        tries.append(i)
        if len(tries) < 3:
            raise ValueError("not yet")
        return 7

    graph = Graph("g", Count, retry=Retry(max_attempts=3, backoff_s=0))
    graph.node("flaky", flaky)
    graph.edge(START, "flaky", END)
    assert graph.compile().run_sync().state.i == 7
    assert len(tries) == 3
