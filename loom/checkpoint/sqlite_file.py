"""The file of a SQLite store: opened on first use, one transaction at a time, errors in our words."""

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Literal, TypeVar

import anyio

from loom.errors import CheckpointError

T = TypeVar("T")
Durability = Literal["process", "power"]

_APPLICATION = 0x4C6F6F6D  # "Loom"
_VERSION = 2
_WAL_PAGES = 200  # of 4 KiB: the log stays under 1 MiB
_BUSY_S = 30.0
_SCHEMA = """
CREATE TABLE runs (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id     TEXT NOT NULL UNIQUE,
    graph      TEXT NOT NULL,
    status     TEXT NOT NULL,
    parent     TEXT,
    token      INTEGER NOT NULL,
    owner      TEXT,
    expires_at REAL NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    head       INTEGER NOT NULL,
    header     BLOB NOT NULL,
    checksum   INTEGER NOT NULL
);
CREATE TABLE records (
    key        INTEGER PRIMARY KEY,
    body       BLOB NOT NULL,
    checksum   INTEGER NOT NULL
);
CREATE TABLE snapshots (
    number     INTEGER PRIMARY KEY,
    head       INTEGER NOT NULL,
    body       BLOB NOT NULL,
    checksum   INTEGER NOT NULL
);
"""
_TABLES = [table.strip() for table in _SCHEMA.split(";") if table.strip()]
_HINTS = {
    sqlite3.SQLITE_FULL: "; free some space, then resume the run: every committed step is kept",
    sqlite3.SQLITE_READONLY: "; make the file and its folder writable",
    sqlite3.SQLITE_CANTOPEN: "; is its folder there and writable?",
    sqlite3.SQLITE_NOTADB: "; the file is damaged, or no Loom store",
    sqlite3.SQLITE_CORRUPT: "; the file is damaged, restore it from a copy",
    sqlite3.SQLITE_BUSY: f"; another process has held the file for {_BUSY_S:g} s",
}


class SqliteFile:
    """A connection to the file at `path`, for one thread at a time, in one process."""

    def __init__(self, path: Path, durability: Durability) -> None:
        self.path = path
        self._durability = durability
        self._connection: sqlite3.Connection | None = None
        self._opened_by = 0
        self._is_fresh = False
        self._lock = threading.RLock()
        _FILES.add(self)

    def unlock_in_child(self) -> None:
        """Take a lock of this process's own: the other may be held by a thread that only the parent has."""
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def statement(self, purpose: str) -> Generator[sqlite3.Connection]:
        """Use the connection for one statement.

        Raises:
            CheckpointError: SQLite or the disk refused; it says what was tried and what to do.
        """
        with self._lock:
            try:
                yield (connection := self._open())
                if self._is_fresh and connection.total_changes:
                    self._keep_log_short(connection)
            except (sqlite3.Error, UnicodeError) as error:  # the latter is of a damaged file, or a lone surrogate
                hint = _HINTS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "")
                raise CheckpointError(f"cannot {purpose} in {self.path}: {error}{hint}") from error
            except OSError as error:
                raise CheckpointError(f"cannot {purpose} in {self.path}: {error}") from error

    @contextlib.contextmanager
    def transaction(self, purpose: str, begin: str = "BEGIN IMMEDIATE") -> Generator[sqlite3.Connection]:
        """Do several statements as one: all of them are committed, or none."""
        with self.statement(purpose) as connection:
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _keep_log_short(self, connection: sqlite3.Connection) -> None:
        """Have commits write the log back when it is long: each but the first of a connection.

        The first claims a run, whose next node waits for it, and finds whatever log a killed process has left.
        """
        connection.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
        self._is_fresh = False

    def empty_log(self, purpose: str) -> None:
        """Write the log back into the file, so that what is written next begins it anew."""
        with self.statement(purpose) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Write the log back into the file and close it; a later use opens it again."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is None or self._opened_by != os.getpid():
                return
            # The log may be in use by another process, which then writes it back itself.
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._let_go()

    def _open(self) -> sqlite3.Connection:
        # A connection must not be carried over a fork.
        if self._connection is not None and self._opened_by == os.getpid():
            return self._connection
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        elif self.path.is_file() and not self.path.stat().st_size:
            self.path.chmod(0o600)  # it becomes the store; SQLite gives its log the same mode
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._opened_by, self._is_fresh = connection, os.getpid(), True
        # A store need not be closed: the connection is when nobody has it any more, or the process ends.
        self._let_go = weakref.finalize(self, _close_if_ours, connection, self._lock, os.getpid())
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        application = _number(connection, "application_id")
        if application == 0:
            self._create(connection)
            application = _number(connection, "application_id")
        if application != _APPLICATION:
            raise CheckpointError(f"{self.path} is a database of something else than Loom; choose another path")
        version = _number(connection, "user_version")
        if version != _VERSION:
            raise CheckpointError(f"{self.path} has format {version}; this version of Loom reads format {_VERSION}")
        tables = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name != 'sqlite_sequence'")
        if sorted(sql for (sql,) in tables) != sorted(_TABLES):
            raise CheckpointError(f"{self.path} is damaged: its tables are not those of Loom; restore it from a copy")
        # Only now, so that a file of something else is left as it was.
        _until_free(lambda: connection.execute("PRAGMA journal_mode=WAL"))
        connection.execute(f"PRAGMA synchronous={'NORMAL' if self._durability == 'process' else 'FULL'}")
        connection.execute("PRAGMA wal_autocheckpoint=0")  # until the first commit
        connection.execute(f"PRAGMA journal_size_limit={_WAL_PAGES * 4096}")  # where one large write made it longer

    def _create(self, connection: sqlite3.Connection) -> None:
        _until_free(lambda: connection.execute("BEGIN IMMEDIATE"))
        try:
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables == 0:  # else another process was first, or it is not ours
                for table in _TABLES:
                    connection.execute(table)
                connection.execute(f"PRAGMA user_version={_VERSION}")
                connection.execute(f"PRAGMA application_id={_APPLICATION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


_FILES: weakref.WeakSet[SqliteFile] = weakref.WeakSet()


def _unlock_in_child() -> None:
    for file in _FILES:
        file.unlock_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_in_child)


def _close_if_ours(connection: sqlite3.Connection, lock: threading.RLock, opened_by: int) -> None:
    if opened_by == os.getpid():  # in a child the lock may be held by a thread that only its parent has
        with lock:  # leases may be renewed in a thread until the end
            connection.close()


async def to_its_end(done: asyncio.Future[T]) -> T:
    """Wait for work in a thread, to its end: a caller that is cancelled meanwhile learns of it afterwards.

    So no commit goes on behind the back of one that thinks it has stopped.
    """
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not done.done():
            try:
                await asyncio.wait([done])
            except asyncio.CancelledError as error:  # of the task itself, which no scope shields from
                cancelled = error
    if cancelled:
        done.exception()  # seen, though the cancellation goes first
        raise cancelled
    return done.result()


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    (number,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(number)


def _until_free(work: Callable[[], object]) -> None:
    """Retry what SQLite refuses at once, without waiting, while another process opens the file."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            work()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
