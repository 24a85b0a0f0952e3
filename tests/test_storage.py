"""What a run costs on disk: a small multiple of what its nodes write, however many steps there are."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import pytest

from loom import END, START, Graph, Runtime, SqliteCheckpointer, State, append, node
from loom.runs.app import CompiledGraph

pytestmark = pytest.mark.anyio

KIB = 1024


class Log(State):
    log: Annotated[list[str], append] = []
    wanted: int


def growing(text: Callable[[], str], then: Callable[[], None] = lambda: None) -> CompiledGraph[Log]:
    """Return a graph whose steps append 1 KiB of text each, until there are as many as wanted."""

    @node(writes="log")
    async def grow() -> list[str]:
        then()
        return [text()]

    graph = Graph("growing", Log)
    graph.node("grow", grow)
    graph.edge(START, "grow")
    graph.switch("grow", {"len(log) >= wanted": END}, otherwise="grow")
    return graph.compile()


def plain() -> str:
    return "x" * KIB


def noise() -> str:
    """Return what hardly compresses."""
    return os.urandom(KIB // 2).hex()


def size(path: Path) -> int:
    """Return the bytes of a store: of its file, its log and its index."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


async def stored(folder: Path, steps: int, text: Callable[[], str] = plain) -> int:
    """Run so many steps; return the bytes that are on disk once the store is closed."""
    path = folder / f"{steps}.db"
    store = SqliteCheckpointer(path)
    result = await growing(text).run({"wanted": steps}, runtime=Runtime(checkpointer=store))
    assert (result.status, result.steps) == ("completed", steps)
    await store.close()
    return size(path)


@pytest.mark.parametrize("text", [plain, noise])
@pytest.mark.parametrize("steps", [400, 800, 1500])
async def test_storage_is_a_small_multiple_of_what_was_written(
    tmp_path: Path, steps: int, text: Callable[[], str]
) -> None:
    assert steps * KIB < await stored(tmp_path, steps, text) < 3 * steps * KIB


async def test_twice_the_steps_take_twice_the_bytes(tmp_path: Path) -> None:
    once, twice, four_times = [await stored(tmp_path, steps) for steps in (400, 800, 1600)]
    assert twice == pytest.approx(2 * once, rel=0.1)
    assert four_times == pytest.approx(2 * twice, rel=0.1)


@pytest.mark.parametrize("text", [plain, noise])
@pytest.mark.parametrize("durability", ["process", "power"])
async def test_the_log_stays_under_a_mebibyte_while_the_store_is_open_and_is_empty_after(
    tmp_path: Path, text: Callable[[], str], durability: Literal["process", "power"]
) -> None:
    path, sizes = tmp_path / "loom.db", list[int]()
    log = path.with_name("loom.db-wal")
    store = SqliteCheckpointer(path, durability=durability)
    app = growing(text, lambda: sizes.append(log.stat().st_size))
    await app.run({"wanted": 1000}, runtime=Runtime(checkpointer=store))
    assert 0 < max(sizes) < KIB * KIB
    await store.close()
    assert not log.exists() or log.stat().st_size == 0


async def test_the_log_shrinks_after_a_step_that_wrote_more_than_a_mebibyte(tmp_path: Path) -> None:
    log, sizes = tmp_path / "loom.db-wal", list[int]()
    store = SqliteCheckpointer(tmp_path / "loom.db")
    app = growing(lambda: noise() * 3 * KIB if len(sizes) == 1 else "x", lambda: sizes.append(log.stat().st_size))
    await app.run({"wanted": 10}, runtime=Runtime(checkpointer=store))
    assert max(sizes) > KIB * KIB
    assert sizes[-1] < KIB * KIB
    await store.close()
