"""Tests of which addresses are public."""

import pytest

from loom.errors import ConfigError, ToolPermissionError
from loom.tools.builtin.addresses import is_public, networks, plain_host


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254",
        "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1",
        "fc00::1", "fd00::1", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1", "2001::1", "3fff::1", "5f00::1",
        "100::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:0:10.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::8.8.8.8", "2002:7f00:1::", "2002:a00:1::1", "2a00:1450::5efe:10.0.0.1",
        "2a00:1450::200:5efe:a00:1", "fe80::1%eth0", "localhost", "", "1", "0177.0.0.1",
    ],
)  # fmt: skip
def test_what_is_not_public_is_told(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "93.184.215.14",
        "172.32.0.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_what_is_public_is_told(address: str) -> None:
    assert is_public(address)


def test_addresses_and_networks_may_be_allowed() -> None:
    allowed = networks(["127.0.0.1", "10.1.0.0/16", "fd00::/8"])
    assert all(is_public(address, allowed) for address in ("127.0.0.1", "10.1.2.3", "fd12::1", "::ffff:127.0.0.1"))
    assert not any(is_public(address, allowed) for address in ("127.0.0.2", "10.2.0.1", "::1", "::ffff:10.2.0.1"))
    for wrong in ("localhost", "10.0.0.1/8", ""):
        with pytest.raises(ConfigError, match="must be addresses or networks"):
            networks([wrong])


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("Example.COM.", "example.com"), ("bücher.de", "xn--bcher-kva.de"), ("8.8.8.8", "8.8.8.8"), ("::1", "::1"),
        ("a_b-c.example", "a_b-c.example"), ("1.example", "1.example"), ("\uff11\uff12\uff17.0.0.1", "127.0.0.1"),
    ],
)  # fmt: skip
def test_a_host_has_one_plain_name(host: str, plain: str) -> None:
    assert plain_host(host) == plain


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "017700000001", "127.0.0.01",
        "256.1.1.1", "1.2.3.4.5", "127.0.0.0x1", "a..b", ".", "", "a b", "127.0.0.1%00", "a%2eb",
        "ex\u2024ample.com/", "\uff0f", "x" * 64,
    ],
)  # fmt: skip
def test_odd_spellings_are_refused(host: str) -> None:
    with pytest.raises(ToolPermissionError):
        plain_host(host)
