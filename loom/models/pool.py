"""The connections to providers: one pool for each event loop, shared by all its calls, closed when the loop ends."""

import asyncio
from collections.abc import AsyncGenerator
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

# Any: a session of aiohttp, whose types are not imported, since they load for long.
Session = Any

KEEPALIVE_S = 60  # how long an idle connection is kept: a turn of tools should find it open


class Pool:
    """The connections of one event loop."""

    def __init__(self) -> None:
        aiohttp = import_module("aiohttp")
        ssl = import_module("litellm.llms.custom_httpx.http_handler").get_ssl_configuration() or False
        # No limit: how many calls there are at once is the graph's to decide, and a stream holds its connection.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S, ssl=ssl)
        self.session: Session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        self._proxies: dict[tuple[str, str], str | None] = {}

    def proxy(self, url: str) -> str | None:
        """Return the proxy that the environment names for `url`, as it was when the server was first asked."""
        scheme, server, *_ = urlsplit(url)
        if (scheme, server) not in self._proxies:
            proxy = None if proxy_bypass(server) else getproxies().get(scheme)
            self._proxies[scheme, server] = f"http://{proxy}" if proxy and "://" not in proxy else proxy
        return self._proxies[scheme, server]


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
        await kept.session.close()
