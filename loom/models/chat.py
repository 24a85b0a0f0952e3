"""OpenAI's chat protocol over a pool's connections.

litellm makes the request, since it knows what each model takes; here it is sent, and its stream of events is read:
litellm's own way there, through OpenAI's SDK, takes longer than all the rest of a call.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

# Any, in this module: JSON of the protocol, and objects of aiohttp and litellm, whose types are not imported.
Json = dict[str, Any]
Record = Any


# Of the arguments of `acompletion`, those that say how to ask, not what.
NOT_SAID = {"model", "api_key", "api_base", "organization", "timeout", "max_retries", "num_retries"}


class Refused(Exception):  # noqa: N818 - it never leaves this room
    """The server's refusal, or that it cannot be heard. The names are those of litellm's errors."""

    def __init__(self, status_code: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.litellm_response_headers = headers

    @property
    def is_overflow(self) -> bool:
        """Whether the server says, in its own words, that the request is too long for the model."""
        checkers = import_module("litellm.litellm_core_utils.exception_mapping_utils").ExceptionCheckers
        return self.status_code == 400 and bool(checkers.is_error_str_context_window_exceeded(str(self)))


class Piece:
    """An object of the protocol. What is not there is None: servers leave out what they do not need."""

    usage: Any

    def __init__(self, fields: Json) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the protocol's own values
        return None


class ChatClient:
    """Sends chat requests to one server."""

    def __init__(self, session: Record, api_base: str, api_key: str, organization: str | None) -> None:
        self._session = session
        self._url = f"{api_base.rstrip('/')}/chat/completions"
        self._proxy = _proxy(self._url)
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        if organization:
            self._headers["OpenAI-Organization"] = organization

    async def ask(self, model: str, arguments: Json, timeout_s: float) -> "ChatStream":
        """Ask as the arguments of litellm's `acompletion` say; return once the server has begun to answer."""
        aiohttp = import_module("aiohttp")
        body, headers = _request(model, arguments)
        try:
            response = await self._session.post(
                self._url,
                data=json.dumps(body).encode(),
                headers=self._headers | headers,
                proxy=self._proxy,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=timeout_s),
            )
            if response.status >= 300:
                said = (await response.read()).decode(errors="replace")
                raise Refused(response.status, _message(said), response.headers)
        except TimeoutError as error:
            raise Refused(408, f"no answer in {timeout_s:g} s") from error
        except aiohttp.ClientError as error:
            raise Refused(500, f"connection error: {error}") from error
        return ChatStream(response, timeout_s)


class ChatStream:
    """The chunks of one answer, as litellm's own streams give them."""

    def __init__(self, response: Record, timeout_s: float) -> None:
        self.received_finish_reason: str | None = None
        self.intermittent_finish_reason: str | None = None
        self._response = response
        self._timeout_s = timeout_s
        self._chunks = self._read()

    def __aiter__(self) -> "ChatStream":
        return self

    async def __anext__(self) -> Piece:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Hang up, unless the answer was read to its end."""
        await self._chunks.aclose()
        self._response.close()

    async def _read(self) -> AsyncGenerator[Piece]:
        aiohttp = import_module("aiohttp")
        rest = b""
        try:
            # By whatever has arrived, not by aiohttp's lines: those may not be long.
            async for arrived in self._response.content.iter_any():
                *lines, rest = (rest + arrived).split(b"\n")
                for line in lines:
                    if (chunk := self._chunk(line)) is not None:
                        yield chunk
            if (chunk := self._chunk(rest)) is not None:
                yield chunk
        except TimeoutError as error:
            raise Refused(408, f"silent for {self._timeout_s:g} s") from error
        except aiohttp.ClientError as error:
            raise Refused(500, f"the stream broke off: {error}") from error

    def _chunk(self, line: bytes) -> Piece | None:
        said = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or said in {b"", b"[DONE]"}:
            return None
        try:
            chunk: Piece = json.loads(said, object_hook=Piece)
        except ValueError as error:
            raise Refused(500, f"an event that is no JSON: {said[:200]!r}") from error
        if chunk.error:
            code = getattr(chunk.error, "code", None)
            raise Refused(code if isinstance(code, int) else 500, _message(said.decode(errors="replace")))
        if chunk.usage:
            # litellm's own record: it is what the price is computed from.
            chunk.usage = import_module("litellm").Usage(**json.loads(said)["usage"])
        for choice in (chunk.choices or ())[:1]:
            self.received_finish_reason = choice.finish_reason or self.received_finish_reason
        return chunk


def _request(model: str, arguments: Json) -> tuple[Json, dict[str, str]]:
    """Return the request's body, as litellm makes it for this model, and headers of the user's own."""
    litellm = import_module("litellm")
    given = {name: value for name, value in arguments.items() if name not in NOT_SAID}
    messages = given.pop("messages")
    headers: dict[str, str] = given.pop("extra_headers", None) or {}
    parameters = litellm.utils.get_optional_params(
        model=model, custom_llm_provider="openai", messages=messages, **given
    )
    config = litellm.utils.ProviderConfigManager.get_provider_chat_config(
        model=model, provider=litellm.LlmProviders.OPENAI
    )
    body: Json = config.transform_request(
        model=model, messages=messages, optional_params=parameters, litellm_params={}, headers={}
    )
    # What the protocol does not know stands in a place of its own, as for OpenAI's SDK.
    extra: Json = body.pop("extra_body", None) or {}
    return body | extra, headers


def _message(said: str) -> str:
    """Return what a refusal says in words; the whole of it where it is not as the protocol has it."""
    try:
        error = json.loads(said, object_hook=Piece).error
    except (ValueError, AttributeError):
        return said
    return str(getattr(error, "message", None) or error or said)


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names for `url`."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
