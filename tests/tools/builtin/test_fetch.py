"""Tests of the tool that fetches pages."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import pytest

from loom.errors import ConfigError, ToolError
from loom.tools.builtin import fetch_tool
from tests.tools.builtin.test_download import Site, serving, silent

pytestmark = pytest.mark.anyio


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as site:
        yield site


async def fetch(url: str, allow_private: Sequence[str] = ("127.0.0.1",), **settings: Any) -> str:
    result = await fetch_tool(allow_private=allow_private, **settings).call({"url": url})
    assert isinstance(result, str)
    return result


async def test_a_page_is_fetched_as_text(site: Site) -> None:
    site.pages["/"] = (200, {"Content-Type": "text/html; charset=latin-1"}, "<h1>Café</h1><p>open".encode("latin-1"))
    assert await fetch(f"{site.at}/") == "Café\n\nopen"


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain", "é <b>".encode(), "é <b>"),
        ("", b"x", "x"),
        ("application/json", b'{"a": 1}', '{"a": 1}'),
        ("application/problem+json", b"{}", "{}"),
        ("text/plain; charset=utf-16", "é".encode("utf-16"), "é"),
        ("text/plain; charset=shift_jis", "カタ".encode("shift_jis"), "カタ"),
        ("text/plain; charset=no-such", "é".encode(), "é"),
        ("text/plain; charset=punycode", b"a-b-c", "a-b-c"),
        ("text/plain; charset=unicode_escape", b"\\x41", "\\x41"),
        ("text/plain", b"\xff", "\ufffd"),
    ],
)
async def test_text_is_decoded_as_it_says(kind: str, body: bytes, text: str, site: Site) -> None:
    site.pages["/"] = (200, {"Content-Type": kind} if kind else {}, body)
    assert await fetch(f"{site.at}/") == text


@pytest.mark.parametrize(
    ("kind", "body"),
    [("image/png", b"x"), ("application/octet-stream", b"x"), ("application/pdf", b"x"), ("text/plain", b"a\0b")],
)
async def test_what_is_no_text_is_refused(kind: str, body: bytes, site: Site) -> None:
    site.pages["/"] = (200, {"Content-Type": kind}, body)
    with pytest.raises(ToolError, match=f"is no text; it is of the type {kind}"):
        await fetch(f"{site.at}/")


async def test_where_it_came_from_and_what_was_cut_is_told(site: Site) -> None:
    site.pages["/"] = (302, {"Location": "/long"}, b"")
    site.pages["/long"] = (200, {"Content-Type": "text/plain"}, b"x" * 100)
    assert await fetch(f"{site.at}/", max_bytes=10) == f"(from {site.at}/long)\n(only the first 10 bytes)\n{'x' * 10}"


async def test_what_is_private_is_refused_unless_allowed(site: Site) -> None:
    with pytest.raises(ToolError, match=r"its address 127.0.0.1 is not public"):
        await fetch(f"{site.at}/", allow_private=())
    with pytest.raises(ToolError, match=r'"127.0.0.1" is not among the hosts'):
        await fetch(f"{site.at}/", allow_hosts=["example.com"])
    assert site.asked == []


async def test_a_server_that_says_nothing_is_given_up() -> None:
    with silent() as (_, at):
        began = time.monotonic()
        with pytest.raises(ToolError, match=r"was given up after 0.3 s|TimeoutError"):
            await fetch(f"http://{at}/", timeout_s=0.3)
        assert time.monotonic() - began < 5


async def test_cancelling_lets_go_of_the_connection() -> None:
    with silent() as (server, at):
        with anyio.move_on_after(0.3):
            await fetch(f"http://{at}/")
        connection, _ = server.accept()
        with connection:
            connection.settimeout(5)
            while connection.recv(1000):
                pass  # the request; then it is over


def test_a_fetch_reads_and_may_be_made_again() -> None:
    tool = fetch_tool()
    assert (tool.name, tool.read_only, tool.idempotent, tool.concurrency_safe) == ("fetch", True, True, True)


@pytest.mark.parametrize(
    "settings",
    [
        {"allow_hosts": "x.com"},
        {"allow_hosts": []},
        {"allow_hosts": [1]},
        {"allow_hosts": ["http://x.com/"]},
        {"allow_hosts": ["x.com:80"]},
        {"allow_hosts": ["*.x.com"]},
        {"allow_hosts": [".http://x.com"]},
        {"allow_private": "127.0.0.1"},
        {"max_bytes": 0},
        {"max_bytes": "1"},
        {"timeout_s": 0},
        {"timeout_s": "3"},
        {"timeout_s": float("nan")},
        {"allow_private": ["x"]},
        {"resolve": "system"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(ConfigError, match=name):
        fetch_tool(**settings)


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("localhost:8080", 'without scheme and port, as .*; "localhost:8080" is no name of a host'),
        ("[::1]:80", r'without scheme and port, as .*; "\[::1\]:80" is no name of a host'),
        (None, r"must be names of hosts, or None for all hosts; got none: \[\]"),
    ],
)
def test_a_host_that_is_none_is_told_as_it_was_given(host: str | None, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        fetch_tool(allow_hosts=[host] if host else [])


async def test_a_host_may_be_an_address_of_version_6(site: Site) -> None:
    with pytest.raises(ToolError, match=r"cannot be fetched|is not public"):
        await fetch("http://[::1]:9/", allow_hosts=["0:0::1"])
    with pytest.raises(ToolError, match=r"cannot be fetched|is not public"):
        await fetch("http://[::1]:9/", allow_hosts=["[::1]"])
    with pytest.raises(ToolError, match="is not among the hosts"):
        await fetch("http://[::1]:9/", allow_hosts=["::2"])
