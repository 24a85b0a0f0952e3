"""The agent: one public face over the compiled graph."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from loom.config import AgentConfig, KnowledgeBundle, KnowledgeQuery
from loom.core.runtime import Runtime
from loom.errors import ConfigError
from loom.graphs.agent import AgentState
from loom.knowledge.bundle import resolve
from loom.runs.app import CompiledGraph
from loom.runs.changes import OnChange, Rename
from loom.runs.handle import has_running_loop
from loom.runtime.engine import Engine
from loom.runtime.records import RunContext, RunResult, SessionConfig
from loom.runtime.run import Run
from loom.runtime.session import Session
from loom.runtime.walk import AgentWalk, attended
from loom.tools.door import Door
from loom.tools.hooks import HookManager
from loom.types.absent import refused_attribute
from loom.types.content import MessageContent
from loom.types.events import Event
from loom.types.stream import StreamEvent

if TYPE_CHECKING:
    from loom.telemetry import Telemetry

FEW_SESSIONS = 100  # not worth looking for those that are over


class Agent:
    """A model with instructions, tools behind one door, and sessions that remember.

    `runtime` gives what is live: a checkpointer, models that replace the configured one, limits, a clock, secrets.
    `telemetry` is told of every run, as it happens. Any number of threads may use an agent, each with an event loop of
    its own; the runs of one session take turns over all of them.

    Raises:
        ConfigError: a setting is wrong, the provider is unknown, or rules and policy name what is not there.
    """

    def __init__(
        self, config: AgentConfig, runtime: Runtime | None = None, *, telemetry: "Telemetry | None" = None
    ) -> None:
        if not isinstance(config, AgentConfig):
            raise ConfigError(f"Agent(config) must be AgentConfig, got {type(config).__name__}")
        if telemetry is not None and not callable(getattr(telemetry, "observe", None)):
            raise ConfigError(f"Agent(telemetry=…) must be a loom.telemetry.Telemetry, got {type(telemetry).__name__}")
        self.config = config
        self._engine = Engine(config, runtime, telemetry)
        self._sessions: dict[str, Session] = {}
        self._most_sessions = FEW_SESSIONS
        self._guard = Lock()

    if not TYPE_CHECKING:  # for type checkers what is not here is an error as anywhere

        def __getattr__(self, name: str) -> object:
            raise refused_attribute("Agent", name)

    def __repr__(self) -> str:
        return f"<agent with {len(self.config.tools)} tools>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def graph(self) -> CompiledGraph[AgentState]:
        """The agent as a graph, which draws itself."""
        return self._engine.app

    @property
    def tools(self) -> Door:
        """The one door to the tools: `await agent.tools.call(name, …)`."""
        return self._engine.door

    @property
    def hook_manager(self) -> HookManager:
        """Where callbacks around tool calls are registered."""
        return self._engine.hooks

    async def run(self, prompt: MessageContent, context: RunContext | None = None) -> RunResult:
        """Run once, outside of any session, and return the result.

        Raises:
            ProviderError: the model's provider refused, failed or could not be reached.
            ContextOverflowError: the conversation does not fit the model's window.
            NodeError: something else failed; `resume` goes on from there.
        """
        async with attended(Run(self._engine, prompt, context).walk) as walk:
            return await walk.wait()

    def run_sync(self, prompt: MessageContent, context: RunContext | None = None) -> RunResult:
        """`run`, from code that is not async. Raises what `run` raises."""
        if has_running_loop():
            raise ConfigError("run_sync was called where an event loop runs; use `await agent.run(…)`")
        return asyncio.run(self.run(prompt, context))

    async def stream(self, prompt: MessageContent, context: RunContext | None = None) -> AsyncGenerator[Event, None]:
        """Run once, and yield what happens, live. Raises at the end what `run` raises."""
        async with attended(Run(self._engine, prompt, context).walk) as walk, aclosing(walk.events(None)) as told:
            async for event in told:
                yield event
            await walk.wait()

    async def run_streaming(
        self, prompt: MessageContent, context: RunContext | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Run once, and yield what the model says piece by piece, its tool calls and results, and how it ended."""
        async with attended(Run(self._engine, prompt, context).walk) as walk, aclosing(walk.stream(None)) as told:
            async for event in told:
                yield event

    async def resume(
        self,
        run_id: str,
        answers: Mapping[str, Any] | None = None,
        *,
        on_change: OnChange = "raise",
        rename: Rename | None = None,
    ) -> RunResult:
        """Go on with a run after a crash, a failure, a cancellation, a stop or a pause.

        That may be in any process with the same store, and with other tools, rules, policy and limits. What is part of
        the graph is not: under another model, other instructions or other settings of the generation a run goes on
        with `on_change="continue"`; `rename` maps old names of nodes to new ones.

        Raises:
            RunNotFoundError: the store has no run of this id.
            AnswerError: an ask is unknown or answered, or the answer is of the wrong type.
            GraphChangedError: the run was begun with other settings, and nothing was said of them; nothing is changed.
            ProviderError, ContextOverflowError, NodeError: as `run`.
        """
        async with attended(self._resumed(run_id, answers, on_change, rename)) as walk:
            return await walk.wait()

    async def resume_streaming(
        self,
        run_id: str,
        answers: Mapping[str, Any] | None = None,
        *,
        on_change: OnChange = "raise",
        rename: Rename | None = None,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Go on with a run as `resume` does, and yield what comes now as `run_streaming` does; nothing from before."""
        resumed = self._resumed(run_id, answers, on_change, rename)
        async with attended(resumed) as walk, aclosing(walk.stream(None)) as told:
            async for event in told:
                yield event

    def _resumed(
        self, run_id: str, answers: Mapping[str, Any] | None, on_change: OnChange, rename: Rename | None
    ) -> AgentWalk:
        opened, handle = self._engine.resumed(run_id, answers, on_change, rename), self._engine.handle_of(run_id)
        return AgentWalk(self._engine, run_id, opened, on_begin=handle.goes_on if isinstance(handle, Run) else None)

    def session(self, config: SessionConfig | None = None) -> Session:
        """Return the session of an id, a new one unless it is known; without an id one of its own.

        A session that is closed, or older than its time to live, is replaced by a new one of the same id.
        """
        if config is not None and not isinstance(config, SessionConfig):
            raise ConfigError(f"agent.session(config) must be SessionConfig, got {type(config).__name__}")
        if config is None or config.id is None:
            return Session(self._engine, config)
        with self._guard:
            known = self._sessions.get(config.id)
            if known and not known.is_over:
                known.metadata |= config.metadata
                return known
            made = self._sessions[config.id] = Session(self._engine, config)
            if len(self._sessions) > self._most_sessions:
                self._sessions = {name: one for name, one in self._sessions.items() if not one.is_over}
                self._most_sessions = max(FEW_SESSIONS, 2 * len(self._sessions))
            return made

    def resolve_knowledge(self, query: KnowledgeQuery) -> KnowledgeBundle:
        """Return what the agent's sources hold about a query, ranked, with citations."""
        return resolve(query, self.config.knowledge)

    async def close(self) -> None:
        """Cancel what is at work, close the sessions, and the store unless it was given."""
        with self._guard:
            sessions = list(self._sessions.values())
        for session in sessions:
            await session.close()
        await self._engine.close()


def create_agent(config: AgentConfig, *, runtime: Runtime | None = None, telemetry: "Telemetry | None" = None) -> Agent:
    """Make an agent. Raises what `Agent` raises."""
    return Agent(config, runtime, telemetry=telemetry)
