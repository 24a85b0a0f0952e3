"""How a model is named, asked and answered, whoever provides it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict, Strict, field_validator

from loom.errors import ConfigError
from loom.types.messages import Message, ThinkingBlock, ToolCall
from loom.types.settings import Settings
from loom.types.stream import ModelDelta
from loom.types.usage import Usage

Emit = Callable[[ModelDelta], None]
# Any: provider parameters, whose types only the provider knows.
Extensions = Mapping[str, Any]


class ModelRef(Settings):
    """The name of a model at a provider. It holds no key: keys come from the environment.

    `api_key_env` names another variable than the provider's usual one; `api_base` another server;
    `extensions` are provider parameters passed on as they are; headers among them are saved and not shown. Raises
    `ConfigError` for a setting of the wrong kind.
    """

    provider: str
    name: str
    api_base: str | None = None
    organization: str | None = None
    api_key_env: str | None = None
    # Any: provider parameters, whose types only the provider knows.
    extensions: Annotated[dict[str, Any], Strict(strict=False)] = {}

    if TYPE_CHECKING:  # by position, too; what is given is judged as that of any settings
        # Any: as the field of this name.
        def __init__(self, provider: str, name: str, **settings: Any) -> None: ...

    @field_validator("provider", "name")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("must not be empty")
        return text

    @property
    def identifier(self) -> str:
        """`provider:name`, the key under which `Runtime(models=…)` replaces this model."""
        return f"{self.provider}:{self.name}"

    @classmethod
    def parse(cls, text: str, *, api_base: str | None = None) -> Self:
        """Return the model that `provider/name` names, as on a command line.

        The name may itself have slashes. Raises `ConfigError` where one of the two is missing.
        """
        provider, slash, name = (part.strip() for part in text.partition("/"))
        if not (provider and slash and name):
            raise ConfigError(
                f'a model is written "provider/name", as in "anthropic/claude-sonnet-4-5", but got "{text}"'
            )
        return cls(provider, name, api_base=api_base)

    @classmethod
    def anthropic(
        cls,
        name: str,
        *,
        api_base: str | None = None,
        api_key_env: str | None = None,
        extensions: Extensions | None = None,
    ) -> Self:
        """Name a model of Anthropic; its key is in ANTHROPIC_API_KEY."""
        return cls("anthropic", name, api_base=api_base, api_key_env=api_key_env, extensions=extensions or {})

    @classmethod
    def openai(
        cls,
        name: str,
        *,
        api_base: str | None = None,
        organization: str | None = None,
        api_key_env: str | None = None,
        extensions: Extensions | None = None,
    ) -> Self:
        """Name a model of OpenAI; its key is in OPENAI_API_KEY, another server may be in OPENAI_BASE_URL."""
        return cls(
            "openai",
            name,
            api_base=api_base,
            organization=organization,
            api_key_env=api_key_env,
            extensions=extensions or {},
        )

    @classmethod
    def gemini(cls, name: str, *, api_key_env: str | None = None, extensions: Extensions | None = None) -> Self:
        """Name a model of Google; its key is in GEMINI_API_KEY or GOOGLE_API_KEY."""
        return cls("gemini", name, api_key_env=api_key_env, extensions=extensions or {})

    @classmethod
    def qwen(
        cls,
        name: str,
        *,
        api_base: str | None = None,
        api_key_env: str | None = None,
        extensions: Extensions | None = None,
    ) -> Self:
        """Name a model of Alibaba's DashScope; its key is in DASHSCOPE_API_KEY."""
        return cls("qwen", name, api_base=api_base, api_key_env=api_key_env, extensions=extensions or {})

    @classmethod
    def deepseek(
        cls,
        name: str = "deepseek-chat",
        *,
        api_base: str | None = None,
        api_key_env: str | None = None,
        extensions: Extensions | None = None,
    ) -> Self:
        """Name a model of DeepSeek; its key is in DEEPSEEK_API_KEY."""
        return cls("deepseek", name, api_base=api_base, api_key_env=api_key_env, extensions=extensions or {})

    @classmethod
    def minimax(
        cls,
        name: str = "MiniMax-Text-01",
        *,
        api_base: str | None = None,
        api_key_env: str | None = None,
        extensions: Extensions | None = None,
    ) -> Self:
        """Name a model of MiniMax; its key is in MINIMAX_API_KEY."""
        return cls("minimax", name, api_base=api_base, api_key_env=api_key_env, extensions=extensions or {})

    @classmethod
    def ollama(cls, name: str, *, api_base: str | None = None, extensions: Extensions | None = None) -> Self:
        """Name a model of an Ollama server: OLLAMA_BASE_URL, else http://localhost:11434. It needs no key."""
        return cls("ollama", name, api_base=api_base, extensions=extensions or {})

    @classmethod
    def local(
        cls,
        api_base: str,
        name: str = "local",
        *,
        api_key_env: str | None = None,
        extensions: Extensions | None = None,
    ) -> Self:
        """Name a model of any server that speaks OpenAI's protocol; `api_base` usually ends in `/v1`.

        No key is sent unless `api_key_env` says where one is.
        """
        return cls("local", name, api_base=api_base, api_key_env=api_key_env, extensions=extensions or {})


class ToolSchema(BaseModel):
    """What a model is told of a tool. `parameters` is a JSON Schema of type object."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    # Any: a JSON Schema.
    parameters: dict[str, Any] = {}


class ModelRequest(BaseModel):
    """One question to a model. `messages` are oldest first, a system message at the front.

    A default temperature is left out where the model takes none; another that it does not take is an error.
    `timeout_s` is the time for the whole answer, attempts and waits included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...] = ()
    max_output_tokens: int | None = None
    temperature: float | None = None
    temperature_is_default: bool = False
    # A type whose JSON the reply's text must be.
    response_type: type[BaseModel] | None = None
    timeout_s: float | None = None
    node: str = ""
    run_id: str = ""


class ModelReply(BaseModel):
    """One answer of a model, which may be cut off or held back: `finish_reason` says so.

    It is `stop` or `tool_calls` where all went well, `length` where the text is cut off, `refusal` where the model
    would not answer (the text says why, if anything does), `content_filter` where the provider kept it from answering,
    else the provider's own word.

    `thinking` is what of the model's reasoning the provider wants back: a message made of the reply has to hold it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    finish_reason: str = "stop"
    thinking: tuple[ThinkingBlock, ...] = ()


@runtime_checkable
class Model(Protocol):
    """Anything that answers: a provider's client, a script, a recording."""

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Answer the request; call `emit` with each piece of the reply as it arrives."""
        ...
