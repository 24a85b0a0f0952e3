"""What stands behind an agent: its compiled graph, its door to tools, its store."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, overload
from weakref import WeakValueDictionary

import anyio

from loom.checkpoint.memory import MemoryCheckpointer
from loom.checkpoint.sqlite import SqliteCheckpointer
from loom.config import AgentConfig, MemoryConfig, PolicyConfig, RuntimeConfig, RuntimeFallbackMode
from loom.core.journal import Checkpointer
from loom.core.runtime import Runtime
from loom.errors import ConfigError, ProviderUnavailableError
from loom.graphs.agent import AgentState, agent
from loom.models.providers import provider_of, secrets_in
from loom.nodes.observe import HISTORY, MAX_TURNS
from loom.runs.app import CompiledGraph
from loom.runs.changes import OnChange, Rename
from loom.runs.handle import GraphRun
from loom.runs.secrets import secrets_of
from loom.runtime.memory import Memory
from loom.runtime.records import FALLBACK
from loom.runtime.turn import Turn
from loom.runtime.veil import Veiled
from loom.tools.door import Door
from loom.tools.hooks import HookManager
from loom.types.content import MessageContent
from loom.types.events import Event
from loom.types.messages import Message
from loom.types.models import Emit, Model, ModelRef, ModelReply, ModelRequest
from loom.types.usage import Usage

if TYPE_CHECKING:
    from loom.telemetry import Telemetry


class AtWork(Protocol):
    """A run that goes on in the background."""

    def cancel(self) -> None:
        """Ask it to end now."""
        ...

    async def settled(self) -> None:
        """Wait until nothing of it is at work any more."""
        ...


class SessionAtWork(Protocol):
    """A session that a run belongs to."""

    id: str

    def goes_since(self, began_at: float) -> None:
        """Learn since when it goes: by then, a run of it is about to begin."""
        ...


class LiveSecrets(Sequence[str]):
    """Secrets as they are now: a key may come into the environment after the agent was made."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def __iter__(self) -> Iterator[str]:
        return iter(self._engine.secrets)

    def __len__(self) -> int:
        return len(self._engine.secrets)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self._engine.secrets[index]


class Engine:
    """An agent's parts, made once and shared by its runs and sessions, in whatever threads these are."""

    def __init__(self, config: AgentConfig, runtime: Runtime | None, telemetry: "Telemetry | None" = None) -> None:
        self.config = config
        self.telemetry = telemetry
        self.hooks = HookManager()
        self._given = Runtime() if runtime is None else runtime
        if not isinstance(self._given, Runtime):
            raise ConfigError(f"Agent(runtime=…) must be a Runtime, got {type(runtime).__name__}")
        if self._given.tools:
            raise ConfigError("Agent(runtime=…) has tools; give them as AgentConfig(tools=…), where policy sees them")
        self.settings = config.runtime or RuntimeConfig()
        self.clock = self._given.clock
        self.at_work: set[AtWork] = set()
        self._guard = Lock()
        self._turns: WeakValueDictionary[str, Turn] = WeakValueDictionary()
        self._runs: WeakValueDictionary[str, object] = WeakValueDictionary()
        self._ref, self._model = self._model_of(config)
        remembering = config.memory or MemoryConfig(enabled=False)
        self._store, self._path = self._given.checkpointer, remembering.backend.path
        if self._store is not None and self._path is not None:
            raise ConfigError(
                "MemoryConfig(backend=…) names a file, and Runtime(checkpointer=…) is a store too; give one of them"
            )
        self.app = self._compiled()  # here, as the first time takes long enough to be felt in an event loop
        self.memory = Memory(
            self.app,
            is_on=remembering.enabled,
            namespace=remembering.namespace,
            ttl_s=self.settings.session_ttl_s,
        )
        if not remembering.enabled:
            self._path = None
        if self._model is None and self._replacement is None:
            provider_of(self._ref)
        safety = (config.safety_rules or []) if self.settings.features.enable_safety else []
        self.door = Door(
            config.tools,
            policy=config.policy or PolicyConfig(),
            rules=safety,
            hooks=self.hooks,
            secrets=LiveSecrets(self),
            clock=self.clock,
        )

    @staticmethod
    def _model_of(config: AgentConfig) -> tuple[ModelRef, Model | None]:
        extensions = config.generation.extensions
        if isinstance(config.model, ModelRef):
            return config.model.model_copy(update={"extensions": {**config.model.extensions, **extensions}}), None
        if extensions:
            raise ConfigError("GenerationConfig(extensions=…) are a provider's; a model of your own has none")
        return ModelRef("given", type(config.model).__name__), config.model

    def _compiled(self) -> CompiledGraph[AgentState]:
        limits, generation = self.settings.limits, self.config.generation
        return agent(
            self._ref,
            instructions=self.config.instructions,
            temperature=generation.temperature,
            temperature_is_default="temperature" not in generation.model_fields_set,
            max_output_tokens=generation.max_output_tokens,
            **({"max_context_tokens": limits.max_context_tokens} if limits.max_context_tokens else {}),
        ).compile()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must be shown and saved nowhere: those of the runtime, and the keys of the provider."""
        if self._model is not None:  # which has no provider
            return self._given.secrets
        return (*self._given.secrets, *secrets_in(self._ref, os.environ))

    @property
    def store(self) -> Checkpointer:
        """Where runs are kept: the runtime's checkpointer, else as the memory's backend says."""
        with self._guard:
            if self._store is None:
                path = self._path
                self._store = MemoryCheckpointer(keep_finished=1000) if path is None else SqliteCheckpointer(path)
            return self._store

    async def close(self) -> None:
        """End the runs that are at work, and close the store, unless it is the caller's own."""
        runs = list(self.at_work)
        for run in runs:
            run.cancel()
        for run in runs:
            await run.settled()
        if self._store is not None and self._given.checkpointer is None:
            await self._store.close()

    def runtime(self, history: Sequence[Message]) -> Runtime:
        """Return the runtime of one run, to which `history` was said before."""
        given = self._given
        return Runtime(
            checkpointer=self.store,
            models=self._models(),
            tools=self.door,
            limits=given.limits,
            clock=given.clock,
            secrets=self.secrets,
            strict=given.strict,
            resources={**given.resources, HISTORY: tuple(history), MAX_TURNS: self.settings.limits.max_iterations},
        )

    @property
    def _replacement(self) -> Model | None:
        """The model that the runtime puts in the place of the configured one."""
        given = self._given.models
        return given.get(self._ref.identifier) if isinstance(given, Mapping) else given

    def _models(self) -> Mapping[str, Model]:
        given = self._given.models
        chosen = self._model if self._replacement is None else self._replacement
        model = _Client(self._ref) if chosen is None else chosen
        if self.settings.features.fallback.mode is RuntimeFallbackMode.LOCAL_SUMMARY:
            model = _Fallback(model)
        if secrets := self.secrets:
            model = Veiled(model, secrets)
        return {**(given if isinstance(given, Mapping) else {}), self._ref.identifier: model}

    async def told(self, run_id: str) -> Callable[[], list[Event]]:
        """Return what tells the events that a run has by now."""
        return await self.app.told(run_id, runtime=self._reading)

    async def state(self, run_id: str) -> AgentState:
        """Return the newest state of a run."""
        return await self.app.state(run_id, runtime=self._reading)

    # Any: JSON.
    def without_secrets(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return JSON with `[redacted]` in the place of each secret."""
        found: dict[str, Any] = secrets_of(self.secrets).clean(value)
        return found

    @property
    def _reading(self) -> Runtime:
        return Runtime(checkpointer=self.store)

    def turn(self, session_id: str, run_id: str = "") -> Turn:
        """Return what is held while a run of this session is at work, or the run of this id outside of any."""
        name = session_id or run_id
        with self._guard:
            turn = self._turns.get(name)
            if turn is None:
                turn = self._turns[name] = Turn(f'session "{name}"' if session_id else f'run "{name}"')
            return turn

    def keep(self, run_id: str, handle: object) -> None:
        """Know the handle of a run for as long as anybody has it."""
        with self._guard:
            self._runs[run_id] = handle

    def handle_of(self, run_id: str) -> object | None:
        """Return the handle of a run, if anybody has one that was made here."""
        with self._guard:
            return self._runs.get(run_id)

    # Walks: a run's first, and one more each time that it goes on. Each has the turn of its session.

    @asynccontextmanager
    async def begun(
        self, run_id: str, session: SessionAtWork | None, prompt: MessageContent, context: str
    ) -> AsyncGenerator[GraphRun[AgentState], None]:
        """Give a new run, at work; who leaves before it has ended cancels it."""
        session_id = session.id if session else ""
        async with self.turn(session_id, run_id):
            opening = await self.memory.opening(self.store, session_id, self.clock())
            if session:
                session.goes_since(opening.began_at)
            given: dict[str, object] = {"prompt": prompt, "context": context}
            given |= {"session": session_id, "number": opening.number}
            graph_run = self.app.start(given, run_id=run_id, runtime=self.runtime(opening.messages))
            async with self._attended(graph_run, session_id):
                yield graph_run

    @asynccontextmanager
    async def resumed(
        self, run_id: str, answers: Mapping[str, Any] | None, on_change: OnChange, rename: Rename | None
    ) -> AsyncGenerator[GraphRun[AgentState], None]:
        """Give a run that goes on; who leaves before it has ended cancels it.

        Its `wait` raises what resuming a graph raises.

        Raises:
            RunNotFoundError: the store has no run of this id.
        """
        session_id = (await self.state(run_id)).session
        async with self.turn(session_id, run_id):
            runtime = self.runtime(await self.memory.before(self.store, session_id, run_id))
            graph_run = self.app.start_resume(
                run_id, answers=answers, on_change=on_change, rename=rename, runtime=runtime
            )
            async with self._attended(graph_run, session_id):
                yield graph_run

    @asynccontextmanager
    async def _attended(self, graph_run: GraphRun[AgentState], session_id: str) -> AsyncGenerator[None, None]:
        """Have the telemetry follow a walk; leave nothing of either at work."""
        observing = asyncio.create_task(self._observe(graph_run, session_id)) if self.telemetry else None
        try:
            yield
        finally:
            graph_run.cancel()
            with anyio.CancelScope(shield=True):
                await graph_run.settled()
                if observing:
                    await observing

    async def _observe(self, graph_run: GraphRun[AgentState], session_id: str) -> None:
        async for event in graph_run.events(after=None):
            if self.telemetry:
                self.telemetry.observe(event, conversation=session_id)


class _Client:
    """Asks the provider of a model."""

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Return the provider's reply."""
        from loom.models.litellm import client  # noqa: PLC0415 - heavy, needed only to ask a provider

        return await client(self._ref).complete(request, emit)


class _Fallback:
    """Asks a model; where no provider can be reached, answers in a fixed form that says so."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Return the model's reply, or one whose finish reason is `fallback`."""
        try:
            return await self._model.complete(request, emit)
        except ProviderUnavailableError as error:
            prompt = next((one.text for one in reversed(request.messages) if one.role == "user"), "")
            text = f"No model could be asked ({error}). The goal was: {prompt}"
            return ModelReply(text=text, usage=Usage(), finish_reason=FALLBACK)
