"""Runs kept in memory: for tests, and for graphs whose runs need not outlive the process."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from loom.core.journal import Claim, Journal
from loom.core.result import RunInfo, Status
from loom.errors import RunConflictError, RunExistsError, RunNotFoundError
from loom.runs.given import check_filter
from loom.types.given import check_count

_TOKENS = count(1)  # no two claims of this process have the same, whatever the id of their runs


@dataclass(slots=True)
class _Run:
    graph: str
    header: bytes
    records: list[bytes]
    parent: str | None
    status: Status = "running"
    token: int = field(default_factory=_TOKENS.__next__)
    is_claimed: bool = True
    snapshot: bytes | None = None
    snapshot_at: int = 0
    created_at: float = field(default_factory=time.time)
    updated_at: float = 0.0

    def __post_init__(self) -> None:
        self.updated_at = self.created_at


class MemoryCheckpointer:
    """Keep runs in this process. `keep_finished` drops the oldest completed runs above that number.

    A claim lasts until it is given back: nobody but this process could hold one.
    """

    def __init__(self, *, keep_finished: int | None = None) -> None:
        if keep_finished is not None:
            check_count("MemoryCheckpointer(keep_finished=…)", keep_finished, least=0)
        self._keep_finished = keep_finished
        self._runs: dict[str, _Run] = {}
        self._finished: OrderedDict[str, None] = OrderedDict()

    async def create(
        self, run_id: str, graph: str, header: bytes, records: Sequence[bytes], *, parent: str | None = None
    ) -> Claim:
        if run_id in self._runs:
            raise RunExistsError(f'run "{run_id}" exists already; choose another id, or resume it')
        self._runs[run_id] = run = _Run(graph, header, list(records), parent)
        return Claim(run_id, run.token, head=len(records))

    async def claim(self, run_id: str, head: int, records: Sequence[bytes]) -> Claim:
        run = self._free(run_id)
        if len(run.records) != head:
            raise RunConflictError(f'run "{run_id}" went on while it was read; resume it again')
        run.token = next(_TOKENS)
        run.status, run.is_claimed = "running", True
        run.records += records
        run.updated_at = time.time()
        self._finished.pop(run_id, None)
        return Claim(run_id, run.token, len(run.records))

    async def append(
        self, claim: Claim, records: Sequence[bytes], status: Status = "running", snapshot: bytes | None = None
    ) -> None:
        run = self._runs.get(claim.run_id)
        if run is None or run.token != claim.token or len(run.records) != claim.head:
            raise RunConflictError(f'run "{claim.run_id}" was taken over by another owner, or deleted; this one stops')
        run.records += records
        run.updated_at = time.time()
        claim.head = len(run.records)
        if snapshot is not None:
            run.snapshot, run.snapshot_at = snapshot, claim.head
        if status != "running":
            run.status, run.is_claimed = status, False
            run.token = next(_TOKENS)
            if status == "completed":
                self._finished[claim.run_id] = None
                self._drop_oldest()

    async def release(self, claim: Claim) -> None:
        run = self._runs.get(claim.run_id)
        if run and run.token == claim.token:
            run.is_claimed = False
            run.updated_at = time.time()

    async def read(self, run_id: str, start: int = 0, *, from_snapshot: bool = False) -> Journal:
        run = self._run(run_id)
        if from_snapshot and run.snapshot:
            return Journal(
                run_id, run.header, run.records[run.snapshot_at :], run.status, run.snapshot_at, run.snapshot
            )
        return Journal(run_id, run.header, run.records[start:], run.status, start)

    async def runs(self, *, status: Status | None = None, graph: str | None = None) -> list[RunInfo]:
        check_filter(status, graph)
        return [
            RunInfo(run_id, run.status, run.graph, run.created_at, run.updated_at, run.parent)
            for run_id, run in reversed(self._runs.items())
            if status in (None, run.status) and graph in (None, run.graph)
        ]

    async def delete(self, run_id: str) -> None:
        self._free(run_id)
        del self._runs[run_id]
        self._finished.pop(run_id, None)

    async def close(self) -> None:
        """Do nothing: nothing is held open."""

    def _run(self, run_id: str) -> _Run:
        if run_id not in self._runs:
            raise RunNotFoundError(f'no run "{run_id}" in memory; runs in this store: {len(self._runs)}')
        return self._runs[run_id]

    def _free(self, run_id: str) -> _Run:
        run = self._run(run_id)
        if run.is_claimed:
            raise RunConflictError(f'run "{run_id}" is at work in this process; wait for it or cancel it')
        return run

    def _drop_oldest(self) -> None:
        if self._keep_finished is None:
            return
        while len(self._finished) > self._keep_finished:
            oldest, _ = self._finished.popitem(last=False)
            del self._runs[oldest]
