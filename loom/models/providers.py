"""Where each provider is reached: its protocol, its key, its server. No network, no litellm."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import urlsplit

from loom.errors import ConfigError, ProviderUnavailableError, did_you_mean, quoted, short
from loom.types.models import ModelRef

# How a provider is made to answer in the shape of a type:
# "schema": it enforces any JSON Schema; "closed": only schemas without free keys;
# "object": it enforces JSON, the schema is told in words; "words": all of it is told in words.
Structured = Literal["schema", "closed", "object", "words"]


@dataclass(frozen=True, slots=True)
class Provider:
    """One row of the table. `prefix` names its protocol; `keys` are the variables that may hold its key."""

    prefix: str
    keys: tuple[str, ...] = ()
    base: str | None = None
    base_env: str | None = None
    # The provider's name in litellm's table of prices; None where a price cannot be known.
    prices: str | None = None
    structured: Structured = "schema"
    # Whether a tool's result may hold files, or text alone.
    tool_files: bool = False
    # Texts that it refuses: those without a character, or also those of space alone.
    refuses: Literal["empty", "blank"] | None = None
    # How the addresses begin that the provider fetches itself.
    fetches_images: tuple[str, ...] = ("https://", "http://")
    fetches_documents: tuple[str, ...] = ()


# Every server that speaks OpenAI's protocol goes through prefix "openai" with a base of its own.
PROVIDERS: Mapping[str, Provider] = {
    "anthropic": Provider(
        "anthropic",
        ("ANTHROPIC_API_KEY",),
        "https://api.anthropic.com",
        base_env="ANTHROPIC_BASE_URL",
        prices="anthropic",
        structured="closed",
        tool_files=True,
        refuses="blank",
        fetches_images=("https://",),
        fetches_documents=("https://",),
    ),
    "openai": Provider(
        "openai", ("OPENAI_API_KEY",), "https://api.openai.com/v1", base_env="OPENAI_BASE_URL", prices="openai"
    ),
    # Which of Google's servers has a model, its protocol knows.
    "gemini": Provider(
        "gemini",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        base_env="GEMINI_API_BASE",
        prices="gemini",
        refuses="empty",
        fetches_images=(),
    ),
    # Only some of Qwen's models enforce a schema; most enforce JSON.
    "qwen": Provider(
        "openai",
        ("DASHSCOPE_API_KEY",),
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        prices="dashscope",
        structured="object",
    ),
    # DeepSeek refuses a request with a schema.
    "deepseek": Provider(
        "deepseek", ("DEEPSEEK_API_KEY",), "https://api.deepseek.com/v1", prices="deepseek", structured="object"
    ),
    # MiniMax documents no way to enforce a shape.
    "minimax": Provider(
        "openai", ("MINIMAX_API_KEY",), "https://api.minimax.io/v1", prices="minimax", structured="words"
    ),
    "ollama": Provider("openai", base="http://localhost:11434", base_env="OLLAMA_BASE_URL"),
    "local": Provider("openai"),
}


# Arguments of litellm's that say how to ask, not what; the client sets them.
HOW_TO_ASK = {
    "api_base",
    "api_key",
    "custom_llm_provider",
    "max_retries",
    "messages",
    "model",
    "num_retries",
    "organization",
    "stream",
    "stream_options",
    "timeout",
}


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach one model. `api_base` has no slash at its end; it is empty where the protocol knows the server."""

    provider: Provider
    model: str
    api_key: str = field(repr=False)
    api_base: str
    organization: str | None = None


def provider_of(ref: ModelRef) -> Provider:
    """Return the table's row for `ref`.

    Raises `ConfigError` for an unknown provider, for an `api_base` that is no address, for a `local` model without
    one, and for extensions that say how to ask.
    """
    if taken := HOW_TO_ASK & ref.extensions.keys():
        raise ConfigError(f'model "{ref.identifier}": extensions must not set {quoted(taken)}, which the client sets')
    try:
        provider = PROVIDERS[ref.provider]
    except KeyError:
        if ref.provider == "given":  # as agents and harnesses name an object
            raise ConfigError(
                f'model "{ref.identifier}" is an object that an agent or a harness was given, and the runtime of this '
                f'run has none of this name; run the agent, or give Runtime(models={{"{ref.identifier}": …}})'
            ) from None
        raise ConfigError(
            f'model "{ref.identifier}": unknown provider "{ref.provider}".{did_you_mean(ref.provider, PROVIDERS)} '
            f"Known: {quoted(PROVIDERS)}; any server that speaks OpenAI's protocol is ModelRef.local(api_base)"
        ) from None
    if ref.api_base:
        _check_address(ref, "api_base", ref.api_base)
    elif ref.provider == "local":
        raise ConfigError(f'model "{ref.identifier}" needs api_base, the address of its server, as in "{_EXAMPLE}"')
    return provider


def route(ref: ModelRef, environ: Mapping[str, str]) -> Route:
    """Return how to reach `ref`, given the environment's variables.

    Raises `ConfigError` as `provider_of`, and for a variable that holds no address, and `ProviderUnavailableError`
    naming the variable where a key is missing.
    """
    provider = provider_of(ref)
    key = _key(ref, provider, environ)
    return Route(provider, ref.name, key, _base(ref, provider, environ), ref.organization)


def _key(ref: ModelRef, provider: Provider, environ: Mapping[str, str]) -> str:
    names = (ref.api_key_env,) if ref.api_key_env else provider.keys
    if not names:
        # OpenAI's protocol wants a key; servers that need none ignore it.
        return "none"
    for name in names:
        if key := environ.get(name, "").strip():
            return key
    raise ProviderUnavailableError(
        f'model "{ref.identifier}" needs a key: set {" or ".join(names)} in the environment'
        + ("" if ref.api_key_env else ", or name another variable with ModelRef(api_key_env=…)")
    )


def _base(ref: ModelRef, provider: Provider, environ: Mapping[str, str]) -> str:
    given = ref.api_base
    if not given and provider.base_env and (given := environ.get(provider.base_env, "").strip()):
        _check_address(ref, provider.base_env, given)
    base = (given or provider.base or "").rstrip("/")
    if ref.provider == "ollama" and not base.endswith("/v1"):
        # Users know the server's own address; OpenAI's protocol is served below it.
        return f"{base}/v1"
    return base


def _check_address(ref: ModelRef, name: str, given: str) -> None:
    try:
        address = urlsplit(given)
        is_one = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
        has_user = address.username is not None
    except ValueError:  # a port that is no number, an open bracket
        is_one = has_user = False
    if has_user:  # who is not shown
        raise ConfigError(
            f'model "{ref.identifier}": {name} must hold no user and no password; put a key into the environment, and '
            "name its variable with api_key_env"
        )
    if not is_one:
        raise ConfigError(
            f'model "{ref.identifier}": {name} must be an http:// or https:// address, as in "{_EXAMPLE}"; '
            f"got {short(given)}"
        )


_EXAMPLE = "http://127.0.0.1:8080/v1"


def secrets_in(ref: ModelRef, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return what of a model must be shown nowhere: keys that the environment holds, headers that are keys."""
    provider = PROVIDERS.get(ref.provider)
    names = (ref.api_key_env,) if ref.api_key_env else provider.keys if provider else ()
    found = [environ.get(name, "").strip() for name in names]
    for setting in ("headers", "extra_headers"):
        headers = ref.extensions.get(setting)
        for name, value in cast("Mapping[object, object]", headers).items() if isinstance(headers, Mapping) else ():
            if _IS_KEY.search(str(name)) and isinstance(value, str):
                found += {value.strip(), *value.split()[-1:]}  # a scheme may stand before it
    return tuple(secret for secret in found if len(secret) >= SHORTEST_SECRET)


SHORTEST_SECRET = 8
"""Characters of a key; a shorter one is a placeholder."""

_IS_KEY = re.compile("auth|key|token|secret|password|cookie", re.IGNORECASE)
