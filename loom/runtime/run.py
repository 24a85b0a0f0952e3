"""One run of an agent, under way or over."""

import contextlib
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from loom.errors import ConfigError
from loom.runs.handle import has_running_loop
from loom.runtime.engine import Engine, SessionAtWork
from loom.runtime.records import Artifact, RunContext, RunResult, RunState, artifacts_in
from loom.runtime.walk import AgentWalk, attended
from loom.types.content import MessageContent
from loom.types.events import Event
from loom.types.stream import ErrorEvent, StreamEvent

# Any, in this module: JSON, and answers, whose types are those that were asked for.

_PROMPT: TypeAdapter[MessageContent] = TypeAdapter(MessageContent)


class Run:
    """A run that goes on by itself from the moment it is made, in the running event loop.

    It follows each walk of the run by this agent, also one that `agent.resume` began.
    """

    def __init__(
        self,
        engine: Engine,
        prompt: MessageContent,
        context: RunContext | None = None,
        *,
        session: SessionAtWork | None = None,
    ) -> None:
        if context is not None and not isinstance(context, RunContext):
            raise ConfigError(f"context must be RunContext, got {type(context).__name__}")
        if not has_running_loop():
            raise ConfigError("a run needs a running asyncio loop; begin it in async code, or use agent.run_sync(…)")
        self.prompt = _read(prompt)
        self.context = context or RunContext()
        self.session_id = session.id if session else None
        self.run_id = engine.memory.run_id(self.session_id)
        self._engine = engine
        said = self.context.to_text(engine.without_secrets)
        self._newest = AgentWalk(engine, self.run_id, engine.begun(self.run_id, session, self.prompt, said))
        engine.keep(self.run_id, self)

    def __repr__(self) -> str:
        return f"<run {self.run_id}, {self.state}>"

    @property
    def walk(self) -> AgentWalk:
        """The walk that is at work, else the last that was."""
        newest = self._newest
        return newest.before if newest.before and newest.was_refused else newest

    @property
    def state(self) -> RunState:
        """How far the run has come."""
        return self.walk.state

    async def wait(self) -> RunResult:
        """Return how the run ended, or where it waits. Cancelling the waiter leaves the run alone.

        Raises:
            ProviderError: the model's provider refused, failed or could not be reached.
            ContextOverflowError: the conversation does not fit the model's window.
            NodeError: something else failed; the run can be resumed.
        """
        return await (await self.walk.in_force()).wait()

    async def settled(self) -> None:
        """Wait until nothing of the run is at work any more, however it ended."""
        await self.walk.settled()

    def cancel(self) -> None:
        """Ask the run to end now; `wait` then gives the state `cancelled`. What was finished is kept.

        A call of a tool that writes has `Limits(grace_s=…)` seconds to end.
        """
        self.walk.cancel()

    def answer(self, answers: Mapping[str, Any]) -> Coroutine[Any, Any, RunResult]:
        """Answer open asks by id, and go on; what is awaited is how the run ends then.

        A run that waits goes on from the call on: events and streams that are opened after it are of what comes now.
        One that is still at work is answered once it waits. Cancelling the waiter leaves the run alone.

        Raises, when awaited:
            AnswerError: an ask is unknown or answered, or the answer is of the wrong type; the run still waits.
            ProviderError, ContextOverflowError, NodeError: as `wait`.
        """
        return self._answered(answers, self._go_on(answers) if self.walk.result else None)

    async def answer_streaming(self, answers: Mapping[str, Any]) -> AsyncGenerator[StreamEvent, None]:
        """Answer as `answer` does, and yield what comes after that, as `stream` does.

        Last is how the run ended, also where the answers are wrong: then with an `ErrorEvent`, and the run still
        waits. Who leaves the stream before its end cancels the run.
        """
        try:
            walk = await self._go_on_once_it_waits(answers)
        except Exception as error:  # noqa: BLE001 - the stream's last word, whatever it was
            yield ErrorEvent(message=str(error))
            return
        async with attended(walk), contextlib.aclosing(walk.stream(None)) as told:
            async for shown in told:
                yield shown

    async def events(self, after: int | None = 0) -> AsyncGenerator[Event, None]:
        """Yield what happens, live and in one order for every reader, to the end of this walk of the run.

        `after` is the offset of the last event that is not wanted; None leaves out what was before the newest answer.
        """
        walk = await self.walk.in_force()
        async with contextlib.aclosing(walk.events(after)) as told:
            async for event in told:
                yield event

    async def stream(self, after: int | None = 0) -> AsyncGenerator[StreamEvent, None]:
        """Yield what the model says and what its tools give, piece by piece; last how it ended, be it in a failure.

        `after` as in `events`. What the model said before the newest answer is told in whole results, not in pieces.
        """
        walk = await self.walk.in_force()
        async with contextlib.aclosing(walk.stream(after)) as told:
            async for shown in told:
                yield shown

    async def artifacts(self) -> list[Artifact]:
        """Return what the run has made so far."""
        result = self.walk.result
        return artifacts_in(await self._told(), result.output if result else "")

    async def transcript(self) -> dict[str, Any]:
        """Return everything that is known of the run, as JSON."""
        result, events = self.walk.result, await self._told()
        output = result.output if result else ""
        prompt = self.prompt if isinstance(self.prompt, str) else [block.model_dump() for block in self.prompt]
        return self._engine.without_secrets(
            {
                "run_id": self.run_id,
                "session_id": self.session_id,
                "state": str(self.state),
                "prompt": prompt,
                "context": self.context.to_payload(),
                "output": output,
                "events": [event.model_dump(mode="json") for event in events],
                "artifacts": [one.model_dump(mode="json") for one in artifacts_in(events, output)],
            }
        )

    def goes_on(self, walk: AgentWalk) -> None:
        """Learn of a walk that has begun."""
        self._newest = walk

    def _go_on(self, answers: Mapping[str, Any]) -> AgentWalk:
        opened = self._engine.resumed(self.run_id, answers, "raise", None)  # it is the agent that began the run
        self._newest = AgentWalk(self._engine, self.run_id, opened, before=self.walk, on_begin=self.goes_on)
        return self._newest

    async def _go_on_once_it_waits(self, answers: Mapping[str, Any]) -> AgentWalk:
        while self.walk.result is None:  # others may answer first
            await self.wait()
        return self._go_on(answers)

    async def _answered(self, answers: Mapping[str, Any], walk: AgentWalk | None) -> RunResult:
        return await (walk or await self._go_on_once_it_waits(answers)).wait()

    async def _told(self) -> list[Event]:
        is_saved = self.walk.before or self.walk.graph_run
        return (await self._engine.told(self.run_id))() if is_saved else []


def _read(prompt: object) -> MessageContent:
    """Return a prompt as it is saved and told; also one that can be read only once."""
    try:
        return _PROMPT.validate_python(prompt)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[-1]  # the first is only that it is no text
        where = "".join(f"{piece}: " for piece in found["loc"][1:2])
        raise ConfigError(
            "prompt must be a text, or a list of blocks of text, images and documents; "
            f"got {type(prompt).__name__}: {where}{found['msg']}"
        ) from None
