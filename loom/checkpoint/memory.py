"""Runs kept in memory: for tests, and for graphs whose runs need not outlive the process."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from loom.core.journal import Claim, Journal
from loom.core.result import RunInfo, Status
from loom.errors import RunConflictError, RunExistsError, RunNotFoundError


@dataclass(slots=True)
class _Run:
    graph: str
    header: bytes
    records: list[bytes]
    status: Status = "running"
    token: int = 1
    created_at: float = field(default_factory=time.time)
    updated_at: float = 0.0


class MemoryCheckpointer:
    """Keep runs in this process. `keep_finished` drops the oldest completed runs above that number."""

    def __init__(self, *, keep_finished: int | None = None) -> None:
        self._keep_finished = keep_finished
        self._runs: dict[str, _Run] = {}
        self._finished: dict[str, None] = {}

    async def create(self, run_id: str, graph: str, header: bytes, records: Sequence[bytes]) -> Claim:
        if run_id in self._runs:
            raise RunExistsError(f'run "{run_id}" exists already; choose another id, or resume it')
        self._runs[run_id] = _Run(graph, header, list(records))
        return Claim(run_id, token=1, head=len(records))

    async def claim(self, run_id: str, head: int) -> Claim:
        run = self._run(run_id)
        if len(run.records) != head:
            raise RunConflictError(f'run "{run_id}" went on while it was read; read it again')
        run.token += 1
        run.status = "running"
        self._finished.pop(run_id, None)
        return Claim(run_id, run.token, head)

    async def append(self, claim: Claim, records: Sequence[bytes], status: Status = "running") -> None:
        run = self._run(claim.run_id)
        if run.token != claim.token or len(run.records) != claim.head:
            raise RunConflictError(f'run "{claim.run_id}" was taken over by another owner; this one stops')
        run.records += records
        claim.head = len(run.records)
        if status != "running":
            run.status = status
            run.token += 1
            run.updated_at = time.time()
            if status == "completed":
                self._finished[claim.run_id] = None
                self._drop_oldest()

    async def read(self, run_id: str, start: int = 0) -> Journal:
        run = self._run(run_id)
        return Journal(run_id, run.header, run.records[start:], run.status)

    async def runs(self, *, status: Status | None = None, graph: str | None = None) -> list[RunInfo]:
        return [
            RunInfo(run_id, run.status, run.graph, run.created_at, run.updated_at or run.created_at)
            for run_id, run in reversed(self._runs.items())
            if status in (None, run.status) and graph in (None, run.graph)
        ]

    async def delete(self, run_id: str) -> None:
        self._run(run_id)
        del self._runs[run_id]
        self._finished.pop(run_id, None)

    async def close(self) -> None:
        """Do nothing: nothing is held open."""

    def _run(self, run_id: str) -> _Run:
        if run_id not in self._runs:
            raise RunNotFoundError(f'no run "{run_id}" in memory; this store holds {len(self._runs)} runs')
        return self._runs[run_id]

    def _drop_oldest(self) -> None:
        if self._keep_finished is None:
            return
        while len(self._finished) > self._keep_finished:
            oldest = next(iter(self._finished))
            del self._finished[oldest]
            del self._runs[oldest]
