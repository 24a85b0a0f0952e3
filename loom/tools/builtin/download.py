"""One GET over HTTP, whose every step is bounded: where to, how far, how long, how much.

The address that was judged is the address that is connected to. A name is looked up once for each request; were it
looked up again for the connection, the second answer could be another (DNS rebinding).
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from loom.errors import ToolExecutionError, ToolPermissionError, error_text
from loom.tools.builtin.addresses import Network, is_public, plain_host

Resolver = Callable[[str, int], Sequence[str]]

MAX_REDIRECTS: Final = 5
_MAX_URL_CHARS: Final = 8000
_MAX_ADDRESSES: Final = 4  # of a host that are tried
_PORTS: Final = {"http": 80, "https": 443}
_HEADERS: Final = {"Accept": "text/*, application/json, application/xml;q=0.9", "Accept-Encoding": "identity"}
_USER_AGENT: Final = "loom-agent"


def addresses_of(host: str, port: int) -> list[str]:
    """Look up the addresses of a host by the system's own resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


@dataclass(frozen=True, slots=True)
class Page:
    """What came back. `content` is cut at the size allowed, and then `is_cut`."""

    url: str
    content_type: str
    content: bytes
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """What a download may do. No `hosts` means all that are public; `.example.com` stands for all names under it."""

    hosts: tuple[str, ...]
    private: tuple[Network, ...]
    max_bytes: int
    timeout_s: float
    resolve: Resolver = addresses_of


class Download:
    """One GET that follows redirects, each judged as the first address was. `stop` may be called from any thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._stopped = False

    def stop(self) -> None:
        """End it: whatever waits for the network wakes up and fails."""
        with self._lock:
            self._stopped = True
            self._cut_off()

    def run(self, url: str) -> Page:
        """Get a page.

        Raises:
            ToolPermissionError: the address, or one that it leads to, is not allowed.
            ToolExecutionError: it cannot be reached, answers with an error, or leads on too often.
        """
        for _ in range(MAX_REDIRECTS + 1):
            target = _checked(url, self._limits)
            try:
                found = self._get(target)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise ToolExecutionError(f'"{url}" cannot be fetched: {error_text(error)}') from error
            finally:
                with self._lock:
                    self._cut_off()
            if isinstance(found, Page):
                return found
            url = urljoin(url, found)
        raise ToolExecutionError(f'"{url}" cannot be fetched: more than {MAX_REDIRECTS} redirects')

    def _get(self, target: SplitResult) -> Page | str:
        """Send one request; return the page, or where it leads to."""
        host = plain_host(target.hostname or "")
        port = target.port or _PORTS[target.scheme]
        connection = self._connected(target.scheme, host, port)
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        # The characters that a path may have as they are; others in UTF-8 and percent signs.
        quoted = "".join(c if "!" <= c <= "~" else "".join(f"%{byte:02X}" for byte in c.encode()) for c in path)
        connection.request("GET", quoted, headers=_HEADERS | {"User-Agent": _USER_AGENT})
        response = connection.getresponse()
        url = target.geturl()
        if response.status in {301, 302, 303, 307, 308}:
            if not (location := response.getheader("Location")):
                raise ToolExecutionError(f'"{url}" answered {response.status} without saying where to')
            return location
        if response.status != 200:
            raise ToolExecutionError(f'"{url}" answered {response.status} {response.reason}')
        if response.getheader("Content-Encoding", "identity").lower() != "identity":
            raise ToolExecutionError(f'"{url}" answered with compressed content, which was not asked for')
        content = bytearray()
        while len(content) <= self._limits.max_bytes and (piece := response.read1(65_536)):
            content += piece
        if response.length and len(content) <= self._limits.max_bytes:
            raise ToolExecutionError(
                f'"{url}" cannot be fetched: the connection ended {response.length} bytes too early'
            )
        kept = bytes(content[: self._limits.max_bytes])
        return Page(url, response.getheader("Content-Type", ""), kept, len(kept) < len(content))

    def _connected(self, scheme: str, host: str, port: int) -> http.client.HTTPConnection:
        """Connect to an address of the host's, all of which must be allowed."""
        found = [host] if ":" in host else list(self._limits.resolve(host, port))
        refused = [address for address in found if not is_public(address, self._limits.private)]
        if refused or not found:
            where = f"its address {refused[0]} is not public" if refused else "it has no address"
            raise ToolPermissionError(f'"{host}" is not fetched from: {where}')
        connection = http.client.HTTPConnection(host, port, timeout=self._limits.timeout_s)
        connection.default_port = _PORTS[scheme]  # which its Host header leaves out
        self._connection = connection
        connection.sock = plain = _first_open(found, port, self._limits.timeout_s)
        if scheme == "http":
            self._go_on()
            return connection
        # The handshake waits until the new socket is in its place, where it can be cut off.
        context = ssl.create_default_context()
        connection.sock = secure = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
        self._go_on()
        secure.do_handshake()
        return connection

    def _go_on(self) -> None:
        """Fail if it was stopped while no socket was there to be cut off."""
        with self._lock:
            if self._stopped:
                self._cut_off()
                raise OSError("stopped")

    def _cut_off(self) -> None:
        if self._connection is not None and self._connection.sock is not None:
            with suppress(OSError):  # it may be closed already
                self._connection.sock.shutdown(socket.SHUT_RDWR)
            self._connection.close()


def _first_open(addresses: Sequence[str], port: int, timeout_s: float) -> socket.socket:
    last: OSError | None = None
    for address in addresses[:_MAX_ADDRESSES]:
        try:
            return socket.create_connection((address, port), timeout=timeout_s)
        except OSError as error:
            last = error
    raise last or OSError("no address")


def _checked(url: str, limits: Limits) -> SplitResult:
    """Return the parts of an address that may be fetched, as far as they can be told without looking it up."""
    if len(url) > _MAX_URL_CHARS or any(c <= " " or c in "\\\x7f" for c in url):
        raise ToolPermissionError(f"{url[:200]!r} is too long, or has characters that no address should have")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ToolPermissionError(f'"{url}" is no address: {error}') from error
    if parts.scheme not in _PORTS:
        raise ToolPermissionError(f'"{url}" is not fetched: only http and https are')
    if parts.username is not None or parts.password is not None or not parts.hostname or port == 0:
        raise ToolPermissionError(f'"{url}" is not fetched: it must have a host, and no name or password')
    host = plain_host(parts.hostname)
    if limits.hosts and not any(_is_under(host, allowed) for allowed in limits.hosts):
        raise ToolPermissionError(f'"{host}" is not among the hosts that may be fetched from')
    return parts


def _is_under(host: str, allowed: str) -> bool:
    return host.endswith(allowed) if allowed.startswith(".") else host == allowed
