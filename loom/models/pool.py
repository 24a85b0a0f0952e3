"""The connections to providers: one pool for each event loop, shared by all its calls, closed when the loop ends."""

import asyncio
from collections.abc import AsyncGenerator
from importlib import import_module
from typing import Any

from loom.models.chat import ChatClient

# Any: objects of litellm and aiohttp, whose types are not imported, since they load for seconds.
Client = Any

KEEPALIVE_S = 60  # how long an idle connection is kept: a turn of tools should find it open


class Pool:
    """The connections of one event loop, and the clients that litellm sends through them."""

    def __init__(self) -> None:
        aiohttp = import_module("aiohttp")
        self._http: Client = import_module("litellm.llms.custom_httpx.http_handler")
        # No limit: how many calls there are at once is the graph's to decide, and a stream holds its connection.
        connector = aiohttp.TCPConnector(
            limit=0, keepalive_timeout=KEEPALIVE_S, ssl=self._http.get_ssl_configuration() or False
        )
        self._session: Client = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        self._handlers: dict[float, Client] = {}
        self._chats: dict[tuple[str, str, str | None], ChatClient] = {}

    def handler(self, timeout_s: float) -> Client:
        """Return the client that litellm's own protocols are spoken with."""
        if timeout_s not in self._handlers:
            self._handlers[timeout_s] = self._http.AsyncHTTPHandler(timeout=timeout_s, shared_session=self._session)
        return self._handlers[timeout_s]

    def chat(self, api_base: str, api_key: str, organization: str | None) -> ChatClient:
        """Return the client that OpenAI's protocol is spoken with."""
        key = (api_base, api_key, organization)
        if key not in self._chats:
            self._chats[key] = ChatClient(self._session, *key)
        return self._chats[key]

    async def close(self) -> None:
        """Close every connection. Calls that are under way fail."""
        await self._session.close()


_pools: dict[asyncio.AbstractEventLoop, tuple[Pool, AsyncGenerator[Pool]]] = {}


async def pool() -> Pool:
    """Return the pool of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        keeper = _kept(loop)
        _pools[loop] = (await anext(keeper), keeper)
    return _pools[loop][0]


async def close() -> None:
    """Close the connections to providers that this event loop holds; the next call opens new ones.

    It is needed only where a loop goes on after the last call: what ends a loop closes them too (`asyncio.run`,
    `anyio.run`, `run_sync`). Calls that are under way fail.
    """
    if held := _pools.get(asyncio.get_running_loop()):
        await held[1].aclose()


async def _kept(loop: asyncio.AbstractEventLoop) -> AsyncGenerator[Pool]:
    # An event loop's last act is to close the generators that were begun in it: so this one learns of its end.
    kept = Pool()
    try:
        yield kept
    finally:
        del _pools[loop]
        await kept.close()
