"""Tests of forking a run and of walking one again."""

import pytest

from loom import END, START, CheckpointError, ConfigError, Graph, LoomError, State, node
from loom.runs.app import CompiledGraph

pytestmark = pytest.mark.anyio


class Count(State):
    i: int = 0


@node(writes="i")
async def step(i: int) -> int:
    return i + 1


def loop(limit: int) -> CompiledGraph[Count]:
    graph = Graph("loop", Count)
    graph.node("step", step)
    graph.edge(START, "step")
    graph.switch("step", {f"i >= {limit}": END}, otherwise="step")
    return graph.compile()


@pytest.mark.parametrize("at", range(6))
async def test_a_fork_begins_at_any_step_and_ends_as_the_run_did(at: int) -> None:
    app = loop(5)
    await app.run(run_id="r")
    new = await app.fork("r", at=at)
    assert (await app.state(new)).i == at
    result = await app.resume(new)
    assert (result.status, result.state.i, result.steps) == ("completed", 5, 5)
    assert len(await app.history("r")) == 6


async def test_a_fork_may_set_fields() -> None:
    app = loop(5)
    await app.run(run_id="r")
    new = await app.fork("r", at=2, set={"i": -2})
    assert (await app.resume(new)).steps == 9
    with pytest.raises(ConfigError, match='has no field "j"'):
        await app.fork("r", at=2, set={"j": 1})


@pytest.mark.parametrize("at", [-1, 6])
async def test_a_step_that_is_not_there_is_told(at: int) -> None:
    app = loop(5)
    await app.run(run_id="r")
    with pytest.raises(CheckpointError, match=f'run "r" has no step {at}'):
        await app.fork("r", at=at)


async def test_nothing_can_be_set_between_branches() -> None:
    class Two(State):
        a: int = 0
        b: int = 0

    @node(writes="a")
    async def left() -> int:
        return 1

    @node(writes="b")
    async def right() -> int:
        return 2

    @node
    async def meet() -> None: ...

    graph = Graph("two", Two)
    for name, one in (("left", left), ("right", right), ("meet", meet)):
        graph.node(name, one)
    graph.edge(START, ["left", "right"], "meet", END)
    app = graph.compile()
    await app.run(run_id="r")
    with pytest.raises(LoomError, match="nearest"):
        await app.fork("r", at=1, set={"a": 5})


async def test_a_replay_is_the_same_or_says_where_it_is_not() -> None:
    app = loop(5)
    await app.run(run_id="r")
    assert (await app.replay("r")).same
    other = loop(3)
    await other.run(run_id="x")
    fork = await app.fork("r")
    report = await app.replay(fork)
    assert report.same
    assert report.differences == ()
