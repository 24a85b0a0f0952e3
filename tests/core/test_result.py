"""Tests of what a run gives back."""

from dataclasses import FrozenInstanceError

import pytest

from loom import END, START, Graph, GraphResult, State, node


class Count(State):
    i: int = 0


@node(writes="i")
async def step(i: int) -> int:
    return i + 1


def test_a_result_tells_the_run_its_end_and_its_state() -> None:
    graph = Graph("g", Count)
    graph.node("step", step)
    graph.edge(START, "step", END)
    result: GraphResult[Count] = graph.compile().run_sync({"i": 1}, run_id="r")
    assert (result.run_id, result.status, result.state, result.steps) == ("r", "completed", Count(i=2), 1)
    assert (result.asks, result.stop_reason) == ((), None)
    assert result.duration_s > 0
    assert result.usage.total_tokens == 0
    with pytest.raises(FrozenInstanceError):
        result.steps = 5  # type: ignore[misc]  # what the test is about
