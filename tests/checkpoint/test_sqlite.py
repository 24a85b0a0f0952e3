# ruff: noqa: ASYNC240 - nothing else runs in the loop that the tests could hold up
import asyncio
import os
import signal
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

import anyio
import pytest

from loom import CheckpointError, ConfigError, RunConflictError, RunNotFoundError, SqliteCheckpointer
from loom.core.journal import Checkpointer, Journal
from loom.core.result import RunInfo
from loom.testing.checkpointer_crashes import Child, commits, hold, taken_over
from loom.testing.checkpointer_suite import HEADER, CheckpointerSuite, Opener, begun, lines, stored

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "loom.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteCheckpointer]:
    store = SqliteCheckpointer(path)
    yield store
    await store.close()


class TestProcess(CheckpointerSuite):
    @pytest.fixture
    def opener(self, path: Path) -> Opener:
        return partial(SqliteCheckpointer, path)


class TestPower(CheckpointerSuite):
    @pytest.fixture
    def opener(self, path: Path) -> Opener:
        return partial(SqliteCheckpointer, path, durability="power")


@pytest.mark.parametrize("path", [":memory:", Path(":memory:")])
def test_a_file_called_memory_is_refused(path: str | Path) -> None:
    with pytest.raises(ConfigError, match=r'SqliteCheckpointer\(path=":memory:"\).*use MemoryCheckpointer\(\)'):
        SqliteCheckpointer(path)


def test_it_is_a_checkpointer_and_touches_nothing_until_it_is_used(path: Path) -> None:
    assert isinstance(SqliteCheckpointer(path), Checkpointer)
    assert not path.exists()


SENSELESS: list[dict[str, object]] = [
    {"durability": "none"}, {"lease_s": 0}, {"lease_s": "9"}, {"lease_s": True}, {"lease_s": float("nan")},
    {"lease_s": float("inf")},
    {"path": 3}, {"path": b"loom.db"}, {"path": "lo\0om.db"}, {"path": Path("lo\0om.db")},
]  # fmt: skip


@pytest.mark.parametrize("settings", SENSELESS)
def test_a_setting_that_makes_no_sense_is_refused(path: Path, settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"SqliteCheckpointer\\({next(iter(settings))}=…\\)"):
        SqliteCheckpointer(**{"path": path, **settings})  # type: ignore[arg-type]  # which is the point


async def test_what_runs_cannot_be_listed_by_is_refused(store: SqliteCheckpointer) -> None:
    for status in ("done", ["completed"], ("completed", "paused")):
        with pytest.raises(ConfigError, match=r'runs\(status=…\) must be one of "cancelled", .*; got '):
            await store.runs(status=status)  # type: ignore[arg-type]  # which is the point
    with pytest.raises(ConfigError, match=r"runs\(graph=…\) must be the name of a graph; got 5"):
        await store.runs(graph=5)  # type: ignore[arg-type]  # which is the point


async def test_a_text_that_no_file_can_hold_is_an_error_of_storage(store: SqliteCheckpointer) -> None:
    for asked in (store.create("\ud800", "graph", HEADER, []), store.read("\ud800"), store.runs(graph="\ud800")):
        with pytest.raises(CheckpointError, match=r"surrogates not allowed"):
            await asked


async def test_what_was_committed_is_there_after_closing_and_opening(path: Path, store: SqliteCheckpointer) -> None:
    claim = await begun(store)
    await store.append(claim, lines(1))
    await store.close()
    assert await stored(store) == [b"0", *lines(1)]
    await store.append(claim, lines(2), "completed")
    await store.close()
    again = SqliteCheckpointer(path)
    assert await stored(again) == [b"0", *lines(1, 2)]
    await again.close()


# Several processes, threads and loops.


async def test_a_process_that_was_stopped_past_its_lease_is_refused_when_it_goes_on(path: Path) -> None:
    store, child = SqliteCheckpointer(path), Child(partial(SqliteCheckpointer, path, lease_s=0.3), hold)
    assert child.said() == "begun"
    with pytest.raises(RunConflictError, match=f"at work elsewhere \\(process {child.pid}\\)"):
        await store.claim("r0", 1, [])
    os.kill(child.pid, signal.SIGSTOP)
    claim = await taken_over(store, "r0", 1, within_s=5)
    os.kill(child.pid, signal.SIGCONT)
    child.go()
    assert child.said() == "refused"
    await store.append(claim, lines(7))
    assert await stored(store, "r0") == [*commits(0), *lines(7)]
    child.kill()
    await store.close()


async def test_a_lease_is_renewed_while_it_is_held_and_expires_when_it_is_not(path: Path) -> None:
    keeper, other = SqliteCheckpointer(path, lease_s=0.3), SqliteCheckpointer(path, lease_s=0.3)
    claim = await begun(keeper)
    await anyio.sleep(0.6)
    with pytest.raises(RunConflictError, match="is at work elsewhere"):
        await other.claim("r", 1, [])
    await keeper.close()  # which ends the renewing, not the claim
    await anyio.sleep(0.4)
    taken = await other.claim("r", 1, [])
    with pytest.raises(RunConflictError, match="was taken over"):
        await keeper.append(claim, lines(1))
    await other.append(taken, lines(2))
    await keeper.close()
    await other.close()


async def test_a_run_at_work_counts_as_changed_whenever_its_lease_is_renewed(path: Path) -> None:
    store = SqliteCheckpointer(path, lease_s=0.15)
    claim = await begun(store)
    (before,) = await store.runs()
    await anyio.sleep(0.4)
    (after,) = await store.runs()
    assert 0.2 < after.updated_at - before.updated_at < 0.5
    await store.release(claim)
    await store.close()


async def test_closing_ends_the_threads(store: SqliteCheckpointer) -> None:
    before = threading.active_count()
    await begun(store)
    await store.close()
    assert threading.active_count() <= before


def test_one_store_serves_several_threads_and_loops(path: Path) -> None:
    store = SqliteCheckpointer(path)
    failed: list[BaseException] = []

    async def work(number: int) -> None:
        claim = await begun(store, f"r{number}", [])
        for step in range(50):
            await store.append(claim, lines(step))
        await store.append(claim, [], "completed")

    def run(number: int) -> None:
        try:
            asyncio.run(work(number))
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []

    async def look() -> list[RunInfo]:
        for number in range(6):
            assert await stored(store, f"r{number}") == lines(*range(50))
        return await store.runs(status="completed")

    assert len(asyncio.run(look())) == 6
    asyncio.run(store.close())


async def test_deleting_a_run_leaves_nothing_of_it_behind(path: Path, store: SqliteCheckpointer) -> None:
    await store.append(await begun(store), lines(1), "completed", b"snapshot")
    await store.delete("r")
    await store.close()
    connection = sqlite3.connect(path)
    for table in ("runs", "records", "snapshots"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    connection.close()


# Damage.


async def read_all(path: Path, run_ids: Sequence[str]) -> tuple[list[Journal], list[Journal]]:
    """Read runs as a whole, and from their snapshots."""
    store = SqliteCheckpointer(path)
    try:
        return (
            [await store.read(run_id) for run_id in run_ids],
            [await store.read(run_id, from_snapshot=True) for run_id in run_ids],
        )
    finally:
        await store.close()


async def test_a_flipped_byte_anywhere_is_an_error_or_nothing_but_never_another_run(path: Path) -> None:
    store = SqliteCheckpointer(path)
    for run_id in ("one", "two", "three"):
        claim = await store.create(run_id, "graph", HEADER, lines(1), parent="one" if run_id == "two" else None)
        for number in range(4):
            await store.append(claim, lines(number), snapshot=b"snapshot %d" % number if number == 2 else None)
        await store.append(claim, lines(9), "completed")
    await store.close()
    whole = path.read_bytes()
    wholes, shorts = await read_all(path, ["two", "three"])
    chance = Random(8)
    places = [place for place, byte in enumerate(whole) if byte] + list(range(0, len(whole), 97))
    damaged = path.with_name("damaged.db")
    outcomes = {"same": 0, "error": 0}
    for place in chance.sample(places, 700):
        flipped = whole[place] ^ chance.choice([255, 1 << chance.randrange(8)])
        damaged.write_bytes(whole[:place] + bytes([flipped]) + whole[place + 1 :])
        try:
            found = await read_all(damaged, ["two", "three"])
            assert found[0] == wholes, f"byte {place} became {flipped}"
            for one, whole_one, short in zip(found[1], wholes, shorts, strict=True):
                assert one in (whole_one, short), f"byte {place} became {flipped}"  # a snapshot may be lost
            outcomes["same"] += 1
        except CheckpointError:
            outcomes["error"] += 1
    assert outcomes["error"] > 100


async def change(path: Path, statement: str) -> None:
    """Change a store's file behind its back."""
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE records SET body = X'00' WHERE key & 3 = 1", 'record 1 of run "r"'),
        ("UPDATE records SET body = CAST(body AS TEXT) WHERE key & 3 = 1", 'record 1 of run "r"'),
        ("UPDATE records SET checksum = checksum + 1 WHERE key & 3 = 0", 'record 0 of run "r"'),
        ("UPDATE records SET key = key + 8 WHERE key & 3 = 1", 'record 1 of run "r"'),
        ("DELETE FROM records WHERE key & 3 = 1", 'record 1 of run "r"'),
        ("DELETE FROM records WHERE key & 3 = 2", 'the end of run "r"'),
        ("DELETE FROM records", 'the end of run "r"'),
        ("UPDATE runs SET header = X'7B7D'", 'the header of run "r"'),
        ("UPDATE runs SET graph = 'other'", 'the header of run "r"'),
        ("UPDATE runs SET parent = 'other'", 'the header of run "r"'),
        ("UPDATE runs SET status = 'complfted'", 'the header of run "r"'),
        ("UPDATE runs SET head = 'x'", 'the header of run "r"'),
    ],
)
async def test_damage_is_named(path: Path, store: SqliteCheckpointer, statement: str, what: str) -> None:
    await store.append(await begun(store), lines(1, 2), "completed")
    await store.close()
    await change(path, statement)
    with pytest.raises(CheckpointError, match=f"loom.db is damaged: {what} does not match its checksum"):
        await store.read("r")


async def test_records_that_traded_places_are_seen(path: Path, store: SqliteCheckpointer) -> None:
    claim = await begun(store)
    await store.append(claim, lines(1, 2))
    await store.close()
    for statement in (
        "UPDATE records SET key = -1 WHERE key & 3 = 1",
        "UPDATE records SET key = key - 1 WHERE key & 3 = 2",
        "UPDATE records SET key = (SELECT max(key) + 1 FROM records) WHERE key = -1",
    ):
        await change(path, statement)
    with pytest.raises(CheckpointError, match='record 1 of run "r" does not match'):
        await store.read("r")


async def test_a_record_whose_key_was_damaged_is_missed_also_while_the_run_is_open(
    path: Path, store: SqliteCheckpointer
) -> None:
    await store.append(await begun(store), lines(1, 2))
    await store.append(await begun(store, "next"), lines(1, 2))
    await store.close()
    whole = path.read_bytes()
    key = b"\x90\x80\x80\x80\x02"  # record 2 of run 1, as SQLite writes numbers
    assert whole.count(key) == 1
    path.write_bytes(whole.replace(key, b"\xb0\x80\x80\x80\x02"))
    with pytest.raises(CheckpointError, match='record 2 of run "r" does not match'):
        await store.read("r")


async def test_damage_to_one_run_leaves_the_ended_ones_readable(path: Path, store: SqliteCheckpointer) -> None:
    await store.append(await begun(store), lines(1, 2), "completed")
    await store.append(await begun(store, "next"), lines(1, 2), "completed")
    await store.close()
    await change(path, "UPDATE records SET body = X'00' WHERE key >= 2 << 32")
    assert await stored(store) == [b"0", *lines(1, 2)]
    with pytest.raises(CheckpointError, match='record 0 of run "next" does not match'):
        await store.read("next")


async def test_a_damaged_snapshot_is_seen_and_the_records_can_still_be_read(
    path: Path, store: SqliteCheckpointer
) -> None:
    await store.append(await begun(store), lines(1), snapshot=b"snapshot")
    await store.close()
    await change(path, "UPDATE snapshots SET body = X'00'")
    with pytest.raises(CheckpointError, match='the snapshot of run "r" does not match'):
        await store.read("r", from_snapshot=True)
    assert await stored(store) == [b"0", *lines(1)]


async def test_a_run_that_only_a_damaged_index_hides_is_not_simply_unknown(
    path: Path, store: SqliteCheckpointer
) -> None:
    for number in range(3):
        await store.append(await begun(store, f"run-{number}"), [], "completed")
    await store.close()
    whole = path.read_bytes()
    spots = [place for place in range(len(whole)) if whole.startswith(b"run-1", place)]
    assert len(spots) == 2, "once in the table, once in the index"
    messages: list[str] = []
    for place in spots:
        path.write_bytes(whole[: place + 4] + b"7" + whole[place + 5 :])
        try:
            await store.read("run-1")
        except CheckpointError as error:
            messages.append(str(error))
        await store.close()
    assert len(messages) >= 1
    assert all("is damaged" in message for message in messages)


async def test_an_unknown_run_of_a_sound_file_is_simply_unknown(store: SqliteCheckpointer) -> None:
    await begun(store)
    with pytest.raises(RunNotFoundError, match=r'no run "s" in .*loom.db; runs in this store: 1'):
        await store.read("s")
