"""A tool that fetches a page from the internet, and from nowhere else."""

import codecs
import re
from collections.abc import Sequence
from email.message import Message
from ipaddress import IPv6Address
from typing import Annotated, Any, Final

import anyio
import anyio.to_thread
from pydantic import Field

from loom.errors import ConfigError, ToolExecutionError, ToolPermissionError, short
from loom.tools.builtin.addresses import networks, plain_host
from loom.tools.builtin.download import Download, Limits, Page, Resolver, addresses_of
from loom.tools.builtin.pages import text_of_page
from loom.tools.tool import ToolSpec, tool
from loom.types.given import check_count, check_seconds, check_texts

_TEXT: Final = re.compile(
    r"text/.+|application/(?:.+\+)?(?:json|xml|yaml)|application/(?:javascript|ndjson|x-ndjson|jsonl|x-yaml|toml|sql)"
)
_HTML: Final = frozenset({"text/html", "application/xhtml+xml"})
# Of Python's codecs those that are character sets of pages; others are slow, or no character sets.
_CHARSET: Final = re.compile(
    r"utf-?(?:8|16)(?:-[bl]e)?|ascii|iso8859-\d+|cp12\d\d|koi8-[ru]|big5|gbk|gb\w+|euc_\w+|shift_jis"
)

Url = Annotated[str, Field(description='as in "https://example.com/page"')]


# Any: tools take different arguments.
def fetch_tool(
    *,
    allow_hosts: Sequence[str] | None = None,
    max_bytes: int = 1_000_000,
    timeout_s: float = 20.0,
    allow_private: Sequence[str] = (),
    resolve: Resolver = addresses_of,
) -> ToolSpec[..., Any]:
    """Return the tool `fetch`, which gets a text or a page by its address, HTML as plain text.

    Only public addresses are fetched from, by http and https; `allow_private` names addresses or networks that are
    allowed nevertheless, as in "127.0.0.1". `allow_hosts` are the only hosts to fetch from, `.example.com` standing
    for all names under it; None means all. Each redirect is judged like the first address. A page is cut at
    `max_bytes`, and given up after `timeout_s` seconds. `resolve` looks up the addresses of a host at a port.

    A model that may fetch can also tell: what stands in an address reaches its host.

    Raises:
        ConfigError: a setting is not what it should be.
    """
    check_count("fetch_tool(max_bytes=…)", max_bytes)
    check_seconds("fetch_tool(timeout_s=…)", timeout_s)
    check_texts("fetch_tool(allow_private=…)", allow_private, '"127.0.0.1"')
    if not callable(resolve):
        raise ConfigError(f"fetch_tool(resolve=…) must be a function; got {type(resolve).__name__}: {short(resolve)}")
    limits = Limits(_hosts(allow_hosts), networks(allow_private), max_bytes, timeout_s, resolve)

    @tool(read_only=True, idempotent=True, concurrency_safe=True, timeout_s=timeout_s + 5)
    async def fetch(url: Url) -> str:
        """Fetch a page or a text from the internet, as plain text."""
        download = Download(limits)
        try:
            with anyio.fail_after(timeout_s):
                page = await anyio.to_thread.run_sync(download.run, url, abandon_on_cancel=True)
        except TimeoutError:
            raise ToolExecutionError(f'"{url}" was given up after {timeout_s:g} s') from None
        finally:
            download.stop()  # what was abandoned waits no longer
        return _shown(page, url)

    return fetch


def _hosts(allowed: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the hosts that may be fetched from, none for all, each as it is compared."""
    if allowed is None:
        return ()
    place = "fetch_tool(allow_hosts=…)"
    check_texts(place, allowed, '"example.com", ".example.org"')
    if not allowed:
        raise ConfigError(f"{place} must be names of hosts, or None for all hosts; got none: {short(allowed)}")
    try:
        return tuple(map(_host, allowed))
    except ToolPermissionError as error:
        example = '"example.com", or ".example.com" for all names under it'
        raise ConfigError(f"{place} must be names of hosts, without scheme and port, as {example}; {error}") from error


def _host(name: str) -> str:
    address = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    if ":" in address:
        try:
            return str(IPv6Address(address))
        except ValueError:
            raise ToolPermissionError(f'"{name}" is no name of a host') from None
    return f".{plain_host(name[1:])}" if name.startswith(".") else plain_host(name)


def _shown(page: Page, asked: str) -> str:
    header = Message()
    header["Content-Type"] = page.content_type or "text/plain"
    kind = header.get_content_type()
    charset = _charset(header.get_content_charset())
    if not _TEXT.fullmatch(kind) or (b"\0" in page.content and not charset.startswith("utf-16")):
        raise ToolExecutionError(f'"{page.url}" is no text; it is of the type {kind}')
    text = page.content.decode(charset, errors="replace")
    shown = text_of_page(text) if kind in _HTML else text
    notes = [f"(from {page.url})"] if page.url != asked else []
    notes += [f"(only the first {len(page.content)} bytes)"] if page.is_cut else []
    return "\n".join([*notes, shown])


def _charset(said: str | None) -> str:
    try:
        name = codecs.lookup(said or "utf-8").name
    except LookupError:
        return "utf-8"
    return name if _CHARSET.fullmatch(name) else "utf-8"
