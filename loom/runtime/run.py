"""One run of an agent, under way or over."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from loom.core.result import GraphResult
from loom.errors import ContextError, NodeError, ProviderError
from loom.graphs.agent import AgentState
from loom.runtime.engine import FALLBACK, Engine
from loom.runtime.records import Artifact, RunContext, RunResult, RunState, artifacts_in
from loom.types.content import MessageContent, text_of
from loom.types.events import Event
from loom.types.messages import Message
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

if TYPE_CHECKING:
    from loom.runs.handle import GraphRun

DELTAS: Mapping[str, type[ModelDelta]] = {
    "text_delta": TextDelta,
    "thinking": ThinkingDelta,
    "tool_call_delta": ToolCallDelta,
}


class Run:
    """A run that goes on by itself from the moment it is made, in the running event loop."""

    def __init__(
        self,
        engine: Engine,
        prompt: MessageContent,
        context: RunContext | None = None,
        *,
        session_id: str | None = None,
        turn: AbstractAsyncContextManager[object] | None = None,
    ) -> None:
        self.prompt = prompt
        self.context = context or RunContext()
        self.session_id = session_id
        self.run_id = engine.run_id(session_id)
        self._turn = turn or contextlib.nullcontext()
        self._engine = engine
        self._said = self.context.to_text()
        self._graph_run: GraphRun[AgentState] | None = None
        self._has_begun = asyncio.Event()
        self._is_cancelled = False
        self._state = RunState.QUEUED
        self._task = asyncio.create_task(self._drive(), name=f"loom agent run {self.run_id}")
        self._task.add_done_callback(_seen)

    def __repr__(self) -> str:
        return f"<run {self.run_id}, {self._state}>"

    @property
    def state(self) -> RunState:
        """How far the run has come."""
        return self._state

    async def wait(self) -> RunResult:
        """Return how the run ended, or where it waits. Cancelling the waiter leaves the run alone.

        Raises:
            ProviderError: the model's provider refused, failed or could not be reached.
            ContextOverflowError: the conversation does not fit the model's window.
            NodeError: something else failed; the run can be resumed.
        """
        return await asyncio.shield(self._task)

    async def settled(self) -> None:
        """Wait until nothing of the run is at work any more, however it ended."""
        await asyncio.wait([self._task])

    def cancel(self) -> None:
        """Ask the run to end now; `wait` then gives the state `cancelled`. What was finished is kept."""
        self._is_cancelled = True
        if self._graph_run:
            self._graph_run.cancel()

    async def answer(self, answers: Mapping[str, Any]) -> RunResult:
        """Answer open asks by id, and go on; return how the run ends then.

        Raises:
            AnswerError: an ask is unknown or answered, or the answer is of the wrong type.
            ProviderError, ContextOverflowError, NodeError: as `wait`.
        """
        await self.wait()
        self._task = asyncio.create_task(self._go_on(answers))
        self._task.add_done_callback(_seen)
        return await self.wait()

    async def events(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """Yield what happens, live and in one order for every reader, to the end of this walk of the run."""
        await self._has_begun.wait()
        if self._graph_run:
            told = self._graph_run.events(after)
            async with contextlib.aclosing(told):
                async for event in told:
                    yield event

    async def artifacts(self) -> list[Artifact]:
        """Return what the run has made so far."""
        result = self._known()
        return artifacts_in(await self._told(), result.output if result else "")

    async def transcript(self) -> dict[str, Any]:
        """Return everything that is known of the run, as JSON."""
        result, events = self._known(), await self._told()
        output = result.output if result else ""
        return {
            "run_id": self.run_id,
            "session_id": self.session_id,
            "state": str(self._state),
            "prompt": text_of(self.prompt),
            "context": self.context.to_payload(),
            "output": output,
            "events": [event.model_dump(mode="json") for event in events],
            "artifacts": [one.model_dump(mode="json") for one in artifacts_in(events, output)],
        }

    async def stream(self) -> AsyncGenerator[StreamEvent, None]:
        """Yield what the model says and what its tools give, piece by piece; last how it ended, be it in a failure."""
        told = self.events()
        async with contextlib.aclosing(told):
            async for event in told:
                if (shown := _shown(event)) is not None:
                    yield shown
        try:
            result = await self.wait()
        except Exception as error:  # noqa: BLE001 - the stream's last word, whatever it was
            yield ErrorEvent(message=str(error))
            return
        status = "success" if result.state is RunState.COMPLETED else result.stop_reason or str(result.state)
        turns = sum(event.type == "model.finished" for event in result.events)
        yield DoneEvent(output=result.output, iterations=turns, status=status)

    # How it goes on.

    async def _drive(self) -> RunResult:
        try:
            async with self._turn:
                history = await self._history()
                given = {"prompt": self.prompt, "context": self._said, "session": self.session_id or ""}
                runtime = self._engine.runtime(history)
                self._graph_run = self._engine.app.start(given, run_id=self.run_id, runtime=runtime)
                self._state = RunState.RUNNING
                self._has_begun.set()
                if self._is_cancelled:
                    self._graph_run.cancel()
                return await self._ended(self._graph_run.wait())
        finally:
            self._has_begun.set()

    async def _go_on(self, answers: Mapping[str, Any]) -> RunResult:
        async with self._turn:
            runtime = self._engine.runtime(await self._history())
            self._state = RunState.RUNNING
            return await self._ended(self._engine.app.resume(self.run_id, answers=answers, runtime=runtime))

    async def _history(self) -> list[Message]:
        return await self._engine.history(self.session_id, self.run_id) if self.session_id else []

    async def _ended(self, ending: Any) -> RunResult:  # noqa: ANN401 - an awaitable of a graph's result
        try:
            result: GraphResult[AgentState] = await ending
        except BaseException as error:
            self._state = RunState.CANCELLED if isinstance(error, asyncio.CancelledError) else RunState.FAILED
            raise_as_itself(error)
            raise
        found = await result_of(self._engine, result)
        self._state = found.state
        return found

    def _known(self) -> RunResult | None:
        """Return the result, if there is one by now."""
        if self._task.done() and not self._task.cancelled() and self._task.exception() is None:
            return self._task.result()
        return None

    async def _told(self) -> list[Event]:
        return (await self._engine.told(self.run_id))() if self._graph_run else []


def _seen(task: "asyncio.Task[RunResult]") -> None:
    """Look at the error of a run that nobody waits for, so that asyncio does not complain of it."""
    if not task.cancelled():
        task.exception()


def raise_as_itself(error: BaseException) -> None:
    """Raise what made a node fail where callers know it by name: the provider's error, a full window."""
    if isinstance(error, NodeError) and isinstance(error.__cause__, ProviderError | ContextError):
        raise error.__cause__ from error


async def result_of(engine: Engine, result: GraphResult[AgentState]) -> RunResult:
    """Return the result of the graph as that of an agent's run."""
    is_cut = result.status == "completed" and bool(result.state.calls)
    return RunResult(
        run_id=result.run_id,
        state=RunState.STOPPED if is_cut else RunState(result.status),
        output=result.state.output,
        duration_ms=round(result.duration_s * 1000),
        usage=result.usage,
        asks=result.asks,
        stop_reason="max_iterations" if is_cut else result.stop_reason,
        is_fallback=result.state.finish_reason == FALLBACK,
        tell=await engine.told(result.run_id),
    )


def _shown(event: Event) -> StreamEvent | None:
    payload = event.payload
    match event.type:
        case "model.delta":
            kind = DELTAS[payload["type"]]
            return kind(**{name: value for name, value in payload.items() if name in kind.model_fields})
        case "tool.started":
            return ToolCallEvent(id=payload["call"], name=payload["tool"], arguments=payload["arguments"])
        case "tool.finished":
            return ToolResultEvent(
                tool_call_id=payload["call"],
                name=payload["tool"],
                content=payload["content"],
                is_error=payload["is_error"],
            )
        case "veto.denied":
            return ToolResultEvent(
                tool_call_id=payload["call_id"], name=payload["tool"], content=payload["reason"], is_error=True
            )
        case _:
            return None
