"""One walk of an agent's run, in the background, and what is shown of it to those who read along."""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

import anyio

from loom.core.result import GraphResult
from loom.errors import RunError
from loom.graphs.agent import AgentState
from loom.runs.handle import GraphRun, has_running_loop
from loom.runtime.engine import Engine
from loom.runtime.failures import known
from loom.runtime.records import RunResult, RunState, is_unfinished
from loom.runtime.turn import say_unawaited
from loom.types.events import Event
from loom.types.stream import (
    DoneEvent,
    ErrorEvent,
    ModelDelta,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEvent,
    ToolResultEvent,
)

Opened = contextlib.AbstractAsyncContextManager[GraphRun[AgentState]]

DELTAS: Mapping[str, type[ModelDelta]] = {
    "text_delta": TextDelta,
    "thinking": ThinkingDelta,
    "tool_call_delta": ToolCallDelta,
}


class AgentWalk:
    """A run's first walk, or one more that goes on where another, `before`, has ended.

    `before` is None from the moment that this walk has begun. One that could not begin, as its answers were of the
    wrong type or it was cancelled before its turn, changed nothing: the one before is still how the run stands.
    `on_begin` is called with it once it has begun.

    It is at work in the event loop that it was made in. Others may cancel it and wait until it is over.
    """

    def __init__(
        self,
        engine: Engine,
        run_id: str,
        opened: Opened,
        *,
        before: "AgentWalk | None" = None,
        on_begin: "Callable[[AgentWalk], None] | None" = None,
    ) -> None:
        self.state = RunState.RUNNING if before else RunState.QUEUED
        self.before = before
        self.graph_run: GraphRun[AgentState] | None = None
        self._engine = engine
        self._run_id = run_id
        self._on_begin = on_begin
        self._loop = asyncio.get_running_loop()
        self._is_over = concurrent.futures.Future[None]()
        self._is_cancelled = self.is_attended = False
        self._waiting = anyio.CancelScope()
        self._has_handle = asyncio.Event()  # or never will
        self.task = asyncio.create_task(self._drive(opened), name=f"loom agent run {run_id}")
        self.task.add_done_callback(self._over)
        engine.at_work.add(self)

    @property
    def was_refused(self) -> bool:
        """Tell whether the walk is over and never began."""
        return self.before is not None and self.task.done()

    @property
    def result(self) -> RunResult | None:
        """How it ended, if it has ended in a result by now."""
        if self.task.done() and not self.task.cancelled() and self.task.exception() is None:
            return self.task.result()
        return None

    async def wait(self) -> RunResult:
        """Return how it ended; raise what it raised. Cancelling the waiter leaves the run alone."""
        self._refuse_another_loop()
        return await asyncio.shield(self.task)

    async def settled(self) -> None:
        """Wait until nothing of it is at work any more, however it ended, in whatever loop it was."""
        if asyncio.get_running_loop() is self._loop:
            await asyncio.wait([self.task])
        elif not self._loop.is_closed():
            await asyncio.shield(asyncio.wrap_future(self._is_over))

    def cancel(self) -> None:
        """Ask it to end now, from any thread. After its end this changes nothing."""
        if has_running_loop() and asyncio.get_running_loop() is self._loop:
            self._cancel()
        elif not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # it was closed just now, so nothing is at work
                self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._is_cancelled = True
        self._waiting.cancel()
        if self.graph_run:
            self.graph_run.cancel()

    def _refuse_another_loop(self) -> None:
        if not self.task.done() and asyncio.get_running_loop() is not self._loop:
            raise RunError(
                f'run "{self._run_id}" is at work in another event loop; await and read it there, where it was begun'
            )

    async def in_force(self) -> "AgentWalk":
        """Return this walk once it has begun; the one before if it could not."""
        self._refuse_another_loop()
        before = self.before
        await self._has_handle.wait()
        if before is None or (self.graph_run and await self.graph_run.begun()):
            return self
        await self.settled()
        return before

    async def events(self, after: int | None) -> AsyncGenerator[Event, None]:
        """Yield the run's events with offsets above `after`, to the end of this walk; None leaves out earlier walks."""
        self._refuse_another_loop()
        await self._has_handle.wait()
        if self.graph_run:
            async with contextlib.aclosing(self.graph_run.events(after)) as told:
                async for event in told:
                    yield event

    async def stream(self, after: int | None) -> AsyncGenerator[StreamEvent, None]:
        """Yield what the model says and what its tools give, piece by piece; last how it ended, be it in a failure."""
        try:
            async with contextlib.aclosing(self.events(after)) as told:
                async for event in told:
                    for shown in _shown(event):
                        yield shown
            result = await self.wait()
        except Exception as error:  # noqa: BLE001 - the stream's last word, whatever it was
            yield ErrorEvent(message=str(error))
            return
        well = result.finish_reason if is_unfinished(result.finish_reason) else "success"
        status = well if result.state is RunState.COMPLETED else result.stop_reason or str(result.state)
        turns = sum(event.type == "model.finished" and event.payload["node"] == "reason" for event in result.events)
        yield DoneEvent(output=result.output, iterations=turns, status=status)

    async def _drive(self, opened: Opened) -> RunResult:
        if not self.is_attended:
            say_unawaited()
        try:
            async with contextlib.AsyncExitStack() as stack:
                with self._waiting:  # for its turn
                    self.graph_run = await stack.enter_async_context(opened)
                self._has_handle.set()
                if not self.graph_run:
                    self.state = RunState.CANCELLED
                    return RunResult(self._run_id, self.state)
                if self._is_cancelled:
                    self.graph_run.cancel()
                self.state = RunState.RUNNING
                if await self.graph_run.begun():
                    self.before = None
                    if self._on_begin:
                        self._on_begin(self)
                result = await _result_of(self._engine, await self.graph_run.wait())
                self.state = result.state
                return result
        except Exception as error:  # noqa: BLE001 - raised again below, as callers know it
            self.state, failure = RunState.FAILED, known(error, self._engine.secrets)
        except asyncio.CancelledError:
            self.state = RunState.CANCELLED
            raise
        finally:
            self._has_handle.set()
        raise failure

    def _over(self, task: asyncio.Task[RunResult]) -> None:
        self._engine.at_work.discard(self)
        self._is_over.set_result(None)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain where nobody waits for the run


@contextlib.asynccontextmanager
async def attended(walk: AgentWalk) -> AsyncGenerator[AgentWalk, None]:
    """Give a walk that nobody else attends to: when whoever does leaves, it ends, and no task is left behind."""
    walk.is_attended = True
    try:
        yield walk
    finally:
        walk.cancel()
        with anyio.CancelScope(shield=True):
            await walk.settled()


async def _result_of(engine: Engine, result: GraphResult[AgentState]) -> RunResult:
    """Return the result of the graph as that of an agent's run."""
    return RunResult(
        run_id=result.run_id,
        state=RunState(result.status),
        output=result.state.output,
        duration_ms=round(result.duration_s * 1000),
        usage=result.usage,
        asks=result.asks,
        stop_reason=result.stop_reason,
        finish_reason=result.state.finish_reason,
        tell=await engine.told(result.run_id),
    )


def _shown(event: Event) -> Iterator[StreamEvent]:
    """Yield what is shown of an event to those who read along; mostly nothing."""
    payload = event.payload
    match event.type:
        case "model.delta":
            kind = DELTAS[payload["type"]]
            yield kind(**{name: value for name, value in payload.items() if name in kind.model_fields})
        case "step.finished" if payload["node"] == "reason":
            for call in payload["writes"]["calls"]:
                yield ToolCallEvent(**call)
        case "tool.finished":
            yield ToolResultEvent(
                tool_call_id=payload["call_id"],
                name=payload["tool"],
                content=payload["content"],
                is_error=payload["is_error"],
            )
        case "veto.denied":
            yield ToolResultEvent(
                tool_call_id=payload["call_id"], name=payload["tool"], content=payload["reason"], is_error=True
            )
        case _:
            pass
