"""Moving runs between stores, and clearing them out: works with every store.

An exported run is JSON lines: the first describes the run, the others are its records as stored, the
last has a checksum over all of them, so that a file that was cut off is noticed.
"""

import json
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from pydantic_core import from_json

from loom.core.journal import FORMAT, Checkpointer, Journal, decode
from loom.core.result import RunInfo, Status
from loom.errors import CheckpointError

# Any, in this module: parsed JSON.


async def export_run(store: Checkpointer, run_id: str) -> AsyncIterator[str]:
    """Yield a run as lines of JSON, without line ends.

    Raises:
        RunNotFoundError: the store has no run of this id.
    """
    journal = await store.read(run_id)
    header = from_json(journal.header)
    about = {"loom_run": FORMAT, "run_id": run_id, "graph": header["graph"], "status": journal.status, "header": header}
    checksum = 0
    for line in (json.dumps(about, ensure_ascii=False), *(record.decode() for record in journal.records)):
        checksum = zlib.crc32(line.encode(), checksum)
        yield line
    yield json.dumps({"records": len(journal.records), "checksum": checksum})


async def import_run(store: Checkpointer, lines: Iterable[str], *, run_id: str | None = None) -> str:
    """Add an exported run to a store, under its own id or `run_id`; return the id.

    A run that was at work when it was exported can be resumed.

    Raises:
        CheckpointError: the lines are no exported run, are damaged, or end early.
        RunExistsError: the store has a run of this id.
    """
    first, *records, _ = _checked(lines)
    about = from_json(first)
    new_id = run_id or about["run_id"]
    for record in records:
        decode(record.encode(), new_id)
    header = json.dumps(about["header"], ensure_ascii=False, separators=(",", ":")).encode()
    bodies = [record.encode() for record in records]
    await _add(store, Journal(new_id, header, bodies, about["status"]), about["graph"], parent=None)
    return str(new_id)


async def copy_run(source: Checkpointer, run_id: str, target: Checkpointer, *, new_id: str | None = None) -> str:
    """Copy a run to another store, or under another id within one; return the id of the copy.

    Raises:
        RunNotFoundError: the source has no run of this id.
        RunExistsError: the target has a run of the copy's id.
    """
    journal = await source.read(run_id)
    copy = Journal(new_id or run_id, journal.header, journal.records, journal.status)
    await _add(target, copy, from_json(journal.header)["graph"], parent=run_id if new_id else None)
    return copy.run_id


async def prune(
    store: Checkpointer,
    *,
    older_than_s: float,
    statuses: Sequence[Status] = ("completed",),
    clock: Callable[[], float] = time.time,
) -> list[str]:
    """Delete runs of these statuses that have not changed for so many seconds; return their ids, oldest first."""
    now = clock()
    old: list[RunInfo] = [
        run for run in await store.runs() if run.status in statuses and now - run.updated_at > older_than_s
    ]
    for run in sorted(old, key=lambda run: run.updated_at):
        await store.delete(run.run_id)
    return [run.run_id for run in sorted(old, key=lambda run: run.updated_at)]


def _checked(lines: Iterable[str]) -> list[str]:
    checksum, damage = 0, None
    try:
        kept = [line.rstrip("\n") for line in lines if line.strip()]
        for line in kept[:-1]:
            checksum = zlib.crc32(line.encode(), checksum)
        about, end = from_json(kept[0]), from_json(kept[-1])
        if about["loom_run"] == FORMAT and end["checksum"] == checksum:
            return kept
    except (ValueError, KeyError, TypeError, IndexError) as error:  # ValueError: also bytes that are no text
        damage = error
    raise CheckpointError(
        "these lines are no exported run, or they are damaged or cut off; export the run again"
    ) from damage


async def _add(store: Checkpointer, journal: Journal, graph: str, *, parent: str | None) -> None:
    """Add a run as it stands: the last record is committed with the status, which ends the claim."""
    *records, last = journal.records
    claim = await store.create(journal.run_id, graph, journal.header, records, parent=parent)
    await store.append(claim, [last], journal.status)
    if journal.status == "running":
        await store.release(claim)
