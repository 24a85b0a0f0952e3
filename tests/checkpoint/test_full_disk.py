"""Tests of a store that has no room: nothing that was committed is lost, and it goes on when there is some."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loom import CheckpointError, SqliteCheckpointer
from loom.testing.checkpointer_suite import begun, lines, stored
from tests.checkpoint.full_disk import filled, resumed

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "loom.db"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of half a mebibyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_file_that_may_not_grow_loses_no_committed_record(path: Path) -> None:
    number, why = filled(path, str(300_000))
    assert 'cannot save a step of run "r" in' in why
    assert "still full" in why
    store = SqliteCheckpointer(path)
    assert await stored(store) == [b"0", *(b"%d " % n * 200 for n in range(1, number))]
    claim = await store.claim("r", number, [])
    await store.append(claim, lines(1))
    await store.close()


async def test_a_full_disk_loses_no_committed_record(small_disk: Path) -> None:
    number, why = filled(small_disk / "loom.db")
    assert "is full; free some space, then resume the run: every committed step is kept" in why
    store = SqliteCheckpointer(small_disk / "loom.db")
    assert await stored(store) == [b"0", *(b"%d " % n * 200 for n in range(1, number))]
    await store.close()


async def test_a_full_disk_can_be_freed_and_the_run_goes_on(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 200_000)
    store = SqliteCheckpointer(small_disk / "loom.db")
    claim = await begun(store)
    is_full = False
    while not is_full:
        try:
            await store.append(claim, [b"x" * 5000])
        except CheckpointError:
            is_full = True
    kept = len(await stored(store))
    assert kept == claim.head
    ballast.unlink()
    await store.append(claim, lines(1), "completed")
    assert len(await stored(store)) == kept + 1
    await store.close()


@pytest.mark.parametrize("durability", ["process", "power"])
async def test_a_run_that_met_a_full_disk_is_resumed_in_the_same_process_as_soon_as_there_is_room(
    path: Path, durability: str
) -> None:
    told = resumed(path, durability)
    assert "full: cannot" in told
    assert told.endswith("still full\nstill full\ncompleted 40\n")
