"""The executor: drives one walk of a run from its claim to its end."""

import asyncio
from typing import Any

import anyio

from loom.core.result import GraphResult, Status
from loom.core.state import state_from
from loom.errors import NodeError, NoEdgeError
from loom.runs.past import Past
from loom.runs.run import Run
from loom.runs.walker import Walker

# Any, in this module: the state, whose type is the user's.


class Executor:
    """One walk of one run, from a claim to its end."""

    def __init__(self, run: Run, past: Past) -> None:
        self._run = run
        self._past = past
        self._walker = Walker(run, past, place="")

    async def drive(self) -> GraphResult[Any]:
        """Walk on to the end, a stop or a failure. A walk that is over gives its result.

        Raises:
            AnswerError: an answer was none of the type that its node asked for; its ask is open again.
            NodeError: a node failed after its retries; siblings that failed too are notes on it.
            NoEdgeError: no way of a switch was open.
            RunConflictError: another owner took the run over.
            CheckpointError: the store failed.
        """
        try:
            return await self._drive()
        finally:
            await self._run.release()

    async def _drive(self) -> GraphResult[Any]:
        run, walk, refused = self._run, self._past.walk, self._past.totals.refused
        try:
            if run.scope is None:
                await self._walker.walk_on()
            else:
                with run.scope:
                    await self._walker.walk_on()
        except (NodeError, NoEdgeError) as error:
            for one in refused:
                error.add_note(f"An answer was refused: {one}")
            await run.end("failed", error=str(error), node=error.node)
            raise
        except asyncio.CancelledError:
            if run.is_claimed:  # else it came just after the end
                with anyio.CancelScope(shield=True):
                    await run.end("cancelled")
            raise
        if run.is_cancelled and walk.live:
            await run.end("cancelled")
            return self._result("cancelled")
        if walk.live and self._walker.is_asked_to_end():  # and a node swallowed it
            with anyio.CancelScope(shield=True):
                await run.end("cancelled")
            raise asyncio.CancelledError
        status = await self._end()
        if refused:
            for one in refused[1:]:
                refused[0].add_note(f"So was another answer: {one}")
            raise refused[0]
        return self._result(status)

    async def _end(self) -> Status:
        """Save how the walk ended by itself."""
        run = self._run
        if run.stop_reason:
            await run.end("stopped", reason=run.stop_reason)
            return "stopped"
        if run.is_paused:
            await run.end("paused", asks=[ask.id for ask in run.totals.waiting()] or None)
            return "paused"
        if self._past.totals.status != "completed":
            await run.end("completed")
        return "completed"

    async def cancel(self) -> GraphResult[Any]:
        """End the run before anything starts. One that is over stays so."""
        if self._past.totals.status == "completed":
            return self._result("completed")
        try:
            await self._run.end("cancelled")
        finally:
            await self._run.release()
        return self._result("cancelled")

    def _result(self, status: Status) -> GraphResult[Any]:
        totals, walk = self._past.totals, self._past.walk
        return GraphResult(
            run_id=self._run.run_id,
            status=status,
            state=state_from(walk.plan.state, walk.view()),
            steps=totals.seq,
            usage=totals.usage,
            asks=tuple(totals.waiting()) if status == "paused" else (),
            stop_reason=self._run.stop_reason,
            duration_s=self._run.duration_s,
        )
