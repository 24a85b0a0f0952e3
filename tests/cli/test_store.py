from pathlib import Path

import pytest

from loom.checkpoint.sqlite import SqliteCheckpointer
from loom.cli.settings import Settings
from loom.cli.store import CommandStore, existing, settings_of
from loom.core.journal import FORMAT, encode
from loom.errors import CheckpointError, ConfigError, RunNotFoundError

pytestmark = pytest.mark.anyio

HEADER = encode({"format": FORMAT, "graph": "g", "nodes": []})
SETTINGS = Settings(graph="g.py", checks={"tests pass": ("pytest", "-q")}, max_steps=3)


async def test_a_run_keeps_how_it_was_started(tmp_path: Path) -> None:
    store = CommandStore(tmp_path / "loom.db", SETTINGS)
    await store.create("r1", "g", HEADER, (b"{}",))
    await store.close()
    again = existing(tmp_path / "loom.db")
    assert await settings_of(again, "r1", Settings(graph="")) == SETTINGS
    assert (await settings_of(again, "r1", Settings(graph="h.py"))).graph == "h.py"
    await again.close()


async def test_a_run_that_was_begun_elsewhere_needs_a_graph(tmp_path: Path) -> None:
    store = SqliteCheckpointer(tmp_path / "loom.db")
    await store.create("r1", "g", HEADER, (b"{}",))
    await store.close()
    again = existing(tmp_path / "loom.db")
    with pytest.raises(ConfigError, match='run "r1" was not started by "loom run"; name its graph with --graph'):
        await settings_of(again, "r1", Settings(graph=""))
    assert await settings_of(again, "r1", SETTINGS) == SETTINGS
    await again.close()


async def test_settings_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    store = CommandStore(tmp_path / "loom.db")
    await store.create("r1", "g", encode({"command": {"graph": 1}}), (b"{}",))
    with pytest.raises(CheckpointError, match='run "r1" was started by another version of "loom run"'):
        await settings_of(store, "r1", Settings(graph=""))
    await store.close()


def test_looking_for_a_run_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match='no run "r1": there is no store'):
        existing(tmp_path / "loom.db", "r1")
    assert list(tmp_path.iterdir()) == []
