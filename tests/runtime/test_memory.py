"""Tests of what a session remembers: which runs, in which order, since when."""

from pathlib import Path

import pytest

from loom import Runtime, SessionConfig
from loom.config import (
    MemoryBackend,
    MemoryConfig,
    RuntimeFallback,
    RuntimeFallbackMode,
    RuntimeFeatures,
    RuntimeLimits,
)
from loom.errors import ProviderUnavailableError
from loom.testing import ScriptedModel
from tests.clock import Clock
from tests.runtime.agents import made, said, stored

pytestmark = pytest.mark.anyio
DEMO = SessionConfig(id="demo")


async def test_what_was_said_in_many_runs_is_read_from_the_store_again(tmp_path: Path) -> None:
    from loom.runtime import memory

    model = ScriptedModel([str(number) for number in range(6)])
    agent = made(model, stored(tmp_path / "loom.db"))
    remembered, memory.REMEMBERED_RUNS = memory.REMEMBERED_RUNS, 2
    try:
        for number in range(6):
            await agent.session(SessionConfig(id="s")).run(f"p{number}")
    finally:
        memory.REMEMBERED_RUNS = remembered
    assert len(said(model.requests[5])) == 11


async def test_runs_of_other_graphs_in_the_same_store_are_left_alone(tmp_path: Path) -> None:
    from loom import END, START, Graph, State, node

    class Count(State):
        n: int = 0

    @node(writes="n")
    async def one(n: int) -> int:
        return n + 1

    graph = Graph("count", Count)
    graph.node("one", one)
    graph.edge(START, "one", END)
    runtime = stored(tmp_path / "loom.db")
    await graph.compile().run({}, run_id="s:1", runtime=runtime)
    model = ScriptedModel(["a"])
    await made(model, runtime).session(SessionConfig(id="s")).run("x")
    assert said(model.requests[0]) == [("user", "x")]


@pytest.mark.parametrize("begins_at", [0.0, 5.0, 1_000_000.0])
async def test_a_session_lives_as_long_whatever_the_clock_shows_when_it_begins(begins_at: float) -> None:
    clock, model = Clock(), ScriptedModel(["one", "two", "three"])
    clock.now = begins_at
    agent = made(model, Runtime(clock=clock), session_ttl_hours=1)
    await agent.session(DEMO).run("first")
    clock.now += 3600
    await agent.session(DEMO).run("second")
    assert [text for _, text in said(model.requests[1])] == ["first", "one", "second"]
    clock.now += 1
    await agent.session(DEMO).run("third")
    assert said(model.requests[2]) == [("user", "third")]


async def test_a_session_is_as_old_as_its_first_run_and_not_as_the_object_or_the_process(tmp_path: Path) -> None:
    clock, model = Clock(), ScriptedModel(["one", "two", "three"])
    memory = MemoryConfig(backend=MemoryBackend.sqlite(tmp_path / "m.db"))
    first = made(model, Runtime(clock=clock), session_ttl_hours=1, memory=memory)
    early = first.session(DEMO)
    clock.now += 3000
    await early.run("first")
    clock.now += 1200
    assert first.session(DEMO) is early  # which is older than an hour, but its run is not
    second = made(model, Runtime(clock=clock), session_ttl_hours=1, memory=memory)
    late = second.session(DEMO)
    await late.run("second")
    assert [text for _, text in said(model.requests[1])] == ["first", "one", "second"]
    clock.now += 2401  # an hour after the first run, though not after the second's
    assert first.session(DEMO) is not early
    assert second.session(DEMO) is not late
    await late.run("third")
    assert said(model.requests[2]) == [("user", "third")]
    await first.close()
    await second.close()


async def test_a_session_that_outgrows_the_window_goes_on_from_a_handoff(tmp_path: Path) -> None:
    replies = [f"answer {number} " + "word " * 1500 for number in range(14)]
    model, runtime = ScriptedModel(replies), stored(tmp_path / "loom.db")
    renewals: list[int] = []
    for number in range(14):
        agent = made(model, runtime, limits=RuntimeLimits(max_context_tokens=9000))  # one that reads all from the store
        result = await agent.session(DEMO).run(f"my number is {number}; what was my last?")
        renewals += [number for event in result.events if event.type == "context.renewed"]
        told = "".join(text for _, text in said(model.requests[number]))
        assert number == 0 or f"my number is {number - 1};" in told
        assert number == 0 or f"answer {number - 1} " in told
    assert [len(request.messages) for request in model.requests] == [1, 3, 5, 7, 9, 1, 3, 5, 7, 1, 3, 5, 7, 1]
    assert renewals == [5, 9, 13]


async def test_what_stood_in_for_a_model_was_not_said() -> None:
    wanted = RuntimeFeatures(fallback=RuntimeFallback(mode=RuntimeFallbackMode.LOCAL_SUMMARY))
    model = ScriptedModel(["one", ProviderUnavailableError("no network"), "three", "four"])
    session = made(model, features=wanted).session(DEMO)
    assert [(await session.run(prompt)).is_fallback for prompt in ("first", "second", "third")] == [False, True, False]
    assert [text for _, text in said(model.requests[2])] == ["first", "one", "third"]
    await session.run("fourth")
    assert [text for _, text in said(model.requests[3])] == ["first", "one", "third", "three", "fourth"]


async def test_without_a_memory_a_session_is_as_old_as_its_first_run_too() -> None:
    clock = Clock()
    agent = made(ScriptedModel(["ok"] * 3), Runtime(clock=clock), session_ttl_hours=1, memory=None)
    session = agent.session(DEMO)
    clock.now += 3000
    await session.run("first")
    clock.now += 3000
    await session.run("second")
    assert agent.session(DEMO) is session
    clock.now += 601
    assert agent.session(DEMO) is not session
