"""Tests of states of other versions."""

from typing import Any

import pytest

from loom import END, START, Graph, Limits, MemoryCheckpointer, Runtime, State, node

pytestmark = pytest.mark.anyio


class Old(State):
    i: int = 0


class New(State, version=2):
    n: int = 0

    @staticmethod
    def migrate(data: dict[str, Any], from_version: int) -> dict[str, Any]:
        return {"n": data["i"] * 10 * from_version}


@node(writes="i")
async def old_step(i: int) -> int:
    return i + 1


@node(writes="n")
async def new_step(n: int) -> int:
    return n + 1


async def test_a_run_of_an_older_state_is_migrated_and_goes_on() -> None:
    store = MemoryCheckpointer()
    old = Graph("g", Old)
    old.node("x", old_step)
    old.node("y", old_step)
    old.edge(START, "x", "y", END)
    await old.compile().run(run_id="r", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=1)))
    new = Graph("g", New)
    new.node("x", new_step)
    new.node("y", new_step)
    new.edge(START, "x", "y", END)
    result = await new.compile().resume("r", on_change="continue", runtime=Runtime(checkpointer=store))
    assert (result.status, result.state) == ("completed", New(n=11))
