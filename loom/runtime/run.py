"""One run of an agent, under way or over."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import anyio

from loom.core.result import GraphResult
from loom.errors import AnswerError, ConfigError
from loom.graphs.agent import AgentState
from loom.runs.handle import has_running_loop
from loom.runtime.engine import FALLBACK, Engine
from loom.runtime.failures import known
from loom.runtime.records import Artifact, RunContext, RunResult, RunState, artifacts_in
from loom.types.content import MessageContent, text_of
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
from loom.types.usage import Usage

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
    ) -> None:
        if context is not None and not isinstance(context, RunContext):
            raise ConfigError(f"context must be RunContext, got {type(context).__name__}")
        if not has_running_loop():
            raise ConfigError("a run needs a running asyncio loop; begin it in async code, or use agent.run_sync(…)")
        self.prompt = prompt
        self.context = context or RunContext()
        self.session_id = session_id
        self.run_id = engine.run_id(session_id)
        self._engine = engine
        self._said = self.context.to_text(engine.without_secrets)
        self._turn = engine.turn(session_id or self.run_id)
        self._graph_run: GraphRun[AgentState] | None = None
        self._later_walk: anyio.CancelScope | None = None
        self._has_begun = asyncio.Event()
        self._is_cancelled = False
        self._state = RunState.QUEUED
        self._task = self._in_background(self._drive())

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
        """Ask the run to end now; `wait` then gives the state `cancelled`. What was finished is kept.

        A call of a tool that writes has `Limits(grace_s=…)` seconds to end.
        """
        self._is_cancelled = True
        if self._graph_run:
            self._graph_run.cancel()
        if self._later_walk:
            self._later_walk.cancel()

    async def answer(self, answers: Mapping[str, Any]) -> RunResult:
        """Answer open asks by id, and go on; return how the run ends then.

        Raises:
            AnswerError: an ask is unknown or answered, or the answer is of the wrong type.
            ProviderError, ContextOverflowError, NodeError: as `wait`.
        """
        await self.wait()
        self._task = task = self._in_background(self._go_on(answers, self._task, self._state))
        return await asyncio.shield(task)

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
        return self._engine.without_secrets(
            {
                "run_id": self.run_id,
                "session_id": self.session_id,
                "state": str(self._state),
                "prompt": text_of(self.prompt),
                "context": self.context.to_payload(),
                "output": output,
                "events": [event.model_dump(mode="json") for event in events],
                "artifacts": [one.model_dump(mode="json") for one in artifacts_in(events, output)],
            }
        )

    async def stream(self) -> AsyncGenerator[StreamEvent, None]:
        """Yield what the model says and what its tools give, piece by piece; last how it ended, be it in a failure."""
        try:
            async with contextlib.aclosing(self.events()) as told:
                async for event in told:
                    for shown in _shown(event):
                        yield shown
            result = await self.wait()
        except Exception as error:  # noqa: BLE001 - the stream's last word, whatever it was
            yield ErrorEvent(message=str(error))
            return
        well = FALLBACK if result.is_fallback else "success"
        status = well if result.state is RunState.COMPLETED else result.stop_reason or str(result.state)
        turns = sum(event.type == "model.finished" and event.payload["node"] == "reason" for event in result.events)
        yield DoneEvent(output=result.output, iterations=turns, status=status)

    # How it goes on.

    def _in_background(self, work: Coroutine[None, None, RunResult]) -> asyncio.Task[RunResult]:
        task = asyncio.create_task(work, name=f"loom agent run {self.run_id}")
        self._engine.at_work.add(self)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[RunResult]) -> None:
        if task is self._task:
            self._engine.at_work.discard(self)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain where nobody waits for the run

    async def _drive(self) -> RunResult:
        try:
            async with self._turn:
                number, history = await self._engine.opening(self.session_id)
                given: dict[str, object] = {"prompt": self.prompt, "context": self._said}
                given |= {"session": self.session_id or "", "number": number}
                runtime = self._engine.runtime(history)
                self._graph_run = self._engine.app.start(given, run_id=self.run_id, runtime=runtime)
                self._state = RunState.RUNNING
                self._has_begun.set()
                if self._is_cancelled:
                    self._graph_run.cancel()
                async with self._observed(self._graph_run):
                    return self._ended(await result_of(self._engine, await self._graph_run.wait()))
        except Exception as error:  # noqa: BLE001 - raised again below, as callers know it
            self._state, failure = RunState.FAILED, known(error, self._engine.secrets)
        except asyncio.CancelledError:
            self._state = RunState.CANCELLED
            raise
        finally:
            self._has_begun.set()
        raise failure

    @contextlib.asynccontextmanager
    async def _observed(self, graph_run: "GraphRun[AgentState]") -> AsyncGenerator[None, None]:
        """Have the telemetry follow the run, to its end."""
        if (telemetry := self._engine.telemetry) is None:
            yield
            return

        async def observe() -> None:
            async for event in graph_run.events():
                telemetry.observe(event, conversation=self.session_id or "")

        observing = asyncio.create_task(observe())
        try:
            yield
        finally:
            await observing

    async def _go_on(
        self, answers: Mapping[str, Any], before: "asyncio.Task[RunResult]", state_before: RunState
    ) -> RunResult:
        try:
            with anyio.CancelScope() as self._later_walk:
                self._state = RunState.RUNNING
                return self._ended(await result_of(self._engine, await self._engine.resume(self.run_id, answers)))
            return self._ended(await cancelled(self._engine, self.run_id))
        except AnswerError as error:  # the run still waits
            self._state, self._task, failure = state_before, before, known(error, self._engine.secrets)
        except Exception as error:  # noqa: BLE001 - raised again below, as callers know it
            self._state, failure = RunState.FAILED, known(error, self._engine.secrets)
        except asyncio.CancelledError:
            self._state = RunState.CANCELLED
            raise
        raise failure

    def _ended(self, result: RunResult) -> RunResult:
        self._state = result.state
        return result

    def _known(self) -> RunResult | None:
        """Return the result, if there is one by now."""
        if self._task.done() and not self._task.cancelled() and self._task.exception() is None:
            return self._task.result()
        return None

    async def _told(self) -> list[Event]:
        return (await self._engine.told(self.run_id))() if self._graph_run else []


@contextlib.asynccontextmanager
async def attended(run: Run) -> AsyncGenerator[Run, None]:
    """Give a run that nobody else knows of: when whoever attends to it leaves, it ends, and no task is left behind."""
    try:
        yield run
    finally:
        run.cancel()
        with anyio.CancelScope(shield=True):
            await run.settled()


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


async def cancelled(engine: Engine, run_id: str) -> RunResult:
    """Return the result of a run whose walk was cancelled from outside, as it is saved."""
    tell, state = await engine.told(run_id), await engine.state(run_id)
    used = [Usage(**event.payload["usage"]) for event in tell() if event.type == "model.finished"]
    usage = sum(used, Usage())
    return RunResult(run_id=run_id, state=RunState.CANCELLED, output=state.output, usage=usage, tell=tell)


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
                tool_call_id=payload["call"],
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
