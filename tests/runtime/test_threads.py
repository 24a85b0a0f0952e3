"""Tests of one agent in several threads, each with an event loop of its own."""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from loom import RunError, SessionConfig
from loom.config import MemoryBackend, MemoryConfig
from loom.runtime.records import RunState
from loom.runtime.run import Run
from loom.testing import ScriptedModel
from loom.types.models import ModelRequest
from tests.runtime.agents import made, said
from tests.runtime.threads import in_threads

DEMO = SessionConfig(id="demo")


@pytest.mark.parametrize("backend", ["in_memory", "sqlite"])
def test_runs_of_a_session_take_turns_over_all_threads(backend: str, tmp_path: Path) -> None:
    at_once, most = 0, 0

    async def slow(request: ModelRequest) -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.005)
        at_once -= 1
        return "done"

    model = ScriptedModel([slow] * 12)
    where = MemoryBackend.in_memory() if backend == "in_memory" else MemoryBackend.sqlite(tmp_path / "m.db")
    agent = made(model, memory=MemoryConfig(backend=where))

    async def talk(number: int) -> None:
        for turn in range(4):
            await agent.session(DEMO).run(f"{number}.{turn}")

    in_threads(talk, 3)
    assert most == 1
    prompts = [text for role, text in said(model.requests[-1]) if role == "user"]
    assert sorted(prompts) == [f"{number}.{turn}" for number in range(3) for turn in range(4)]
    asyncio.run(agent.close())


def test_a_run_of_another_thread_is_cancelled_and_awaited_by_closing_and_else_refused_by_name() -> None:
    runs, is_asked, is_over = list[Run](), threading.Event(), threading.Event()

    async def never(request: ModelRequest) -> str:
        is_asked.set()
        while not is_over.is_set():  # noqa: ASYNC110 - set in another thread
            await asyncio.sleep(0.01)
        return ""

    agent = made(ScriptedModel([never]))

    async def work(number: int) -> None:
        if number == 0:
            runs.append(agent.session(DEMO).start("x"))
            await runs[0].settled()
            return
        assert await asyncio.to_thread(is_asked.wait, 10)
        with pytest.raises(RunError, match=f'run "{runs[0].run_id}" is at work in another event loop'):
            await runs[0].wait()
        with pytest.raises(RunError, match="in another event loop"):
            await anext(runs[0].events())
        with pytest.raises(RunError, match="in another event loop"):
            await anext(runs[0].stream())
        await agent.close()
        assert (await runs[0].wait()).state is RunState.CANCELLED

    try:
        in_threads(work, 2)
    finally:
        is_over.set()


def test_what_fails_in_one_thread_is_told_though_another_waits_for_it() -> None:
    is_over = threading.Event()

    async def work(number: int) -> None:
        if number == 1:
            raise ValueError("what went wrong")
        is_over.wait(40)

    began_at = time.monotonic()
    try:
        with pytest.raises(ValueError, match="what went wrong"):
            in_threads(work, 2)
    finally:
        is_over.set()
    assert time.monotonic() - began_at < 10


def test_threads_that_ask_for_one_session_at_once_get_the_same() -> None:
    agent = made([])
    found = list[object]()
    start = threading.Barrier(8)

    async def ask(number: int) -> None:
        start.wait(10)
        found.append(agent.session(DEMO))

    in_threads(ask, 8)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
