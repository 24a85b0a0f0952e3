"""Tests of taking turns at saving."""

import asyncio

import anyio
import anyio.lowlevel
import pytest

from loom.runs.turns import Turns

pytestmark = pytest.mark.anyio


async def test_turns_are_given_in_the_order_in_which_they_were_wanted() -> None:
    turns, saved = Turns(), list[str]()

    async def save(name: str) -> None:
        async with turns:
            await anyio.lowlevel.checkpoint()
            saved.append(name)

    async with anyio.create_task_group() as group:
        for name in "abcd":
            group.start_soon(save, name)
    assert saved == ["a", "b", "c", "d"]


async def test_who_waits_for_a_turn_gets_it_though_its_branch_is_being_cancelled() -> None:
    turns, saved = Turns(), list[str]()

    async def save(name: str) -> None:
        async with turns:
            saved.append(name)

    async with anyio.create_task_group() as group, turns:
        group.start_soon(save, "waiting")
        await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert saved == ["waiting"]


async def test_a_task_that_is_ended_while_it_waits_leaves_the_turns_to_the_others() -> None:
    turns, saved = Turns(), list[str]()

    async def save(name: str) -> None:
        async with turns:
            saved.append(name)

    async with turns:
        ended, other = asyncio.create_task(save("ended")), asyncio.create_task(save("other"))
        await anyio.sleep(0.01)
        ended.cancel()
        await anyio.sleep(0.01)
    await other
    assert saved == ["other"]
    await save("later")
    assert (saved[-1], ended.cancelled()) == ("later", True)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await save("free")  # a turn that is free is no place to be cancelled at
    assert saved[-1] == "free"
