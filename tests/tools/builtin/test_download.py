"""Tests of a GET, against servers of this machine; `serving` and `Site` are for the tests of the tool too."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from loom.errors import ToolExecutionError, ToolPermissionError
from loom.tools.builtin.addresses import networks
from loom.tools.builtin.download import MAX_REDIRECTS, Download, Limits, Page, addresses_of


class Site(ThreadingHTTPServer):
    """Answers by path: (status, headers, body). What was asked, with its Host header, is in `asked`."""

    daemon_threads = True

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), _Handler)
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        self.sent = 0

    @property
    def at(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Site  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))
        status, headers, body = self.server.pages[self.path]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for at in range(0, len(body), 65_536):
                self.server.sent += self.wfile.write(body[at : at + 65_536])
        except OSError:
            return  # the other side has had enough

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def serving(site: Site) -> Generator[Site]:
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        site.server_close()
        thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as site:
        yield site


@contextmanager
def silent() -> Generator[tuple[socket.socket, str]]:
    """Listen, and say nothing to who connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, f"127.0.0.1:{server.getsockname()[1]}"


class Names:
    """A resolver that answers from a table and counts; of a list of answers each is given once, the last for ever."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self.names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self.names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


def get(
    url: str,
    *,
    hosts: tuple[str, ...] = (),
    resolve: Names | None = None,
    private: bool = True,
    timeout_s: float = 5.0,
) -> Page:
    allowed = networks(["127.0.0.1"] if private else [])
    return Download(Limits(hosts, allowed, 1000, timeout_s, resolve or addresses_of)).run(url)


def test_a_page_is_fetched(site: Site) -> None:
    site.pages["/a%20b?q=%C3%BC&x"] = (200, {"Content-Type": "text/plain"}, b"hello")
    url = f"{site.at}/a%20b?q=ü&x#part"
    assert get(url) == Page(url, "text/plain", b"hello", is_cut=False)
    assert site.asked == [("/a%20b?q=%C3%BC&x", site.at.removeprefix("http://"))]


def test_a_page_is_cut_at_the_size_allowed_however_much_comes(site: Site) -> None:
    site.pages["/"] = (200, {"Content-Length": "100000000"}, b"x" * 100_000_000)
    page = get(site.at)
    assert (len(page.content), page.is_cut) == (1000, True)
    assert site.sent < 50_000_000
    site.pages["/"] = (200, {"Content-Length": "1000"}, b"x" * 1000)
    assert not get(site.at).is_cut


def test_redirects_are_followed_and_the_last_address_is_told(site: Site) -> None:
    site.pages["/one"] = (302, {"Location": "two?x=1"}, b"")
    site.pages["/two?x=1"] = (301, {"Location": f"{site.at}/three"}, b"")
    site.pages["/three"] = (200, {}, b"here")
    assert (get(f"{site.at}/one").url, get(f"{site.at}/one").content) == (f"{site.at}/three", b"here")


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "http://[::1]/", "http://127.0.0.2/",
        "http://2130706433/", "http://0x7f.1/", "http://[::ffff:10.0.0.1]/", "//10.0.0.1/", "file:///etc/passwd",
        "gopher://x/", "javascript:x", "http://user@example.com/", "http://[64:ff9b::10.0.0.1]/",
    ],
)  # fmt: skip
def test_a_redirect_to_what_is_private_is_not_followed(to: str, site: Site) -> None:
    site.pages["/"] = (302, {"Location": to}, b"")
    with pytest.raises(ToolPermissionError):
        get(f"{site.at}/")


def test_redirects_have_an_end(site: Site) -> None:
    site.pages["/"] = (302, {"Location": "/"}, b"")
    with pytest.raises(ToolExecutionError, match=f"more than {MAX_REDIRECTS} redirects"):
        get(f"{site.at}/")
    assert len(site.asked) == MAX_REDIRECTS + 1


def test_what_is_private_is_not_connected_to(site: Site) -> None:
    with pytest.raises(
        ToolPermissionError, match=r'"127.0.0.1" is not fetched from: its address 127.0.0.1 is not public'
    ):
        get(site.at, private=False)
    names = Names(inner_example=[["10.0.0.1"]], mixed_example=[["127.0.0.1", "::ffff:10.0.0.1"]], none_example=[[]])
    for host in ("inner.example", "mixed.example", "none.example"):
        with pytest.raises(ToolPermissionError, match=f'"{host}" is not fetched from'):
            get(f"http://{host}/", resolve=names)
    assert site.asked == []


def test_a_name_that_changes_its_address_gains_nothing() -> None:
    with serving(Site("127.0.0.1")) as outer, serving(Site("127.0.0.2")) as inner:
        outer.pages["/"] = inner.pages["/"] = (302, {"Location": "/next"}, b"")
        outer.pages["/next"] = inner.pages["/next"] = (200, {}, b"page")
        names = Names(evil_example=[["127.0.0.1"], ["127.0.0.2"]])
        with pytest.raises(ToolPermissionError, match=r"its address 127.0.0.2 is not public"):
            get(f"http://evil.example:{outer.server_address[1]}/", resolve=names)
        assert names.asked == ["evil.example", "evil.example"]
        assert [path for path, _ in outer.asked] == ["/"]
        assert inner.asked == []


def test_a_name_is_looked_up_once_for_a_request_and_sent_as_the_host(site: Site) -> None:
    site.pages["/"] = (200, {}, b"page")
    names = Names(example_com=[["127.0.0.1"], ["10.0.0.1"]])
    port = site.server_address[1]
    assert get(f"http://EXAMPLE.com.:{port}/", resolve=names).content == b"page"
    assert (names.asked, site.asked) == (["example.com"], [("/", f"example.com:{port}")])


def test_the_next_address_is_tried_where_one_does_not_answer(site: Site) -> None:
    site.pages["/"] = (200, {}, b"page")
    names = Names(example_com=[["127.0.0.3", "127.0.0.1"]])
    limits = Limits((), networks(["127.0.0.0/8"]), 100, 5, names)
    assert Download(limits).run(f"http://example.com:{site.server_address[1]}").content == b"page"


def test_only_hosts_that_are_allowed_are_fetched_from(site: Site) -> None:
    site.pages["/"] = (302, {"Location": "http://other.com/"}, b"")
    port = site.server_address[1]
    names = Names(example_com=[["127.0.0.1"]], a_example_com=[["127.0.0.1"]])
    for host, hosts in {"example.com": ("example.com",), "a.example.com": ("x.org", ".example.com")}.items():
        with pytest.raises(ToolPermissionError, match=r'"other.com" is not among the hosts'):
            get(f"http://{host}:{port}/", hosts=hosts, resolve=names)
    for host in ("badexample.com", "example.com.evil.org", "example.com"):
        with pytest.raises(ToolPermissionError, match="is not among the hosts"):
            get(f"http://{host}/", hosts=(".example.com",), resolve=names)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "example.com", "", "http://", "http://a:b@example.com/", "http://@x.com/",
        "http://example.com:99999/", "http://example.com:0/", "http://exa mple.com/", "http://example.com/\r\nX: y",
        "http://example.com\\@10.0.0.1/", "http://[::1", "http://[fe80::1%25eth0]/", "http://127.0.0.1%00.example.com/",
        "http://0177.0.0.1/", "http://2130706433/", "http://\uff11\uff12\uff17.0.0.2/", "data:text/plain,x", "http:///x",
        "http://example.com/" + "x" * 8000,
    ],
)  # fmt: skip
def test_an_address_that_is_none_or_plays_tricks_is_refused(url: str) -> None:
    with pytest.raises(ToolPermissionError):
        get(url)


def test_what_goes_wrong_is_told(site: Site) -> None:
    site.pages |= {
        "/gone": (404, {}, b"no"),
        "/lost": (302, {}, b""),
        "/packed": (200, {"Content-Encoding": "gzip"}, b"x"),
        "/short": (200, {"Content-Length": "50"}, b"x"),
        "/chunks": (200, {"Transfer-Encoding": "chunked"}, b"5\r\nabc"),
    }
    for path, told in {
        "/gone": "answered 404 Not Found",
        "/lost": "answered 302 without saying where to",
        "/packed": "compressed content, which was not asked for",
        "/short": "the connection ended 49 bytes too early",
        "/chunks": "cannot be fetched",
    }.items():
        with pytest.raises(ToolExecutionError, match=told):
            get(site.at + path)
    with pytest.raises(ToolExecutionError, match="cannot be fetched: ConnectionRefusedError"):
        get("http://127.0.0.1:1/")
    with silent() as (_, at), pytest.raises(ToolExecutionError, match="cannot be fetched: TimeoutError"):
        get(f"http://{at}", timeout_s=0.2)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_download_can_be_stopped_while_it_waits(scheme: str) -> None:
    download = Download(Limits((), networks(["127.0.0.1"]), 100, 15))
    threading.Timer(0.3, download.stop).start()
    began = time.monotonic()
    with silent() as (_, at):
        with pytest.raises(ToolExecutionError, match="cannot be fetched"):
            download.run(f"{scheme}://{at}")
        assert time.monotonic() - began < 5
        with pytest.raises(ToolExecutionError, match="stopped"):
            download.run(f"{scheme}://{at}")


def test_a_certificate_must_be_that_of_the_host_and_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=good.example"]
    made += ["-addext", "subjectAltName=DNS:good.example", "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(made, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl, which makes a certificate for the test, is not installed")
    site = Site()
    site.pages["/"] = (200, {}, b"secret")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    site.socket = context.wrap_socket(site.socket, server_side=True)
    names = Names(good_example=[["127.0.0.1"]], evil_example=[["127.0.0.1"]])
    with serving(site):
        port = site.server_address[1]
        with pytest.raises(ToolExecutionError, match="CERTIFICATE_VERIFY_FAILED"):
            get(f"https://good.example:{port}/", resolve=names)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert get(f"https://good.example:{port}/", resolve=names).content == b"secret"
        with pytest.raises(ToolExecutionError, match="Hostname mismatch"):
            get(f"https://evil.example:{port}/", resolve=names)
