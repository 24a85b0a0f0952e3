"""Moving runs between stores, and clearing them out: works with every store.

An exported run is JSON lines: the first describes the run, the others are its records as stored, the
last has their number and a checksum over all lines before it, so that damage and a cut are noticed.
"""

import json
import time
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

from pydantic_core import from_json

from loom.core.journal import FORMAT, Checkpointer, Journal, decode
from loom.core.result import RunInfo, Status
from loom.core.runtime import check_store
from loom.errors import CheckpointError, ConfigError, LoomError, RunConflictError, RunNotFoundError, quoted, short
from loom.runs.given import STATUSES, known_run_id, seconds_of
from loom.runs.inputs import checked_run_id
from loom.runs.notes import open_asks
from loom.types.given import check_number

# Any, in this module: parsed JSON.

Lines = Iterable[str] | Iterable[bytes] | AsyncIterable[str] | AsyncIterable[bytes]


async def export_run(store: Checkpointer, run_id: str) -> AsyncIterator[str]:
    """Yield a run as lines of JSON, without line ends.

    Raises:
        RunNotFoundError: the store has no run of this id.
    """
    check_store("export_run(store, …)", store)
    journal = await store.read(known_run_id(run_id))
    header = from_json(journal.header)
    about = {"loom_run": FORMAT, "run_id": run_id, "graph": header["graph"], "status": journal.status, "header": header}
    lines = [json.dumps(about, ensure_ascii=False), *(record.decode() for record in journal.records)]
    for line in lines:
        yield line
    yield _seal(lines)


async def import_run(store: Checkpointer, lines: Lines, *, run_id: str | None = None) -> str:
    """Add an exported run to a store, under its own id or `run_id`; return the id.

    `lines` are texts or bytes in UTF-8, with or without line ends: an open file, say, or what `export_run`
    yields. All are checked before anything is added. A run that was at work when it was exported can be
    resumed.

    Raises:
        CheckpointError: the lines are no exported run, are of another format, are damaged, or end early.
        ConfigError: `lines` are no lines, or no run can have this id.
        RunExistsError: the store has a run of this id.
    """
    check_store("import_run(store, …)", store)
    first, *records = _checked(await _texts(lines))
    about = _about(first)
    new_id = checked_run_id(about["run_id"] if run_id is None else run_id)
    bodies = [record.encode() for record in records]
    for body in bodies:
        decode(body, new_id)
    header = json.dumps(about["header"], ensure_ascii=False, separators=(",", ":")).encode()
    await _add(store, Journal(new_id, header, bodies, about["status"]), about["graph"], parent=None)
    return new_id


async def copy_run(source: Checkpointer, run_id: str, target: Checkpointer, *, new_id: str | None = None) -> str:
    """Copy a run to another store, or under another id within one; return the id of the copy.

    Raises:
        RunNotFoundError: the source has no run of this id.
        RunExistsError: the target has a run of the copy's id.
        ConfigError: no run can have this id.
    """
    check_store("copy_run(source, …)", source)
    check_store("copy_run(…, target)", target)
    new_id = checked_run_id(run_id if new_id is None else new_id)
    journal = await source.read(known_run_id(run_id))
    copy = Journal(new_id, journal.header, journal.records, journal.status)
    parent = None if copy.run_id == run_id else run_id
    await _add(target, copy, from_json(journal.header)["graph"], parent=parent)
    return copy.run_id


async def prune(
    store: Checkpointer,
    *,
    older_than_s: float,
    statuses: Sequence[Status] = ("completed",),
    clock: Callable[[], float] = time.time,
) -> list[str]:
    """Delete runs of these statuses that have not changed for so many seconds; return their ids, oldest first.

    A run that is at work stays, also where `statuses` has "running", which is for those whose process
    has died. A run with open asks stays unless `statuses` has "paused".

    Raises:
        ConfigError: `older_than_s` is no number of 0 or more, or a status is none.
    """
    check_store("prune(store, …)", store)
    check_number("prune(older_than_s=…)", older_than_s)
    is_list = isinstance(statuses, Collection) and not isinstance(statuses, str)
    if not is_list or not all(status in STATUSES for status in statuses):
        raise ConfigError(f"prune(statuses=…) must be a tuple of {quoted(STATUSES)}; got {short(statuses)}")
    now = seconds_of("prune", clock)
    old: list[RunInfo] = [
        run for run in await store.runs() if run.status in statuses and now - run.updated_at > older_than_s
    ]
    pruned: list[str] = []
    for run in sorted(old, key=lambda run: run.updated_at):
        # Taken up or deleted by another since it was listed: no longer ours to judge.
        with suppress(RunConflictError, RunNotFoundError):
            if "paused" not in statuses and await _has_open_asks(store, run):
                continue
            await store.delete(run.run_id)
            pruned.append(run.run_id)
    return pruned


async def _has_open_asks(store: Checkpointer, run: RunInfo) -> bool:
    if run.status == "completed":
        return False
    records = [decode(record, run.run_id) for record in (await store.read(run.run_id)).records]
    return bool(open_asks(records))


def _seal(lines: Sequence[str]) -> str:
    checksum = 0
    for line in lines:
        checksum = zlib.crc32(line.encode(), checksum)
    return json.dumps({"records": len(lines) - 1, "checksum": checksum})


async def _texts(lines: Lines) -> list[str]:
    """Return the lines without their ends, empty ones left out."""
    if isinstance(lines, (str, bytes)) or not isinstance(lines, (Iterable, AsyncIterable)):
        raise ConfigError(f"import_run(…, lines) must be lines, as an open file or a list; got {short(lines)}")
    try:
        given = [line async for line in lines] if isinstance(lines, AsyncIterable) else list(lines)
        texts = [_text(line).rstrip("\r\n") for line in given]
    except UnicodeDecodeError as error:
        raise _damaged() from error
    return [line for line in texts if line.strip()]


def _text(line: object) -> str:
    if isinstance(line, bytes):
        return line.decode()
    if not isinstance(line, str):
        raise ConfigError(f"import_run(…, lines) must be lines of text or bytes; got {short(line)} among them")
    return line


def _checked(lines: Sequence[str]) -> list[str]:
    """Return the lines but the last, which vouches for them."""
    try:
        *kept, seal = lines
        form, is_sound = from_json(kept[0])["loom_run"], len(kept) > 1 and _seal(kept) == seal
    except (ValueError, KeyError, TypeError, IndexError) as error:  # ValueError: also bytes that are no text
        raise _damaged() from error
    if form != FORMAT:
        raise CheckpointError(
            f"these lines are a run exported in format {form}, or they are damaged; this version of Loom reads "
            f"format {FORMAT}. Nothing was imported"
        )
    if not is_sound:
        raise _damaged()
    return kept


def _about(line: str) -> dict[str, Any]:
    """Parse the line that describes the run."""
    about: dict[str, Any] = from_json(line)
    wanted = {"run_id": str, "graph": str, "status": str, "header": dict}
    if any(type(about.get(name)) is not kind for name, kind in wanted.items()) or about["status"] not in STATUSES:
        raise _damaged()  # or made by hand
    return about


def _damaged() -> CheckpointError:
    return CheckpointError(
        "these lines are no exported run, or they are damaged or cut off; export the run again. Nothing was imported"
    )


async def _add(store: Checkpointer, journal: Journal, graph: str, *, parent: str | None) -> None:
    """Add a run as it stands, or nothing.

    The last record of a run that has ended is its end, committed with the status, which gives the claim back.
    """
    is_open = journal.status == "running"
    records = journal.records if is_open else journal.records[:-1]
    claim = await store.create(journal.run_id, graph, journal.header, records, parent=parent)
    try:
        if is_open:
            await store.release(claim)
        else:
            await store.append(claim, journal.records[-1:], journal.status)
    except BaseException:
        with suppress(LoomError):
            await store.release(claim)
            await store.delete(journal.run_id)
        raise
