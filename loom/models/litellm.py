"""The client of every provider: litellm, loaded on first use, silent, offline but for the call itself."""

import os
import random
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import cache
from importlib import import_module
from logging import CRITICAL, getLogger
from typing import Any

import anyio
import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field

from loom.errors import (
    ConfigError,
    ContextOverflowError,
    LoomError,
    ProviderError,
    ProviderUnavailableError,
    RateLimitError,
    quoted,
)
from loom.models.blocks import Json
from loom.models.breaker import BREAKER, Breaker
from loom.models.chat import Refused
from loom.models.pool import pool
from loom.models.providers import Route, provider_of, route
from loom.models.quiet import log_of
from loom.models.retry import Backoff, retry_after_s
from loom.models.wire import Assembly, Record, request_arguments
from loom.types.models import Emit, ModelRef, ModelReply, ModelRequest
from loom.types.stream import ModelDelta

# Any: litellm as a module. Its types are not imported: checking them would take longer than checking all of Loom.
Library = Any

MAX_DETAIL = 2000  # characters of a provider's own words in an error
SECRET = 8  # a key of fewer characters is a placeholder


class LiteLLMModel(BaseModel):
    """A model at a provider, asked over the network through litellm.

    Rate limits and outages are asked again as `backoff` says, but never once a piece of the reply was emitted.
    `timeout_s` is the longest silence: before the reply begins and between two of its pieces. The request's own
    `timeout_s` is for all of it. A provider whose calls fail one after the other is left alone as `breaker` says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    ref: ModelRef
    backoff: Backoff = Backoff()
    timeout_s: float = Field(default=600.0, gt=0)
    breaker: Breaker = Field(default=BREAKER, exclude=True, repr=False)
    # For tests: how to wait, and a random number from 0 to 1.
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    chance: Callable[[], float] = random.random

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Ask the provider; `emit` gets each piece of text, of visible reasoning and of tool calls as it arrives.

        Raises `ProviderUnavailableError` (no key, no package, no server, overloaded, cut off, no time left),
        `RateLimitError`, `ContextOverflowError` or, for what would fail again, `ProviderError`.
        """
        way = route(self.ref, os.environ)
        arguments = self._arguments(way, request)
        timeout_s = request.timeout_s
        with anyio.move_on_after(timeout_s):
            library = await _library()
            with self.breaker.guard((self.ref.identifier, way.api_base), self._where(way)):
                return await self._settled(library, way, arguments, len(request.messages), emit)
        raise ProviderUnavailableError(f"{self._where(way)} did not finish in the {timeout_s:g} s that it had")

    async def _settled(self, library: Library, way: Route, arguments: Json, turn: int, emit: Emit) -> ModelReply:
        """Ask, and ask again while there is reason, time and nothing said yet."""
        heard = False

        def hear(delta: ModelDelta) -> None:
            nonlocal heard
            heard = True
            emit(delta)

        attempt = 1
        while True:
            try:
                return await self._ask(library, way, arguments, Assembly(self.ref.identifier, turn), hear)
            except (ProviderUnavailableError, RateLimitError) as error:
                wait_s = None if heard else self.backoff.wait_s(attempt, _wish_s(error), self.chance())
                if wait_s is None or wait_s >= anyio.current_effective_deadline() - anyio.current_time():
                    if attempt > 1:
                        error.add_note(f"asked {attempt} times")
                    raise
            await self.sleep(wait_s)
            attempt += 1

    async def _ask(self, library: Library, way: Route, arguments: Json, assembly: Assembly, emit: Emit) -> ModelReply:
        stream = await self._open(library, way, arguments)
        async with aclosing(stream):
            while (chunk := await self._next(stream, way)) is not None:
                for delta in assembly.add(chunk):
                    emit(delta)
        # At the end of a stream that broke off, litellm makes up a chunk that says "stop". (For Gemini it makes up the
        # reason itself: there only a transfer that is cut can be told, not one that ends early in good order.)
        finish_reason = stream.received_finish_reason or stream.intermittent_finish_reason
        if finish_reason is None:
            raise ProviderUnavailableError(
                f'model "{self.ref.identifier}" broke off after {assembly.characters} characters: '
                "the stream ended without a finish reason"
            )
        return assembly.reply(finish_reason, _cost_usd(library, way, self.ref.name, assembly.usage))

    async def _open(self, library: Library, way: Route, arguments: Json) -> Record:
        connections = await pool()
        try:
            if way.provider.prefix == "openai":
                chat = connections.chat(way.api_base or "", way.api_key, self.ref.organization)
                return await chat.ask(self.ref.name, arguments, self.timeout_s)
            handler = connections.handler(self.timeout_s)
            return await library.acompletion(**arguments, client=handler, litellm_logging_obj=log_of(arguments))
        except Exception as error:  # litellm raises whatever its 100 providers' code raises
            raise self._translated(error, way) from error

    async def _next(self, stream: Record, way: Route) -> Record | None:
        try:
            return await anext(stream, None)
        except Exception as error:  # as above
            raise self._translated(error, way) from error

    def _arguments(self, way: Route, request: ModelRequest) -> Json:
        arguments: Json = {
            "model": way.model,
            "api_key": way.api_key,
            "stream": True,
            "stream_options": {"include_usage": True},
            "timeout": self.timeout_s,
            # Asking again is ours: by default the SDK and litellm both do, out of sight.
            "max_retries": 0,
            "num_retries": 0,
            **request_arguments(request, way.provider),
        }
        if way.api_base is not None:
            arguments["api_base"] = way.api_base
        if self.ref.organization is not None:
            arguments["organization"] = self.ref.organization
        if taken := arguments.keys() & self.ref.extensions.keys():
            raise ConfigError(
                f'model "{self.ref.identifier}": extensions must not set {quoted(taken)}, which the request sets'
            )
        return arguments | self.ref.extensions

    def _where(self, way: Route) -> str:
        return f'model "{self.ref.identifier}"' + (f' at "{way.api_base}"' if way.api_base else "")

    def _translated(self, error: BaseException, way: Route) -> LoomError:
        error = _original(error)
        status = getattr(error, "status_code", None)
        detail = _detail(error, way.api_key)
        where = self._where(way)
        is_overflow = isinstance(error, Refused) and error.is_overflow
        if is_overflow or type(error).__name__ == "ContextWindowExceededError" or 413 in _statuses(error):
            return ContextOverflowError(f"{where}: the request does not fit the model's window: {detail}")
        if status == 429:
            wish_s = _header_wish_s(error)
            when = "" if wish_s is None else f"; asks to wait {wish_s:g} s"
            return RateLimitError(f"{where} wants fewer calls{when}: {detail}", retry_after_s=wish_s)
        code = f" (status {status})" if getattr(error, "litellm_response_headers", None) else ""
        # litellm gives status 500 to what never got an answer, too.
        if isinstance(status, int) and (status >= 500 or status == 408):
            hint = "" if code or way.provider.keys else "; is its server running?"
            return ProviderUnavailableError(f"{where} is not available{code}: {detail}{hint}")
        return ProviderError(f"{where} refused the request{code}: {detail}")


def client(ref: ModelRef) -> LiteLLMModel:
    """Return the client for `ref`. Raises `ConfigError` for an unknown provider; loads and calls nothing."""
    provider_of(ref)
    return LiteLLMModel(ref=ref)


async def _library() -> Library:
    # Importing takes seconds: in a thread, so that the loop goes on; left alone when this call is cancelled.
    return _load() if _load.cache_info().currsize else await anyio.to_thread.run_sync(_load, abandon_on_cancel=True)


@cache
def _load() -> Library:
    # Else litellm fetches prices and headers from the network, and reads a file .env of the working directory.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    try:
        library: Library = import_module("litellm")
        # Else the first call would load them, and stop the loop for as long.
        for part in ("llms.custom_httpx.http_handler", "litellm_core_utils.litellm_logging", "utils"):
            import_module(f"litellm.{part}")
        library.utils.get_optional_params(model="", custom_llm_provider="openai", messages=[])
    except ImportError as error:
        raise ProviderUnavailableError(
            f'models at providers need the package "litellm", which cannot be imported ({error}): '
            'pip install "loom-agent[agent]"'
        ) from error
    library.suppress_debug_info = True
    # Else counting the tokens of a model whose name looks like Llama asks the network, five times.
    library.disable_hf_tokenizer_download = True
    if "LITELLM_LOG" not in os.environ:
        getLogger("LiteLLM").setLevel(CRITICAL)
    return library


def _original(error: BaseException) -> BaseException:
    """Return the error inside litellm's mark of a stream that failed, which has neither its headers nor its type."""
    original = getattr(error, "original_exception", None)
    return original if isinstance(original, BaseException) else error


def _statuses(error: BaseException) -> set[object]:
    """Return every status on the way from the provider's answer to `error`: litellm makes a 400 of some."""
    found = set[object]()
    step: BaseException | None = error
    while step is not None:
        found.add(getattr(step, "status_code", None))
        step = step.__context__
    return found


def _detail(error: BaseException, key: str) -> str:
    """Return the provider's own words, without litellm's prefixes and without the key."""
    said, *_ = str(error).split("\nTraceback ")
    text = re.sub(r"^(?:(?:litellm\.)?[A-Za-z ]*(?:Error|Exception|Timeout)(?:: | - ))+", "", said)
    if len(key) >= SECRET:
        text = text.replace(key, "***")
    return text if len(text) <= MAX_DETAIL else f"{text[:MAX_DETAIL]}…"


def _header_wish_s(error: BaseException) -> float | None:
    headers = getattr(error, "litellm_response_headers", None)
    return retry_after_s(headers, time.time()) if headers else None


def _wish_s(error: ProviderError) -> float | None:
    if isinstance(error, RateLimitError):
        return error.retry_after_s
    return None if error.__cause__ is None else _header_wish_s(_original(error.__cause__))


def _cost_usd(library: Library, way: Route, name: str, usage: Record) -> float | None:
    """Return the price of a call by litellm's offline table, None where it has none."""
    if way.provider.prices is None or usage is None:
        return None
    try:
        prompt, completion = library.cost_per_token(
            model=name, custom_llm_provider=way.provider.prices, usage_object=usage
        )
    except library.ModelNotMappedError:
        return None
    # Models that are listed without a price come out as 0.
    return float(prompt + completion) or None
