"""What stands behind an agent: its compiled graph, its door to tools, its store."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from loom.checkpoint.memory import MemoryCheckpointer
from loom.checkpoint.sqlite import SqliteCheckpointer
from loom.config import AgentConfig, MemoryConfig, PolicyConfig, RuntimeConfig, RuntimeFallbackMode
from loom.core.journal import Checkpointer
from loom.core.runtime import Runtime
from loom.errors import ConfigError, ProviderUnavailableError
from loom.graphs.agent import AgentState, agent
from loom.models.providers import secrets_in
from loom.nodes.observe import HISTORY
from loom.runs.app import CompiledGraph
from loom.runs.inputs import new_run_id
from loom.tools.door import Door
from loom.tools.hooks import HookManager
from loom.types.events import Event
from loom.types.messages import Message
from loom.types.models import Emit, Model, ModelRef, ModelReply, ModelRequest
from loom.types.usage import Usage

FALLBACK = "fallback"
"""The finish reason of a reply that no model gave."""

REMEMBERED_RUNS = 1000  # what was said in more is read from the store again


class Engine:
    """An agent's parts, made once and shared by its runs and sessions."""

    def __init__(self, config: AgentConfig, runtime: Runtime | None) -> None:
        self.config = config
        self.hooks = HookManager()
        self._given = Runtime() if runtime is None else runtime
        if not isinstance(self._given, Runtime):
            raise ConfigError(f"Agent(runtime=…) must be a Runtime, got {type(runtime).__name__}")
        if self._given.tools:
            raise ConfigError("Agent(runtime=…) has tools; give them as AgentConfig(tools=…), where policy sees them")
        self.settings = config.runtime or RuntimeConfig()
        self.memory = config.memory or MemoryConfig(enabled=False)
        self.clock = self._given.clock
        self._said: dict[str, tuple[float, tuple[Message, ...]]] = {}
        self._ref, self._model = self._model_of(config)
        safety = (config.safety_rules or []) if self.settings.features.enable_safety else []
        self.door = Door(
            config.tools,
            policy=config.policy or PolicyConfig(),
            rules=safety,
            hooks=self.hooks,
            secrets=self._given.secrets,
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

    @cached_property
    def app(self) -> CompiledGraph[AgentState]:
        """The agent as a compiled graph."""
        limits, generation = self.settings.limits, self.config.generation
        return agent(
            self._ref,
            instructions=self.config.instructions,
            temperature=generation.temperature,
            max_output_tokens=generation.max_output_tokens,
            max_iterations=limits.max_iterations,
            **({"max_context_tokens": limits.max_context_tokens} if limits.max_context_tokens else {}),
        ).compile()

    @cached_property
    def store(self) -> Checkpointer:
        """Where runs are kept: the runtime's checkpointer, else as the memory's backend says."""
        if self._given.checkpointer is not None:
            return self._given.checkpointer
        if self.memory.enabled and self.memory.backend.path is not None:
            return SqliteCheckpointer(self.memory.backend.path)
        return MemoryCheckpointer(keep_finished=1000)

    async def close(self) -> None:
        """Close the store, unless it is the caller's own."""
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
            secrets=(*given.secrets, *secrets_in(self._ref, os.environ)),
            strict=given.strict,
            resources={**given.resources, HISTORY: tuple(history)},
        )

    def _models(self) -> Mapping[str, Model]:
        given = self._given.models
        own = given.get(self._ref.identifier) if isinstance(given, Mapping) else given
        model = self._model if own is None else own
        if self.settings.features.fallback.mode is RuntimeFallbackMode.LOCAL_SUMMARY:
            model = _Fallback(self._ref, model)
        others = dict(given) if isinstance(given, Mapping) else {}
        return others if model is None else {**others, self._ref.identifier: model}

    async def told(self, run_id: str) -> Callable[[], list[Event]]:
        """Return what tells the events that a run has by now."""
        return await self.app.told(run_id, runtime=self._reading)

    @cached_property
    def _reading(self) -> Runtime:
        return Runtime(checkpointer=self.store)

    # Sessions: chains of runs whose ids begin with that of the session.

    def run_id(self, session_id: str | None) -> str:
        """Return an id for a new run; those of a session sort by time."""
        return new_run_id() if session_id is None else f"{self._prefix(session_id)}:{new_run_id()}"

    def _prefix(self, session_id: str) -> str:
        return f"{self.memory.namespace}/{session_id}" if self.memory.namespace else session_id

    async def history(self, session_id: str, before: str) -> list[Message]:
        """Return what was said in a session before a run, oldest first; nothing where memory is off.

        A session that is older than its time to live begins anew with the next run.
        """
        if not self.memory.enabled:
            return []
        completed = await self.store.runs(graph=self.app.name, status="completed")
        prefix, ttl_s = self._prefix(session_id), self.settings.session_ttl_s
        mine = sorted(run.run_id for run in completed if run.run_id.rpartition(":")[0] == prefix)
        began, said = 0.0, list[Message]()
        for run_id in mine:
            if run_id < before:
                at, messages = await self._said_in(run_id)
                began, said = (at, []) if at - began > ttl_s else (began, said)
                said += messages
        return said if self.clock() - began <= ttl_s else []

    async def _said_in(self, run_id: str) -> tuple[float, tuple[Message, ...]]:
        """Return when a completed run began, and its messages."""
        if run_id not in self._said:
            (begin, *_) = await self.app.history(run_id, runtime=self._reading)
            self._said[run_id] = begin.at, (await self._state(run_id)).messages
            if len(self._said) > REMEMBERED_RUNS:
                del self._said[next(iter(self._said))]
        return self._said[run_id]

    async def _state(self, run_id: str) -> AgentState:
        return await self.app.state(run_id, runtime=self._reading)

    async def session_of(self, run_id: str) -> str | None:
        """Return the id of the session that a run belongs to; None if to none.

        Raises:
            RunNotFoundError: there is no such run.
        """
        return (await self._state(run_id)).session or None


class _Fallback:
    """Asks a model; where no provider can be reached, answers in a fixed form that says so."""

    def __init__(self, ref: ModelRef, model: Model | None) -> None:
        self._ref = ref
        self._model = model

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Return the model's reply, or one whose finish reason is `fallback`."""
        try:
            return await self._asked().complete(request, emit)
        except ProviderUnavailableError as error:
            prompt = next((one.text for one in request.messages if one.role == "user"), "")
            text = f"No model could be asked ({error}). The goal was: {prompt}"
            return ModelReply(text=text, usage=Usage(), finish_reason=FALLBACK)

    def _asked(self) -> Model:
        if self._model is not None:
            return self._model
        from loom.models.litellm import client  # noqa: PLC0415 - heavy, needed only to ask a provider

        return client(self._ref)
