import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

from loom import END, START, CheckpointError, ConfigError, Limits, MemoryCheckpointer, NodeError, Runtime
from loom.core.context import Context
from loom.runs.given import (
    check_branch,
    check_filter,
    check_offset,
    check_step,
    given_runtime,
    known_run_id,
    seconds_of,
)
from tests.core.letters import chain, graph_of

pytestmark = pytest.mark.anyio

# Any, in this module: what no type checker would let pass.


@pytest.mark.parametrize("run_id", [None, 5, ["r"], b"r", "\ud800"])
def test_an_id_that_no_run_can_have_is_refused(run_id: Any) -> None:
    with pytest.raises(ConfigError, match=r"run_id must be a text, the id of a run that is saved; got "):
        known_run_id(run_id)


def test_an_id_may_be_any_other_text() -> None:
    for run_id in ("r", "", "a\nb", "ä/漢"):
        assert known_run_id(run_id) == run_id


@pytest.mark.parametrize(
    ("check", "given", "said"),
    [
        (check_step, "1", "at must be the number of a step; got '1'"),
        (check_step, True, "at must be the number of a step; got True"),
        (check_step, 1.0, "at must be the number of a step; got 1.0"),
        (check_branch, ["0"], "branch must be the id of one, a text as \"0.1\"; got ['0']"),
        (check_branch, 0, 'branch must be the id of one, a text as "0.1"; got 0'),
        (check_offset, "1", "events(after=…) must be an offset, a whole number; got '1'"),
        (check_offset, None, "events(after=…) must be an offset, a whole number; got None"),
    ],
)
def test_what_a_run_cannot_be_asked_for_is_refused(check: Callable[[object], None], given: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(given)
    assert str(caught.value) == said


async def test_what_is_too_long_to_be_shown_is_refused_all_the_same() -> None:
    app, long = chain("ab"), 10**5000
    await app.run(run_id="r")
    for asked in (app.state("r", at=long), app.fork("r", at=long)):
        with pytest.raises(CheckpointError, match="has no step a value of type int that cannot be shown; expected 0"):
            await asked
    with pytest.raises(ConfigError, match="it gave a value of type int that cannot be shown"):
        seconds_of("Runtime", lambda: long)


def test_what_it_can_be_asked_for_passes() -> None:
    for step in (None, 0, 3, -1):
        check_step(step)
    for branch in (None, "", "0.1"):
        check_branch(branch)
    for offset in (0, 7, -1):
        check_offset(offset)


@pytest.mark.parametrize("status", ["done", "", 5, ["completed"], ("completed", "paused")])
def test_runs_cannot_be_listed_by_a_status_that_is_none(status: object) -> None:
    with pytest.raises(ConfigError, match=r'runs\(status=…\) must be one of "cancelled", "completed", .*; got '):
        check_filter(status, None)


def test_runs_cannot_be_listed_by_a_graph_that_is_no_name() -> None:
    check_filter("completed", "g")
    check_filter(None, None)
    with pytest.raises(ConfigError, match=r"runs\(graph=…\) must be the name of a graph; got 5"):
        check_filter(None, 5)


def test_without_a_runtime_there_is_one_and_any_other_must_be_one() -> None:
    assert given_runtime(None) == Runtime()
    mine = Runtime(limits=Limits(max_steps=3))
    assert given_runtime(mine) is mine
    wrong: list[Any] = [5, False, {}, Runtime]
    for one in wrong:
        with pytest.raises(ConfigError, match="runtime must be a Runtime; got "):
            given_runtime(one)


WRONG_TIMES = ["noon", None, float("nan"), float("inf"), 10**400]


@pytest.mark.parametrize("now", WRONG_TIMES)
async def test_a_clock_that_gives_no_time_is_refused_before_the_run_begins(now: Any) -> None:
    store = MemoryCheckpointer()
    for limits in (Limits(), Limits(deadline_s=5)):
        with pytest.raises(ConfigError, match=r"Runtime\(clock=…\) must give Unix seconds, a finite number; it gave "):
            await chain("ab").run(run_id="r", runtime=Runtime(checkpointer=store, clock=lambda: now, limits=limits))
    assert await store.runs() == []


@pytest.mark.parametrize("now", WRONG_TIMES)
async def test_such_a_clock_can_take_up_and_fork_no_run(now: Any) -> None:
    store, app = MemoryCheckpointer(), chain("ab")
    await app.run(run_id="r", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=1)))
    runtime = Runtime(checkpointer=store, clock=lambda: now)
    for asked in (app.resume("r", runtime=runtime), app.fork("r", runtime=runtime)):
        with pytest.raises(ConfigError, match="must give Unix seconds"):
            await asked
    assert [run.status for run in await store.runs()] == ["stopped"]


async def test_a_clock_that_breaks_later_fails_the_node_that_asks_it_and_the_run_can_be_resumed() -> None:
    times: list[Any] = [1.0, "noon"]

    async def ask(ctx: Context) -> None:
        ctx.now()

    store, app = MemoryCheckpointer(), graph_of((START, "a", END), bodies={"a": ask}).compile()
    with pytest.raises(NodeError, match=r"Runtime\(clock=…\) must give Unix seconds, a finite number; it gave 'noon'"):
        await app.run(run_id="r", runtime=Runtime(checkpointer=store, clock=lambda: times.pop(0) if times else 2.0))
    assert (await app.resume("r", runtime=Runtime(checkpointer=store))).status == "completed"


async def test_a_clock_of_ones_own_is_asked_no_more_often_than_it_is_needed() -> None:
    ticks = itertools.count(100.0)
    store, app = MemoryCheckpointer(), chain("ab")
    runtime = Runtime(checkpointer=store, clock=lambda: next(ticks))
    await app.run(run_id="r", runtime=runtime)
    assert [point.at for point in await app.history("r", runtime=runtime)] == [100.0, 101.0, 102.0]
    assert dataclasses.replace(runtime).clock is runtime.clock


def test_the_seconds_of_a_clock_are_as_it_gives_them() -> None:
    assert seconds_of("Runtime", lambda: 3) == 3
    assert abs(seconds_of("Runtime", time.time) - time.time()) < 60
    with pytest.raises(ConfigError, match=r"prune\(clock=…\) must give Unix seconds, a finite number; it gave 'x'"):
        seconds_of("prune", lambda: "x")  # type: ignore[arg-type, return-value]  # which is the point
