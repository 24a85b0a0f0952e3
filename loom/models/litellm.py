"""The client of every provider, with what litellm knows of them: loaded on first use, silent, offline."""

import os
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import cache
from importlib import import_module
from logging import CRITICAL, getLogger
from typing import Any

import anyio
import anyio.to_thread
from pydantic import Field, field_validator

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
from loom.models.chat import events
from loom.models.pool import pool
from loom.models.protocols import Post, Reader, load, post
from loom.models.providers import SHORTEST_SECRET, Route, provider_of, route
from loom.models.refusals import Refused
from loom.models.retry import Backoff
from loom.models.wire import Assembly, Record, request_arguments
from loom.types.characters import mended
from loom.types.models import Emit, ModelRef, ModelReply, ModelRequest
from loom.types.settings import Settings
from loom.types.stream import ModelDelta

# Any: litellm as a module. Its types are not imported: checking them would take longer than checking all of Loom.
Library = Any

MAX_DETAIL = 2000  # characters of a provider's own words in an error


class LiteLLMModel(Settings):
    """A model at a provider, asked over the network.

    Rate limits and outages are asked again as `backoff` says, but never once a piece of the reply was emitted.
    `timeout_s` is the longest silence: before the reply begins and between two of its pieces. The request's own
    `timeout_s` is for all of it. A provider whose calls fail one after the other is left alone as `breaker` says.
    Raises `ConfigError` for a setting of the wrong kind, an unknown provider, and extensions that say how to ask.
    """

    ref: ModelRef
    backoff: Backoff = Backoff()
    timeout_s: float = Field(default=600.0, gt=0)
    breaker: Breaker = Field(default=BREAKER, exclude=True, repr=False)
    # For tests: how to wait, and a random number from 0 to 1.
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    chance: Callable[[], float] = random.random

    @field_validator("ref")
    @classmethod
    def _can_be_asked(cls, ref: ModelRef) -> ModelRef:
        provider_of(ref)
        return ref

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
            sent = self._post(way, arguments, request)
            turn = len(request.messages)
            with self.breaker.guard((self.ref.identifier, way.api_base), self._where(way)):
                try:
                    return await self._settled(library, way, sent, turn, emit)
                except ProviderError as error:
                    if not (request.temperature_is_default and _minds_temperature(error)):
                        raise
                # A model newer than what litellm knows: it is asked without from now on.
                _WITHOUT_TEMPERATURE.add((self.ref.identifier, way.api_base))
                sent = self._post(way, self._arguments(way, request), request)
                return await self._settled(library, way, sent, turn, emit)
        raise ProviderUnavailableError(f"{self._where(way)} did not finish in the {timeout_s:g} s that it had")

    async def _settled(self, library: Library, way: Route, sent: Post, turn: int, emit: Emit) -> ModelReply:
        """Ask, and ask again while there is reason, time and nothing said yet."""
        heard = False

        def hear(delta: ModelDelta) -> None:
            nonlocal heard
            heard = True
            emit(delta)

        attempt = 1
        while True:
            try:
                assembly = Assembly(self.ref.identifier, turn, way.provider.prefix)
                return await self._ask(library, way, sent, assembly, hear)
            except (ProviderUnavailableError, RateLimitError) as error:
                wait_s = None if heard else self.backoff.wait_s(attempt, _wish_s(error), self.chance())
                if wait_s is None or wait_s >= anyio.current_effective_deadline() - anyio.current_time():
                    if attempt > 1:
                        error.add_note(f"asked {attempt} times")
                    raise
            await self.sleep(wait_s)
            attempt += 1

    async def _ask(self, library: Library, way: Route, sent: Post, assembly: Assembly, emit: Emit) -> ModelReply:
        read = sent.reader()
        try:
            async with aclosing(events(await pool(), sent, self.timeout_s)) as said:
                async for event in said:
                    for delta in _taken(assembly, read, event):
                        emit(delta)
        except Refused as error:
            raise self._translated(error, way) from error
        for delta in assembly.rest():
            emit(delta)
        return assembly.reply(_cost_usd(library, way, assembly.usage))

    def _post(self, way: Route, arguments: Json, request: ModelRequest) -> Post:
        try:
            return post(way, arguments, temperature_is_default=request.temperature_is_default)
        except Exception as error:  # litellm raises whatever its providers' code raises
            detail = _detail(error, way.api_key)
            raise ProviderError(f"{self._where(way)} cannot be asked this: {detail}") from error

    def _arguments(self, way: Route, request: ModelRequest) -> Json:
        arguments = request_arguments(request, way.provider)
        if taken := arguments.keys() & self.ref.extensions.keys():
            raise ConfigError(
                f'model "{self.ref.identifier}": extensions must not set {quoted(taken)}, which the request sets'
            )
        if request.temperature_is_default and (self.ref.identifier, way.api_base) in _WITHOUT_TEMPERATURE:
            arguments.pop("temperature", None)
        return arguments | self.ref.extensions

    def _where(self, way: Route) -> str:
        return f'model "{self.ref.identifier}"' + (f' at "{way.api_base}"' if way.api_base else "")

    def _translated(self, error: Refused, way: Route) -> LoomError:
        detail = _detail(error, way.api_key)
        where = self._where(way)
        if error.is_overflow:
            return ContextOverflowError(f"{where}: the request does not fit the model's window: {detail}")
        if error.status == 429:
            when = "" if error.wish_s is None else f"; asks to wait {error.wish_s:g} s"
            return RateLimitError(f"{where} wants fewer calls{when}: {detail}", retry_after_s=error.wish_s)
        code = f" (status {error.status})" if error.has_status else ""
        if error.status >= 500 or error.status == 408:
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
    if "LITELLM_LOG" not in os.environ:
        getLogger("LiteLLM").setLevel(CRITICAL)
    try:
        library: Library = import_module("litellm")
        library.suppress_debug_info = True
        load()
        import_module("aiohttp")
    except ImportError as error:
        raise ProviderUnavailableError(
            f'models at providers need the package "litellm", which cannot be imported ({error}): '
            'pip install "loom-agent[agent]"'
        ) from error
    return library


def _taken(assembly: Assembly, read: Reader, event: Json) -> list[ModelDelta]:
    """Take one event of an answer in; return what of it can be shown at once."""
    try:
        return assembly.add(read(event))
    except Exception as error:  # litellm's readers raise what they happen to
        raise Refused(500, f"an event that cannot be read ({error!r}): {str(event)[:200]}") from error


def _detail(error: BaseException, key: str) -> str:
    """Return the provider's own words, or litellm's without prefixes and without the messages; never the key."""
    said, *_ = str(error).split("\nReceived Messages=")
    text = re.sub(r"^(?:litellm\.[A-Za-z]+: )+", "", said)
    if len(key) >= SHORTEST_SECRET:
        text = text.replace(key, "***")
    return mended(text if len(text) <= MAX_DETAIL else f"{text[:MAX_DETAIL]}…")


# Models, by identifier and server, that refused a default temperature.
_WITHOUT_TEMPERATURE: set[tuple[str, str]] = set()


def _minds_temperature(error: ProviderError) -> bool:
    refused = error.__cause__
    return isinstance(refused, Refused) and refused.status == 400 and "temperature" in str(refused)


def _wish_s(error: BaseException) -> float | None:
    return error.__cause__.wish_s if isinstance(error.__cause__, Refused) else None


def _cost_usd(library: Library, way: Route, usage: Record) -> float | None:
    """Return the price of a call by litellm's offline table, None where it has none."""
    if way.provider.prices is None or usage is None:
        return None
    try:
        prompt, completion = library.cost_per_token(
            model=way.model, custom_llm_provider=way.provider.prices, usage_object=usage
        )
    except library.ModelNotMappedError:
        return None
    # Models that are listed without a price come out as 0.
    return float(prompt + completion) or None
