# ruff: noqa: ASYNC240, ASYNC221, ASYNC222 - nothing else runs in the loop that the tests could hold up
import asyncio
import contextlib
import gc
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
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


async def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()
    store = SqliteCheckpointer(path)
    await begun(store)
    await store.close()


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


# What the user may not, and what the disk cannot.


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


FILL = """
import asyncio, sys
from loom import CheckpointError, SqliteCheckpointer

async def main():
    store = SqliteCheckpointer(sys.argv[1])
    claim = await store.create("r", "graph", b"{}", [b"0"])
    for number in range(1, 10_000):
        try:
            await store.append(claim, [b"%d " % number * 200])
        except CheckpointError as error:
            print(number, error)
            break
    try:
        await store.append(claim, [b"more"] * 100, "failed")
    except CheckpointError:
        print("still full")

if len(sys.argv) > 2:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
asyncio.run(main())
"""


def filled(path: Path, *limit: str) -> tuple[int, str]:
    """Fill a disk up in another process, which then dies; return the first record that was refused, and why."""
    done = subprocess.run(
        [sys.executable, "-c", FILL, path, *limit], capture_output=True, text=True, check=True, timeout=60
    )
    first, rest = done.stdout.split(" ", 1)
    return int(first), rest


async def test_a_file_that_may_not_grow_loses_no_committed_record(path: Path) -> None:
    number, why = filled(path, str(300_000))
    assert 'cannot save a step of run "r" in' in why
    assert "still full" in why
    store = SqliteCheckpointer(path)
    assert await stored(store) == [b"0", *(b"%d " % n * 200 for n in range(1, number))]
    claim = await store.claim("r", number, [])
    await store.append(claim, lines(1))
    await store.close()


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


RESUME = """
import asyncio, resource, sys, time
from typing import Annotated
from loom import END, START, CheckpointError, Graph, Runtime, RunConflictError, SqliteCheckpointer, State, append, node

class Log(State):
    log: Annotated[list[str], append] = []

ran = []

@node(writes="log")
async def work(log: list[str]) -> list[str]:
    ran.append(len(log))
    return ["x" * 5000]

def room(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

graph = Graph("filling", Log)
graph.node("work", work)
graph.edge(START, "work")
graph.switch("work", {"len(log) >= 40": END}, otherwise="work")
app = graph.compile()

async def main():
    def runtime():  # a store of its own each time, as a program may well make it
        return Runtime(checkpointer=SqliteCheckpointer(sys.argv[1], durability=sys.argv[2]))
    room(100_000)
    try:
        await app.run(run_id="r", runtime=runtime())
    except CheckpointError as error:
        print("full:", error)
    kept = len((await app.state("r", runtime=runtime())).log)
    for _ in range(2):
        try:
            await app.resume("r", runtime=runtime())
        except CheckpointError:
            print("still full")
    room(resource.RLIM_INFINITY)
    result = await app.resume("r", runtime=runtime())
    assert ran.count(kept) >= 1 and [step for step in ran if step < kept] == list(range(kept)), ran
    print(result.status, len(result.state.log))

asyncio.run(main())
"""


@pytest.mark.parametrize("durability", ["process", "power"])
async def test_a_run_that_met_a_full_disk_is_resumed_in_the_same_process_as_soon_as_there_is_room(
    path: Path, durability: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RESUME, path, durability], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "full: cannot" in done.stdout
    assert done.stdout.endswith("still full\nstill full\ncompleted 40\n")


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
