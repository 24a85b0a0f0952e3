"""Runs in one SQLite file: durable, shared by processes, safe against kill -9.

The file is in WAL mode. A record is one row; its key is the run's number and its index in one
integer, so a commit touches one page and a second writer of the same index is refused by the key.
The claim's token is checked in the same statement. Every row carries a checksum that covers its key.

`durability="process"` (synchronous=NORMAL) survives the death of the process; `"power"`
(synchronous=FULL) also that of the machine, at the cost of a disk flush for each commit.
"""

import contextlib
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeVar, TypeVarTuple, Unpack

from anyio import to_thread

from loom.core.journal import Claim, Journal
from loom.core.result import RunInfo, Status
from loom.errors import CheckpointError, ConfigError, LoomError, RunConflictError, RunExistsError, RunNotFoundError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_APPLICATION = 0x4C6F6F6D  # "Loom"
_VERSION = 1
_RUN_BITS = 32  # a run has at most 2**32 records
_WAL_PAGES = 200  # 200 pages of 4 KiB: the log stays under 1 MiB
_BUSY_S = 30.0
_SCHEMA = """
CREATE TABLE runs (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id     TEXT NOT NULL UNIQUE,
    graph      TEXT NOT NULL,
    status     TEXT NOT NULL,
    token      INTEGER NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    header     BLOB NOT NULL,
    checksum   INTEGER NOT NULL
);
CREATE TABLE records (
    key        INTEGER PRIMARY KEY,
    body       BLOB NOT NULL,
    checksum   INTEGER NOT NULL
);
"""
_INSERT = "INSERT INTO records SELECT ?, ?, ? WHERE EXISTS (SELECT 1 FROM runs WHERE number = ? AND token = ?)"


class SqliteCheckpointer:
    """Keep runs in the SQLite file at `path`, made on first use with mode 0600."""

    def __init__(self, path: str | os.PathLike[str], *, durability: Literal["process", "power"] = "process") -> None:
        if durability not in ("process", "power"):
            raise ConfigError(f'SqliteCheckpointer(durability=…) must be "process" or "power"; got "{durability}"')
        self.path = Path(path)
        self.durability = durability
        self._connection: sqlite3.Connection | None = None
        self._opened_by = 0
        self._lock = threading.RLock()
        self._numbers: dict[str, int] = {}

    async def create(self, run_id: str, graph: str, header: bytes, records: Sequence[bytes]) -> Claim:
        return await self._do(self._create, run_id, graph, header, records)

    async def claim(self, run_id: str, head: int) -> Claim:
        return await self._do(self._claim, run_id, head)

    async def append(self, claim: Claim, records: Sequence[bytes], status: Status = "running") -> None:
        await self._do(self._append, claim, records, status)

    async def read(self, run_id: str, start: int = 0) -> Journal:
        return await self._do(self._read, run_id, start)

    async def runs(self, *, status: Status | None = None, graph: str | None = None) -> list[RunInfo]:
        return await self._do(self._runs, status, graph)

    async def delete(self, run_id: str) -> None:
        await self._do(self._delete, run_id)

    async def close(self) -> None:
        """Write the log back into the file and close it. A later use opens it again."""
        await self._do(self._close)

    async def _do(self, work: Callable[[Unpack[Ts]], T], *arguments: Unpack[Ts]) -> T:
        """Do it here, as a commit costs less than a hop to a thread; there if a commit waits for the disk."""
        if self.durability == "process":
            return work(*arguments)
        return await to_thread.run_sync(work, *arguments)

    def _create(self, run_id: str, graph: str, header: bytes, records: Sequence[bytes]) -> Claim:
        now = time.time()
        row = (run_id, graph, "running", 1, now, now, header, _checksum(header, run_id, graph))
        with self._transaction(f'begin run "{run_id}"') as connection:
            try:
                cursor = connection.execute(
                    "INSERT INTO runs (run_id, graph, status, token, created_at, updated_at, header, checksum) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
            except sqlite3.IntegrityError:
                message = f'run "{run_id}" exists already in {self.path}; choose another id, or resume it'
                raise RunExistsError(message) from None
            number = cursor.lastrowid or 0
            connection.executemany("INSERT INTO records VALUES (?, ?, ?)", _rows(number, 0, records))
        self._numbers[run_id] = number
        return Claim(run_id, token=1, head=len(records))

    def _claim(self, run_id: str, head: int) -> Claim:
        with self._transaction(f'claim run "{run_id}"') as connection:
            number = self._number(connection, run_id)
            if self._count(connection, number) != head:
                raise RunConflictError(f'run "{run_id}" went on while it was read; resume it again')
            connection.execute("UPDATE runs SET token = token + 1, status = 'running' WHERE number = ?", (number,))
            (token,) = connection.execute("SELECT token FROM runs WHERE number = ?", (number,)).fetchone()
        return Claim(run_id, token, head)

    def _append(self, claim: Claim, records: Sequence[bytes], status: Status) -> None:
        if status == "running" and len(records) == 1:
            with self._statement(f'save a step of run "{claim.run_id}"') as connection:
                self._insert(connection, claim, records)
        else:
            with self._transaction(f'save a step of run "{claim.run_id}"') as connection:
                number = self._insert(connection, claim, records)
                if status != "running":
                    connection.execute(
                        "UPDATE runs SET status = ?, updated_at = ?, token = token + 1 WHERE number = ?",
                        (status, time.time(), number),
                    )
        claim.head += len(records)

    def _insert(self, connection: sqlite3.Connection, claim: Claim, records: Sequence[bytes]) -> int:
        number = self._number(connection, claim.run_id)
        try:
            for row in _rows(number, claim.head, records):
                if connection.execute(_INSERT, (*row, number, claim.token)).rowcount != 1:
                    raise self._taken_over(claim)
        except sqlite3.IntegrityError:  # the index is taken
            raise self._taken_over(claim) from None
        return number

    def _taken_over(self, claim: Claim) -> RunConflictError:
        return RunConflictError(f'run "{claim.run_id}" was taken over by another owner; this one stops')

    def _read(self, run_id: str, start: int) -> Journal:
        # One transaction, so that the status and the records are of the same moment.
        with self._transaction(f'read run "{run_id}"', "BEGIN") as connection:
            row = connection.execute(
                "SELECT number, graph, status, header, checksum FROM runs WHERE run_id = ?", (run_id,)
            ).fetchone()
            if row is None:
                raise self._not_found(connection, run_id)
            number, graph, status, header, checksum = row
            if _checksum(header, run_id, graph) != checksum:
                raise self._damaged(f'the header of run "{run_id}"')
            first = (number << _RUN_BITS) + start
            found = connection.execute(
                "SELECT key, body, checksum FROM records WHERE key >= ? AND key < ? ORDER BY key",
                (first, (number + 1) << _RUN_BITS),
            ).fetchall()
        records: list[bytes] = []
        for index, (key, body, checksum) in enumerate(found):
            if key != first + index or not isinstance(body, bytes) or _record_checksum(key, body) != checksum:
                raise self._damaged(f'record {start + index} of run "{run_id}"')
            records.append(body)
        return Journal(run_id, header, records, status)

    def _runs(self, status: Status | None, graph: str | None) -> list[RunInfo]:
        with self._statement("list runs") as connection:
            rows = connection.execute(
                "SELECT run_id, status, graph, created_at, updated_at FROM runs "
                "WHERE (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR graph = ?2) ORDER BY number DESC",
                (status, graph),
            )
            return [RunInfo(*row) for row in rows]

    def _delete(self, run_id: str) -> None:
        with self._transaction(f'delete run "{run_id}"') as connection:
            number = self._number(connection, run_id)
            connection.execute(
                "DELETE FROM records WHERE key >= ? AND key < ?", (number << _RUN_BITS, (number + 1) << _RUN_BITS)
            )
            connection.execute("DELETE FROM runs WHERE number = ?", (number,))
            self._numbers.pop(run_id, None)

    def _number(self, connection: sqlite3.Connection, run_id: str) -> int:
        number = self._numbers.get(run_id)
        if number is None:
            row = connection.execute("SELECT number FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            if row is None:
                raise self._not_found(connection, run_id)
            number = self._numbers[run_id] = int(row[0])
        return number

    def _count(self, connection: sqlite3.Connection, number: int) -> int:
        bounds = (number << _RUN_BITS, (number + 1) << _RUN_BITS)
        (count,) = connection.execute("SELECT count(*) FROM records WHERE key >= ? AND key < ?", bounds).fetchone()
        return int(count)

    def _not_found(self, connection: sqlite3.Connection, run_id: str) -> RunNotFoundError:
        (count,) = connection.execute("SELECT count(*) FROM runs").fetchone()
        return RunNotFoundError(f'no run "{run_id}" in {self.path}, which holds {count} runs')

    # The file.

    @contextlib.contextmanager
    def _transaction(self, purpose: str, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Do several statements as one: all of them are committed, or none."""
        with self._statement(purpose) as connection:
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _statement(self, purpose: str) -> Iterator[sqlite3.Connection]:
        """Use the connection; what SQLite raises becomes a CheckpointError that says what was tried."""
        with self._lock:
            try:
                yield self._open()
            except sqlite3.Error as error:
                hint = _HINTS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "")
                raise CheckpointError(f"cannot {purpose} in {self.path}: {error}{hint}") from error
            except OSError as error:
                raise CheckpointError(f"cannot {purpose} in {self.path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._opened_by == os.getpid():
            return self._connection
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._opened_by = connection, os.getpid()
        self._numbers.clear()
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        _until_free(lambda: connection.execute("PRAGMA journal_mode=WAL"))
        connection.execute(f"PRAGMA synchronous={'NORMAL' if self.durability == 'process' else 'FULL'}")
        connection.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application == 0:
            _until_free(lambda: connection.execute("BEGIN IMMEDIATE"))
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            (application,) = connection.execute("PRAGMA application_id").fetchone()  # another process was first?
            if application == 0 and tables == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={_VERSION}")
                connection.execute(f"PRAGMA application_id={_APPLICATION}")
                application = _APPLICATION
            connection.execute("COMMIT")
        if application != _APPLICATION:
            raise CheckpointError(f"{self.path} is a database of something else than Loom; choose another path")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            raise CheckpointError(f"{self.path} has format {version}; this version of Loom reads format {_VERSION}")

    def _damaged(self, what: str) -> LoomError:
        return CheckpointError(f"{self.path} is damaged: {what} does not match its checksum; restore it from a copy")

    def _close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is None or self._opened_by != os.getpid():
                return
            # The log may be in use by another process, which then writes it back itself.
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()


_HINTS = {
    sqlite3.SQLITE_FULL: "; free some space, then resume the run: every committed step is kept",
    sqlite3.SQLITE_READONLY: "; make the file and its folder writable",
    sqlite3.SQLITE_NOTADB: "; the file is damaged, or no Loom store",
    sqlite3.SQLITE_CORRUPT: "; the file is damaged, restore it from a copy",
    sqlite3.SQLITE_BUSY: f"; another process has held the file for {_BUSY_S:g} s",
}


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


def _rows(number: int, head: int, records: Sequence[bytes]) -> Iterator[tuple[int, bytes, int]]:
    for index, record in enumerate(records, head):
        key = (number << _RUN_BITS) + index
        yield key, record, _record_checksum(key, record)


def _record_checksum(key: int, body: bytes) -> int:
    """Cover the index too, so that rows cannot trade places."""
    return zlib.crc32(body, key & 0xFFFFFFFF)


def _checksum(header: bytes, *names: str) -> int:
    checksum = zlib.crc32(header)
    for name in names:
        checksum = zlib.crc32(name.encode(), checksum)
    return checksum
