"""The settings of an agent: frozen records, with errors that name the setting."""

from enum import StrEnum
from os import PathLike, fspath
from typing import TYPE_CHECKING, Annotated, Any, Self, cast

from pydantic import Field, SkipValidation, field_validator, model_validator

from loom.errors import ConfigError, quoted, short
from loom.tools.tool import ToolSpec
from loom.types.absent import refused_import
from loom.types.knowledge import (
    KnowledgeBundle,
    KnowledgeCitation,
    KnowledgeDocument,
    KnowledgeEvidence,
    KnowledgeEvidenceItem,
    KnowledgeQuery,
    KnowledgeResolver,
    KnowledgeSource,
)
from loom.types.models import Model, ModelRef
from loom.types.policy import (
    PolicyConfig,
    PolicyContext,
    SafetyEvaluator,
    SafetyRule,
    ToolAccessPolicy,
    ToolPolicy,
    ToolRateLimitPolicy,
)
from loom.types.settings import Settings, by_name
from loom.types.tools import Tool

__all__ = [
    "AgentConfig",
    "GenerationConfig",
    "KnowledgeBundle",
    "KnowledgeCitation",
    "KnowledgeDocument",
    "KnowledgeEvidence",
    "KnowledgeEvidenceItem",
    "KnowledgeQuery",
    "KnowledgeResolver",
    "KnowledgeSource",
    "MemoryBackend",
    "MemoryConfig",
    "ModelRef",
    "PolicyConfig",
    "PolicyContext",
    "RuntimeConfig",
    "RuntimeFallback",
    "RuntimeFallbackMode",
    "RuntimeFeatures",
    "RuntimeLimits",
    "SafetyEvaluator",
    "SafetyRule",
    "ToolAccessPolicy",
    "ToolPolicy",
    "ToolRateLimitPolicy",
    "ToolSpec",
]

if not TYPE_CHECKING:  # for type checkers what is not here is an error as anywhere

    def __getattr__(name: str) -> object:
        raise refused_import(__name__, name)


class GenerationConfig(Settings):
    """How a model replies. `extensions` are parameters of the provider's own, passed on as they are."""

    temperature: Annotated[float, Field(ge=0)] | None = 0.7
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    # Any: provider parameters, whose types only the provider knows.
    extensions: dict[str, Any] = {}


class MemoryBackend(Settings):
    """Where sessions are kept: in this process, or in one SQLite file that outlives it."""

    name: Annotated[str, Field(pattern="^(in_memory|sqlite)$")]
    path: str | None = None

    @model_validator(mode="after")
    def _has_its_file(self) -> Self:
        if (self.name == "sqlite") != bool(self.path):
            raise ValueError('needs a path where its name is "sqlite", and takes none else')
        return self

    @classmethod
    def in_memory(cls) -> Self:
        """Keep sessions as long as the process lives: the last 1,000 runs that the agent has finished."""
        return cls(name="in_memory")

    @classmethod
    def sqlite(cls, path: str | PathLike[str]) -> Self:
        """Keep sessions in the file `path`, which is made on first use.

        Raises:
            ConfigError: it is no path.
        """
        if not isinstance(path, (str, PathLike)):
            raise ConfigError(f"MemoryBackend.sqlite(path) must be the path of a file; got {short(path)}")
        return cls(name="sqlite", path=fspath(path))

    # Any: whatever was meant for another backend.
    @classmethod
    def custom(cls, name: str, **_options: Any) -> Self:
        """Refuse a backend of another name: a store of one's own is given as `Runtime(checkpointer=…)`."""
        raise ConfigError(
            f'there is no memory backend "{name}"; take MemoryBackend.in_memory() or .sqlite(path), or give a store of '
            "your own as create_agent(…, runtime=Runtime(checkpointer=…))"
        )


class MemoryConfig(Settings):
    """Whether a session remembers its earlier runs, and where. `namespace` keeps agents on one file apart."""

    enabled: bool = True
    backend: MemoryBackend = MemoryBackend.in_memory()
    namespace: str | None = None


class RuntimeLimits(Settings):
    """Where an agent stops: after so many turns of the model; and the size of the model's window in tokens."""

    max_iterations: Annotated[int, Field(ge=1)] = 100
    max_context_tokens: Annotated[int, Field(ge=1)] | None = None


class RuntimeFallbackMode(StrEnum):
    """What is done when the model's provider cannot be reached."""

    ERROR = "error"
    LOCAL_SUMMARY = "local_summary"


class RuntimeFallback(Settings):
    """What is done when the model's provider cannot be reached: raise, or answer in a fixed form that says so."""

    mode: RuntimeFallbackMode = RuntimeFallbackMode.ERROR


class RuntimeFeatures(Settings):
    """Parts that can be left out. Without `enable_safety` the agent's safety rules are not asked; its policy is."""

    enable_safety: bool = True
    fallback: RuntimeFallback = RuntimeFallback()


class RuntimeConfig(Settings):
    """Limits and features. `extensions` knows `session_ttl_hours`, the age at which a session begins anew."""

    limits: RuntimeLimits = RuntimeLimits()
    features: RuntimeFeatures = RuntimeFeatures()
    # Any: checked below, by name.
    extensions: dict[str, Any] = {}

    @field_validator("extensions")
    @classmethod
    def _known(cls, extensions: dict[str, Any]) -> dict[str, Any]:
        if unknown := extensions.keys() - {"session_ttl_hours"}:
            raise ValueError(f'knows "session_ttl_hours" alone, got {quoted(unknown)}')
        hours: object = extensions.get("session_ttl_hours", 24)
        if not isinstance(hours, int | float) or isinstance(hours, bool) or not hours > 0:
            raise ValueError(f"session_ttl_hours must be a number above 0, got {short(hours)}")
        return extensions

    @property
    def session_ttl_s(self) -> float:
        """The age in seconds at which a session begins anew."""
        return float(self.extensions.get("session_ttl_hours", 24)) * 3600


class AgentConfig(Settings):
    """One agent. `model` is a `ModelRef`, or anything with the `complete` of `loom.models.Model`."""

    model: Annotated[ModelRef | Model, SkipValidation]
    instructions: str = ""
    generation: GenerationConfig = GenerationConfig()
    tools: Annotated[list[Tool], SkipValidation] = []
    policy: PolicyConfig | None = None
    memory: MemoryConfig | None = None
    runtime: RuntimeConfig | None = None
    safety_rules: list[SafetyRule] | None = None
    knowledge: list[KnowledgeSource] = []

    # Any: whatever the caller passes, which is judged by the fields.
    def __init__(self, /, *placed: Any, **given: Any) -> None:
        if placed:
            names = list(type(self).model_fields)
            names.insert(names.index("runtime"), "heartbeat")
            given |= by_name(type(self), names, placed, given)
        if given.get("heartbeat") is not None:
            raise ConfigError("AgentConfig(heartbeat=…): there is no heartbeat yet; leave it out")
        given.pop("heartbeat", None)
        super().__init__(**given)

    @field_validator("model")
    @classmethod
    def _asks(cls, model: object) -> object:
        if isinstance(model, type):
            raise ValueError(f"must be a model, got the class {model.__name__}; make one of it")  # noqa: TRY004 - of a validator
        if not isinstance(model, ModelRef | Model):
            raise ValueError(f"must be ModelRef or a model with a complete method, got {type(model).__name__}")  # noqa: TRY004 - as above
        return model

    @field_validator("tools")
    @classmethod
    def _are_tools(cls, tools: object) -> list[object]:
        if not isinstance(tools, list | tuple):
            raise ValueError(f"must be a list of tools, got {type(tools).__name__}")  # noqa: TRY004 - as above
        given: list[object] = list(cast("list[object]", tools))
        for number, tool in enumerate(given):
            if not isinstance(getattr(tool, "name", None), str) or not hasattr(tool, "schema"):
                hint = ", make a tool of it by @tool" if callable(tool) else ""
                raise ValueError(f"[{number}] must be a tool, got {type(tool).__name__}{hint}")
        return given
