# ruff: noqa: ASYNC240, ASYNC222 - nothing else runs in the loop that the tests could hold up
import asyncio
import contextlib
import gc
import os
import shutil
import signal
import sqlite3
import stat
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from loom import CheckpointError, SqliteCheckpointer
from loom.checkpoint.sqlite_file import SqliteFile
from loom.testing.checkpointer_suite import begun, lines, stored

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "er" / "loom.db"


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


async def test_the_file_and_its_log_are_for_their_owner_alone(path: Path) -> None:
    store = SqliteCheckpointer(path)
    old = os.umask(0)
    try:
        await begun(store)
    finally:
        os.umask(old)
    assert {file.name for file in path.parent.iterdir()} == {"loom.db", "loom.db-wal", "loom.db-shm"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    await store.close()


@pytest.mark.parametrize("size", [100, 10_000, 150_000])
async def test_the_log_stays_under_a_mebibyte_and_closing_empties_it(path: Path, size: int) -> None:
    store = SqliteCheckpointer(path)
    claim = await begun(store)
    largest = 0
    for _ in range(min(3000, 30_000_000 // size)):
        await store.append(claim, [b"x" * size])
        largest = max(largest, log_of(path).stat().st_size)
    assert largest < 1024 * 1024
    await store.close()
    assert not log_of(path).exists() or log_of(path).stat().st_size == 0


async def test_closing_empties_the_log_also_while_another_has_the_file_open(path: Path) -> None:
    store, other = SqliteCheckpointer(path), SqliteCheckpointer(path)
    await store.append(await begun(store), lines(*range(50)))
    await other.runs()
    await store.close()
    assert log_of(path).stat().st_size == 0
    assert len(await stored(other)) == 51
    await other.close()


async def test_a_run_is_claimed_without_waiting_for_a_long_log_to_be_written_back(path: Path, tmp_path: Path) -> None:
    store = SqliteCheckpointer(path)
    claim = await begun(store)
    with contextlib.closing(sqlite3.connect(path)) as reader:  # as long as it reads, the log grows
        reader.execute("BEGIN").execute("SELECT count(*) FROM runs").fetchone()
        for _ in range(300):
            await store.append(claim, [b"x"])
        await store.release(claim)
        left = Path(shutil.copytree(path.parent, tmp_path / "left"), path.name)  # as if killed here
    await store.close()
    before = left.read_bytes()
    taken = SqliteCheckpointer(left)
    claim = await taken.claim("r", (await taken.read("r")).head, [b"y"])
    assert left.read_bytes() == before
    await taken.append(claim, [b"z"])
    assert left.read_bytes() != before
    await taken.close()


async def test_a_store_that_nobody_has_any_more_lets_go_of_its_file(path: Path) -> None:
    async def used_and_forgotten() -> None:
        store = SqliteCheckpointer(path, lease_s=0.03)
        await store.release(await begun(store))

    await used_and_forgotten()
    with anyio.fail_after(10):
        while log_of(path).exists():  # the last to close the file writes the log back
            await anyio.sleep(0.01)  # the thread that renews leases ends at its next turn
            gc.collect()


async def test_an_empty_file_becomes_a_store_for_its_owner_alone(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()
    path.chmod(0o664)
    store = SqliteCheckpointer(path)
    await begun(store)
    assert {file.name for file in path.parent.iterdir()} == {"loom.db", "loom.db-wal", "loom.db-shm"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    await store.close()


async def test_a_file_that_someone_has_let_others_read_stays_as_it_is(path: Path) -> None:
    store = SqliteCheckpointer(path)
    await begun(store)
    await store.close()
    path.chmod(0o640)
    assert await SqliteCheckpointer(path).runs()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


async def test_what_is_empty_and_no_file_keeps_its_mode(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    with pytest.raises(CheckpointError, match="cannot list runs in"):
        await SqliteCheckpointer(pipe).runs()
    assert stat.S_IMODE(pipe.stat().st_mode) == 0o644


@pytest.mark.parametrize("content", [b"this is no database, it is a letter\n" * 300, b"\x00" * 5000, b"SQLite"])
async def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    store = SqliteCheckpointer(path)
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"loom.db: .*; the file is damaged, or no Loom store"):
            await begun(store)
    await store.close()
    assert path.read_bytes() == content


@pytest.mark.parametrize("application", [0, 1234])
async def test_a_database_of_something_else_is_refused_and_left_as_it_was(path: Path, application: int) -> None:
    path.parent.mkdir(parents=True)
    theirs = sqlite3.connect(path)
    theirs.execute("CREATE TABLE notes (text TEXT)")
    theirs.execute(f"PRAGMA application_id={application}")
    theirs.close()
    before = path.read_bytes()
    store = SqliteCheckpointer(path)
    with pytest.raises(CheckpointError, match="is a database of something else than Loom; choose another path"):
        await begun(store)
    await store.close()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


async def test_a_store_of_another_format_is_refused(path: Path) -> None:
    store = SqliteCheckpointer(path)
    await begun(store)
    await store.close()
    theirs = sqlite3.connect(path)
    theirs.execute("PRAGMA user_version=99")
    theirs.close()
    with pytest.raises(CheckpointError, match="has format 99; this version of Loom reads format 2"):
        await store.runs()


async def test_tables_that_are_not_ours_are_seen(path: Path) -> None:
    store = SqliteCheckpointer(path)
    await begun(store)
    await store.close()
    theirs = sqlite3.connect(path)
    theirs.execute("ALTER TABLE records ADD COLUMN more TEXT")
    theirs.close()
    with pytest.raises(CheckpointError, match="is damaged: its tables are not those of Loom"):
        await store.read("r")


async def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="unable to open database file; is its folder there and writable"):
        await SqliteCheckpointer(tmp_path).runs()


async def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot list runs in"):
        await SqliteCheckpointer(tmp_path / "file" / "loom.db").runs()


# What the user may not.


def as_nobody(work: Callable[[], str]) -> str:
    """Call a function in a process without rights, where this one has them all; return what it returns."""
    if os.getuid() != 0:
        return work()
    out, into = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads: the child starts none of them
        child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(into, work().encode())
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(out) as told:
        text = told.read()
    os.waitpid(child, 0)
    return text


@pytest.fixture
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that everybody may enter, whoever runs the tests."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def tried(store: SqliteCheckpointer) -> str:
    try:
        asyncio.run(begun_and_closed(store))
    except CheckpointError as error:
        return f"CheckpointError: {error}"
    return "done"


async def begun_and_closed(store: SqliteCheckpointer, run_id: str = "new") -> None:
    await begun(store, run_id)
    await store.close()


async def test_a_read_only_file_is_an_error_that_says_what_to_do(public: Path) -> None:
    path = public / "loom.db"
    await begun_and_closed(SqliteCheckpointer(path), "r")
    path.chmod(0o444)
    assert "readonly database; make the file and its folder writable" in as_nobody(
        lambda: tried(SqliteCheckpointer(path))
    )
    assert await stored(SqliteCheckpointer(path)) == [b"0"]


async def test_a_read_only_folder_is_an_error_that_says_what_to_do(public: Path) -> None:
    (public / "folder").mkdir(mode=0o555)
    told = as_nobody(lambda: tried(SqliteCheckpointer(public / "folder" / "loom.db")))
    assert told.startswith('CheckpointError: cannot begin run "new" in')
    assert "Permission denied" in told


# Forks.


def handles(path: Path) -> int:
    """Count how often this process has a file open."""
    return sum(handle.resolve() == path for handle in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files cannot be counted here")
async def test_a_store_that_was_open_may_be_used_on_both_sides_of_a_fork(path: Path) -> None:
    store = SqliteCheckpointer(path)
    claim = await begun(store)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            inherited = handles(path)
            begins = begun(store, "new").send  # which needs no event loop
            with contextlib.suppress(StopIteration):
                begins(None)
            status = 0 if handles(path) > inherited else 2  # one of its own
        finally:
            os._exit(status)
    await store.append(claim, lines(1))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    await store.append(claim, lines(2))
    assert await stored(store) == [b"0", *lines(1, 2)]
    assert await stored(store, "new") == [b"0"]
    await store.close()


async def test_a_process_that_is_forked_while_a_thread_uses_the_file_may_use_it_too(path: Path) -> None:
    file = SqliteFile(path, "process")
    at_work, go_on = threading.Event(), threading.Event()

    def use() -> None:
        with file.statement("try"):
            at_work.set()
            go_on.wait()

    using = threading.Thread(target=use)
    using.start()
    at_work.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(5)  # which ends it
        with file.transaction("try") as connection:
            connection.execute("SELECT count(*) FROM runs")
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    go_on.set()
    using.join()
    file.close()
    assert status == 0
