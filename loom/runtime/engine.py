"""What stands behind an agent: its compiled graph, its door to tools, its store."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol
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
from loom.nodes.observe import HISTORY
from loom.runs.app import CompiledGraph
from loom.runs.handle import GraphRun
from loom.runs.inputs import new_run_id
from loom.runs.secrets import secrets_of
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

FALLBACK = "fallback"
"""The finish reason of a reply that no model gave."""

REMEMBERED_RUNS = 1000  # what was said in more is read from the store again


class AtWork(Protocol):
    """A run that goes on in the background."""

    def cancel(self) -> None:
        """Ask it to end now."""
        ...

    async def settled(self) -> None:
        """Wait until nothing of it is at work any more."""
        ...


class Engine:
    """An agent's parts, made once and shared by its runs and sessions."""

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
        self.memory = config.memory or MemoryConfig(enabled=False)
        self.clock = self._given.clock
        self.at_work: set[AtWork] = set()
        self._said: dict[str, _Said] = {}
        self._turns: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        self._ref, self._model = self._model_of(config)
        if self._given.checkpointer is not None and self.memory.backend.path is not None:
            raise ConfigError(
                "MemoryConfig(backend=…) names a file, and Runtime(checkpointer=…) is a store too; give one of them"
            )
        self.app = self._compiled()  # here, as the first time takes long enough to be felt in an event loop
        if self._model is None and self._replacement is None:
            provider_of(self._ref)
        safety = (config.safety_rules or []) if self.settings.features.enable_safety else []
        self.door = Door(
            config.tools,
            policy=config.policy or PolicyConfig(),
            rules=safety,
            hooks=self.hooks,
            secrets=self.secrets,
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
            max_iterations=limits.max_iterations,
            **({"max_context_tokens": limits.max_context_tokens} if limits.max_context_tokens else {}),
        ).compile()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must be shown and saved nowhere: those of the runtime, and the keys of the provider."""
        return (*self._given.secrets, *secrets_in(self._ref, os.environ))

    @cached_property
    def store(self) -> Checkpointer:
        """Where runs are kept: the runtime's checkpointer, else as the memory's backend says."""
        if self._given.checkpointer is not None:
            return self._given.checkpointer
        if self.memory.enabled and self.memory.backend.path is not None:
            return SqliteCheckpointer(self.memory.backend.path)
        return MemoryCheckpointer(keep_finished=1000)

    async def close(self) -> None:
        """End the runs that are at work, and close the store, unless it is the caller's own."""
        runs = list(self.at_work)
        for run in runs:
            run.cancel()
        for run in runs:
            await run.settled()
        if "store" in self.__dict__ and self._given.checkpointer is None:
            await self.store.close()

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
            resources={**given.resources, HISTORY: tuple(history)},
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

    @cached_property
    def _reading(self) -> Runtime:
        return Runtime(checkpointer=self.store)

    # Sessions: chains of runs whose ids begin with that of the session.

    def run_id(self, session_id: str | None) -> str:
        """Return an id for a new run."""
        return new_run_id() if session_id is None else f"{self._prefix(session_id)}:{new_run_id()}"

    def _prefix(self, session_id: str) -> str:
        # A "/" in a name is written otherwise, so that no two pairs of names look alike.
        names = [self.memory.namespace, session_id] if self.memory.namespace else [session_id]
        return "/".join(name.replace("%", "%25").replace("/", "%2F") for name in names)

    def turn(self, name: str) -> anyio.Lock:
        """Return what is held while a run of this session is at work, or the run of this id outside of any."""
        lock = self._turns.get(name)
        if lock is None:
            lock = self._turns[name] = anyio.Lock()
        return lock

    async def opening(self, session_id: str | None) -> tuple[int, list[Message]]:
        """Return the number of a new run in its session, and what was said there before, oldest first.

        Nothing was where memory is off. A session that is older than its time to live begins anew.
        """
        said = await self._remembered(session_id or "")
        return (said[-1].number + 1 if said else 1), self._since_it_began(said, self.clock())

    # Walks: a run's first, and one more each time that it goes on. Each has the turn of its session.

    @asynccontextmanager
    async def begun(
        self, run_id: str, session_id: str | None, prompt: MessageContent, context: str
    ) -> AsyncGenerator[GraphRun[AgentState], None]:
        """Give a new run, at work; who leaves before it has ended cancels it."""
        async with self.turn(session_id or run_id):
            number, history = await self.opening(session_id)
            given: dict[str, object] = {"prompt": prompt, "context": context}
            given |= {"session": session_id or "", "number": number}
            graph_run = self.app.start(given, run_id=run_id, runtime=self.runtime(history))
            async with self._attended(graph_run, session_id or ""):
                yield graph_run

    @asynccontextmanager
    async def resumed(
        self, run_id: str, answers: Mapping[str, Any] | None
    ) -> AsyncGenerator[GraphRun[AgentState], None]:
        """Give a run that goes on; who leaves before it has ended cancels it.

        Its `wait` raises what resuming a graph raises.

        Raises:
            RunNotFoundError: the store has no run of this id.
        """
        session_id = (await self.state(run_id)).session
        async with self.turn(session_id or run_id):
            this = await self._said_in(run_id)
            before = [one for one in await self._remembered(session_id) if one.place < this.place]
            runtime = self.runtime(self._since_it_began(before, this.at))
            graph_run = self.app.start_resume(run_id, answers=answers, runtime=runtime)
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

    def _since_it_began(self, said: Sequence["_Said"], now: float) -> list[Message]:
        """Return the messages of the session that `now` is in: it ends when its time to live is over."""
        began, messages = 0.0, list[Message]()
        for one in said:
            if one.at - began > self.settings.session_ttl_s:
                began, messages = one.at, []
            messages += one.messages
        return messages if now - began <= self.settings.session_ttl_s else []

    async def _remembered(self, session_id: str) -> list["_Said"]:
        """Return what was said in the completed runs of a session, in their order."""
        if not session_id or not self.memory.enabled:
            return []
        prefix, found = self._prefix(session_id), list[_Said]()
        for run in await self.store.runs(graph=self.app.name, status="completed"):
            if run.run_id.rpartition(":")[0] == prefix:
                said = self._said.get(run.run_id) or await self._said_in(run.run_id)
                self._said[run.run_id] = said
                found.append(said)
        while len(self._said) > REMEMBERED_RUNS:
            del self._said[next(iter(self._said))]
        return sorted(found, key=attrgetter("place"))

    async def _said_in(self, run_id: str) -> "_Said":
        (begin, *_) = await self.app.history(run_id, runtime=self._reading)
        state = await self.state(run_id)
        # As the model saw it last: what was put aside for want of room stays aside.
        return _Said((state.number, run_id), begin.at, state.edits.view((), state.messages))


@dataclass(frozen=True, slots=True)
class _Said:
    """What was said in one run of a session: its place in it, by number and id, and when it began."""

    place: tuple[int, str]
    at: float
    messages: tuple[Message, ...]

    @property
    def number(self) -> int:
        """The number of the run in its session, from 1."""
        return self.place[0]


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
