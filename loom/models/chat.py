"""OpenAI's chat protocol over a pool's connections.

It stands where litellm expects OpenAI's SDK, which alone takes longer than the rest of a call: litellm makes the
request and knows each server's ways with it; here it is sent, and its stream of events is read.
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


class Refused(Exception):  # noqa: N818 - it never leaves this room
    """The server's refusal, with what litellm looks for in one."""

    def __init__(self, status_code: int, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.message = message
        self.headers = dict(headers)
        self.body = None


class Piece:
    """An object of the protocol. What is not there is None: servers leave out what they do not need."""

    usage: Any

    def __init__(self, fields: Json) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the protocol's own values
        return None


class ChatClient:
    """Sends chat requests to one server, as `chat.completions.with_raw_response.create` of OpenAI's SDK does."""

    def __init__(self, session: Record, api_base: str, api_key: str, organization: str | None) -> None:
        self.organization = organization
        self.max_retries = 0
        self.api_key = api_key
        self.chat = self.completions = self.with_raw_response = self
        self._session = session
        self._url = f"{api_base.rstrip('/')}/chat/completions"
        self._proxy = _proxy(self._url)
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        if organization:
            self._headers["OpenAI-Organization"] = organization

    async def create(
        self,
        *,
        timeout: float,  # noqa: ASYNC109 - the SDK's name; it is the longest silence
        extra_headers: Mapping[str, str] | None = None,
        extra_query: Mapping[str, str] | None = None,
        extra_body: Json | None = None,
        **body: Any,
    ) -> "ChatStream":
        """Ask, and return the stream once the server has begun to answer."""
        aiohttp = import_module("aiohttp")
        try:
            response = await self._session.post(
                self._url,
                data=json.dumps(body | (extra_body or {})).encode(),
                headers={**self._headers, **(extra_headers or {})},
                params=extra_query,
                proxy=self._proxy,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout),
            )
            if response.status >= 300:
                said = (await response.read()).decode(errors="replace")
                raise Refused(response.status, _message(said), response.headers)
        except TimeoutError as error:
            raise Refused(408, f"no answer in {timeout:g} s", {}) from error
        except aiohttp.ClientError as error:
            raise Refused(500, f"connection error: {error}", {}) from error
        return ChatStream(response, timeout)


class ChatStream:
    """The chunks of one answer, as litellm's own streams give them."""

    def __init__(self, response: Record, timeout_s: float) -> None:
        self.headers: Mapping[str, str] = response.headers
        self.received_finish_reason: str | None = None
        self.intermittent_finish_reason: str | None = None
        self._response = response
        self._timeout_s = timeout_s
        self._chunks = self._read()

    def parse(self) -> "ChatStream":
        """Return the stream: the SDK parses a whole answer here."""
        return self

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
            raise Refused(408, f"silent for {self._timeout_s:g} s", {}) from error
        except aiohttp.ClientError as error:
            raise Refused(500, f"the stream broke off: {error}", {}) from error

    def _chunk(self, line: bytes) -> Piece | None:
        said = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or said in {b"", b"[DONE]"}:
            return None
        try:
            chunk: Piece = json.loads(said, object_hook=Piece)
        except ValueError as error:
            raise Refused(500, f"an event that is no JSON: {said[:200]!r}", {}) from error
        if chunk.error:
            code = getattr(chunk.error, "code", None)
            raise Refused(code if isinstance(code, int) else 500, _message(said.decode(errors="replace")), {})
        if chunk.usage:
            # litellm's own record: it is what the price is computed from.
            chunk.usage = import_module("litellm").Usage(**json.loads(said)["usage"])
        for choice in (chunk.choices or ())[:1]:
            self.received_finish_reason = choice.finish_reason or self.received_finish_reason
        return chunk


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
