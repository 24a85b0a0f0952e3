"""Runs in one SQLite file: durable, shared by processes, safe against kill -9.

The file is in WAL mode. A record is one row; its key is the run's number and its index in one
integer, so a commit touches one page and a second writer of the same index is refused by the key.
The claim's token is checked in the same statement. Every row carries a checksum that covers its key.

`durability="process"` (synchronous=NORMAL) survives the death of the process; `"power"`
(synchronous=FULL) also that of the machine, at the cost of a disk flush, which concurrent runs share.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import TIMEOUT_MAX
from typing import Any, TypeVar, TypeVarTuple, Unpack, get_args

from loom.checkpoint.group import Group, Work
from loom.checkpoint.keeper import Keeper
from loom.checkpoint.owner import is_surely_dead, this_process
from loom.checkpoint.sqlite_file import Durability, SqliteFile, to_its_end
from loom.checkpoint.sqlite_rows import (
    RUN_BITS,
    first_key,
    header_checksum,
    packed,
    record_checksum,
    rows,
    snapshot_row,
    unpacked,
)
from loom.core.journal import Claim, Journal, new_token
from loom.core.result import RunInfo, Status
from loom.errors import (
    CheckpointError,
    ConfigError,
    LoomError,
    RunConflictError,
    RunExistsError,
    RunNotFoundError,
    short,
)
from loom.runs.given import STATUSES, check_filter

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_LARGE_BYTES = 100_000  # more than that is not added to a log that is nearly full
# Claims of this process whose return failed, by run and token, so also one made anew may take them over at once.
_GIVEN_UP: set[tuple[str, int]] = set()
_CURRENT = "SELECT 1 FROM runs WHERE number = ? AND token = ?"
_NUMBER = "SELECT number FROM runs WHERE run_id = ?1"
_HEADER = "SELECT number, graph, status, parent, head, header, checksum FROM runs WHERE run_id = ?1"
_STANDING = """
SELECT number, token, owner, expires_at,
    (SELECT coalesce(max(key) - (number << ?2) + 1, 0) FROM records
     WHERE key >= number << ?2 AND key < (number + 1) << ?2)
FROM runs WHERE run_id = ?1
"""
_INSERT = f"INSERT INTO records SELECT ?, ?, ? WHERE EXISTS ({_CURRENT})"


class SqliteCheckpointer:
    """Keep runs in the SQLite file at `path`, made on first use with mode 0600.

    A run is claimed for `lease_s` seconds and the claim renewed while it is at work. A claim whose
    process is surely dead is free at once, any other when it expires. `RunInfo.updated_at` of a run at
    work is when its claim was last renewed.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, durability: Durability = "process", lease_s: float = 30.0
    ) -> None:
        if not isinstance(path, (str, os.PathLike)) or "\0" in str(path):
            raise ConfigError(f"SqliteCheckpointer(path=…) must be the path of a file; got {short(path)}")
        if os.fspath(path) == ":memory:":
            raise ConfigError('SqliteCheckpointer(path=":memory:") makes a file; for memory use MemoryCheckpointer()')
        if durability not in get_args(Durability):
            raise ConfigError(f'SqliteCheckpointer(durability=…) must be "process" or "power"; got {short(durability)}')
        if lease_s is True or not isinstance(lease_s, (int, float)) or not 0 < lease_s <= TIMEOUT_MAX:
            raise ConfigError(f"SqliteCheckpointer(lease_s=…) must be in (0, {TIMEOUT_MAX:.0f}]; got {short(lease_s)}")
        self.path = Path(path)
        self.durability = durability
        self.lease_s = lease_s
        self._file = SqliteFile(self.path, durability)
        self._keeper = Keeper(self._renew, lease_s / 3)
        self._group = Group(self._commit)
        self._numbers: dict[str, int] = {}

    async def create(
        self, run_id: str, graph: str, header: bytes, records: Sequence[bytes], *, parent: str | None = None
    ) -> Claim:
        return await self._hold(self._create, run_id, graph, header, records, parent)

    async def claim(self, run_id: str, head: int, records: Sequence[bytes]) -> Claim:
        return await self._hold(self._claim, run_id, head, records)

    async def append(
        self, claim: Claim, records: Sequence[bytes], status: Status = "running", snapshot: bytes | None = None
    ) -> None:
        body = None if snapshot is None else packed(snapshot)
        size = sum(map(len, records)) + len(body or b"")
        if self.durability == "process":
            self._append(claim, records, status, body, size)
        elif size > _LARGE_BYTES:
            await self._do(self._append, claim, records, status, body, size)
        else:
            await self._append_in_group(claim, records, status, body)

    async def release(self, claim: Claim) -> None:
        await self._do(self._release, claim)

    async def read(self, run_id: str, start: int = 0, *, from_snapshot: bool = False) -> Journal:
        return await self._do(self._read, run_id, start, from_snapshot)

    async def runs(self, *, status: Status | None = None, graph: str | None = None) -> list[RunInfo]:
        check_filter(status, graph)
        return await self._do(self._runs, status, graph)

    async def delete(self, run_id: str) -> None:
        await self._do(self._delete, run_id)

    async def close(self) -> None:
        """End the renewal of leases, write the log back into the file and close it.

        A later use opens it again.
        """
        self._keeper.close()
        self._group.close()
        await self._do(self._file.close)

    async def _do(self, work: Callable[[Unpack[Ts]], T], *arguments: *Ts) -> T:
        """Do it here, as a commit costs less than a hop to a thread; there if a commit waits for the disk."""
        if self.durability == "process":
            return work(*arguments)
        return await to_its_end(_in_thread(work, *arguments))

    async def _hold(self, work: Callable[[Unpack[Ts]], Claim], *arguments: *Ts) -> Claim:
        """Do what claims a run and keep the claim alive; give it back if its taker was cancelled meanwhile."""
        if self.durability == "process":
            return self._held(work(*arguments))
        done = _in_thread(work, *arguments)
        try:
            return self._held(await to_its_end(done))
        except asyncio.CancelledError:
            if done.exception() is None:
                self._release(done.result())
            raise

    def _create(self, run_id: str, graph: str, header: bytes, records: Sequence[bytes], parent: str | None) -> Claim:
        now = time.time()
        token = new_token()
        row = (run_id, graph, parent, token, this_process(), now + self.lease_s, now, now, len(records), header)
        with self._file.transaction(f'begin run "{run_id}"') as connection:
            try:
                cursor = connection.execute(
                    "INSERT INTO runs (run_id, graph, status, parent, token, owner, expires_at, created_at, "
                    "updated_at, head, header, checksum) VALUES (?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*row, header_checksum(header, run_id, graph, parent or "")),
                )
            except sqlite3.IntegrityError:
                message = f'run "{run_id}" exists already in {self.path}; choose another id, or resume it'
                raise RunExistsError(message) from None
            number = cursor.lastrowid or 0
            connection.executemany("INSERT INTO records VALUES (?, ?, ?)", rows(number, 0, records))
        self._numbers[run_id] = number
        return Claim(run_id, token, head=len(records))

    def _claim(self, run_id: str, head: int, records: Sequence[bytes]) -> Claim:
        now = time.time()
        with self._file.transaction(f'claim run "{run_id}"') as connection:
            number, token, stored = self._free(connection, run_id)
            if stored != head:
                raise RunConflictError(f'run "{run_id}" went on while it was read; resume it again')
            connection.execute(
                "UPDATE runs SET token = token + 1, status = 'running', owner = ?, expires_at = ?, updated_at = ?, "
                "head = ? WHERE number = ?",
                (this_process(), now + self.lease_s, now, head + len(records), number),
            )
            connection.executemany("INSERT INTO records VALUES (?, ?, ?)", rows(number, head, records))
        _GIVEN_UP.discard((run_id, token))
        return Claim(run_id, token + 1, head + len(records))

    def _held(self, claim: Claim) -> Claim:
        """Keep a claim alive, now that its taker has it: one that was cancelled meanwhile lets it expire."""
        self._keeper.hold(claim)
        return claim

    def _renew(self, claims: Sequence[Claim]) -> None:
        """Prolong the leases that are held; one that was lost shows at its next append."""
        now = time.time()
        with contextlib.suppress(CheckpointError), self._file.transaction("renew leases") as connection:
            connection.executemany(
                "UPDATE runs SET expires_at = ?, updated_at = ? WHERE run_id = ? AND token = ?",
                [(now + self.lease_s, now, claim.run_id, claim.token) for claim in claims],
            )

    def _append(
        self, claim: Claim, records: Sequence[bytes], status: Status, snapshot: bytes | None, size: int
    ) -> None:
        purpose = f'save a step of run "{claim.run_id}"'
        if size > _LARGE_BYTES:
            self._file.empty_log(purpose)
        if status == "running" and len(records) == 1 and snapshot is None:
            with self._file.statement(purpose) as connection:
                self._insert(connection, claim, records)
        else:
            with self._file.transaction(purpose) as connection:
                self._write(connection, claim, records, status, snapshot)
        self._advance(claim, len(records), status)

    async def _append_in_group(
        self, claim: Claim, records: Sequence[bytes], status: Status, snapshot: bytes | None
    ) -> None:
        def write() -> None:
            with self._file.statement(f'save a step of run "{claim.run_id}"') as connection:
                self._write(connection, claim, records, status, snapshot)

        done = self._group.submit(write)
        try:
            await to_its_end(asyncio.wrap_future(done))
        finally:  # also when the caller was cancelled while it was committed
            if done.exception() is None:
                self._advance(claim, len(records), status)

    def _commit(self, works: Sequence[Work]) -> list[BaseException | None]:
        """Do pieces of work in one transaction; one that fails is taken back alone."""
        errors: list[BaseException | None] = []
        with self._file.transaction("save steps") as connection:
            for work in works:
                connection.execute("SAVEPOINT piece")
                try:
                    work()
                except LoomError as error:
                    connection.execute("ROLLBACK TO piece")
                    errors.append(error)
                else:
                    errors.append(None)
                connection.execute("RELEASE piece")
        return errors

    def _write(
        self,
        connection: sqlite3.Connection,
        claim: Claim,
        records: Sequence[bytes],
        status: Status,
        snapshot: bytes | None,
    ) -> None:
        number, head = self._insert(connection, claim, records), claim.head + len(records)
        if snapshot is not None:
            row = snapshot_row(number, head, snapshot)
            connection.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)", row)
        if status != "running":
            connection.execute(
                "UPDATE runs SET status = ?, updated_at = ?, token = token + 1, owner = NULL, head = ? "
                "WHERE number = ?",
                (status, time.time(), head, number),
            )

    def _advance(self, claim: Claim, count: int, status: Status) -> None:
        claim.head += count
        if status != "running":
            self._numbers.pop(claim.run_id, None)
            self._keeper.drop(claim)

    def _insert(self, connection: sqlite3.Connection, claim: Claim, records: Sequence[bytes]) -> int:
        try:
            number = self._number(connection, claim.run_id)
            for row in rows(number, claim.head, records):
                if connection.execute(_INSERT, (*row, number, claim.token)).rowcount != 1:
                    raise self._taken_over(claim)
            if not records:
                _, token, _, _, head = self._row(connection, _STANDING, claim.run_id, RUN_BITS)
                if (token, head) != (claim.token, claim.head):
                    raise self._taken_over(claim)
        except (sqlite3.IntegrityError, RunNotFoundError):  # the index is taken, or the run deleted
            raise self._taken_over(claim) from None
        return number

    def _taken_over(self, claim: Claim) -> RunConflictError:
        self._keeper.drop(claim)
        return RunConflictError(f'run "{claim.run_id}" was taken over by another owner, or deleted; this one stops')

    def _release(self, claim: Claim) -> None:
        self._keeper.drop(claim)
        try:
            with self._file.statement(f'release run "{claim.run_id}"') as connection:
                connection.execute(
                    "UPDATE runs SET owner = NULL, token = token + 1, updated_at = ? WHERE run_id = ? AND token = ?",
                    (time.time(), claim.run_id, claim.token),
                )
        except CheckpointError:  # of a full disk, say: once there is room, this process need not wait for itself
            _GIVEN_UP.add((claim.run_id, claim.token))
            raise

    def _read(self, run_id: str, start: int, from_snapshot: bool) -> Journal:
        # One transaction, so that the status and the records are of the same moment.
        with self._file.transaction(f'read run "{run_id}"', "BEGIN") as connection:
            number, graph, status, parent, head, header, checksum = self._row(connection, _HEADER, run_id)
            types: list[type[object]] = [type(value) for value in (graph, parent or "", head, header)]
            if types != [str, str, int, bytes] or status not in STATUSES:
                raise self._damaged(f'the header of run "{run_id}"')
            if header_checksum(header, run_id, graph, parent or "") != checksum:
                raise self._damaged(f'the header of run "{run_id}"')
            snapshot: bytes | None = None
            newest = "SELECT head, body, checksum FROM snapshots WHERE number = ?"
            if from_snapshot and (row := connection.execute(newest, (number,)).fetchone()):
                start, snapshot = row[0], unpacked(*row)
                if snapshot is None:
                    raise self._damaged(f'the snapshot of run "{run_id}"')
            records = self._records(connection, run_id, number, start, is_open=status == "running")
        # `head` is as of the last claim or end: a run at work may have more, none may have less.
        missing = head - start - len(records)
        if start <= head and (missing > 0 or (missing < 0 and status != "running")):
            raise self._damaged(f'the end of run "{run_id}"')
        return Journal(run_id, header, records, status, start, snapshot)

    def _records(
        self, connection: sqlite3.Connection, run_id: str, number: int, start: int, *, is_open: bool
    ) -> list[bytes]:
        first = first_key(number, start)
        records: list[bytes] = []
        rows = connection.execute("SELECT key, body, checksum FROM records WHERE key >= ? ORDER BY key", (first,))
        with contextlib.closing(rows):
            for key, body, checksum in rows:
                is_sound = isinstance(body, bytes) and record_checksum(key, body) == checksum
                # The end of an open run is not known: what seems the next run may be a row of ours with a damaged key.
                if key >= first_key(number + 1) and (is_sound or not is_open):
                    break
                if not is_sound or key != first + len(records):
                    raise self._damaged(f'record {start + len(records)} of run "{run_id}"')
                records.append(body)
        return records

    def _runs(self, status: Status | None, graph: str | None) -> list[RunInfo]:
        with self._file.statement("list runs") as connection:
            rows = connection.execute(
                "SELECT run_id, status, graph, created_at, updated_at, parent FROM runs "
                "WHERE (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR graph = ?2) ORDER BY number DESC",
                (status, graph),
            )
            return [RunInfo(*row) for row in rows]

    def _delete(self, run_id: str) -> None:
        with self._file.transaction(f'delete run "{run_id}"') as connection:
            number, _, _ = self._free(connection, run_id)
            bounds = (first_key(number), first_key(number + 1))
            connection.execute("DELETE FROM records WHERE key >= ? AND key < ?", bounds)
            connection.execute("DELETE FROM snapshots WHERE number = ?", (number,))
            connection.execute("DELETE FROM runs WHERE number = ?", (number,))
        self._numbers.pop(run_id, None)

    def _number(self, connection: sqlite3.Connection, run_id: str) -> int:
        number = self._numbers.get(run_id)
        if number is None:
            (number,) = self._row(connection, _NUMBER, run_id)
            self._numbers[run_id] = number
        return number

    def _free(self, connection: sqlite3.Connection, run_id: str) -> tuple[int, int, int]:
        """Return the number and the token of a run that is not at work, and how many records it has.

        Raises:
            RunConflictError: its claim is alive.
        """
        now = time.time()
        number, token, owner, expires_at, head = self._row(connection, _STANDING, run_id, RUN_BITS)
        if owner and expires_at > now and (run_id, token) not in _GIVEN_UP and not is_surely_dead(owner):
            raise RunConflictError(
                f'run "{run_id}" is at work elsewhere (process {owner.split(" ")[2]}); wait for it, or for its '
                f"lease to expire in {expires_at - now:.0f} s"
            )
        self._numbers[run_id] = number
        return number, token, head

    # Any: values of columns, whatever the file holds.
    def _row(self, connection: sqlite3.Connection, query: str, run_id: str, *more: int) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = connection.execute(query, (run_id, *more)).fetchone()
        if row is None:
            raise self._not_found(connection, run_id)
        return row

    def _not_found(self, connection: sqlite3.Connection, run_id: str) -> LoomError:
        (found,) = connection.execute("PRAGMA integrity_check(runs)").fetchone()  # its index may be damaged
        if found != "ok":
            return CheckpointError(f"{self.path} is damaged: {found}; restore it from a copy")
        (count,) = connection.execute("SELECT count(*) FROM runs").fetchone()
        return RunNotFoundError(f'no run "{run_id}" in {self.path}; runs in this store: {count}')

    def _damaged(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.path} is damaged: {what} does not match its checksum; restore it from a copy")


def _in_thread(work: Callable[[Unpack[Ts]], T], *arguments: *Ts) -> asyncio.Future[T]:
    return asyncio.get_running_loop().run_in_executor(None, partial(work, *arguments))
