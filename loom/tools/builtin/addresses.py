"""Which addresses of the internet a program may be sent to by a stranger: public ones, however they are written."""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from loom.errors import ConfigError, ToolPermissionError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Beside those that `ipaddress` knows not to be global, of which older versions of Python lack some (IANA's registries
# of special-purpose addresses).
_SPECIAL: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4",
            "64:ff9b:1::/48", "100::/64", "2001::/23", "3fff::/20", "5f00::/16", "fec0::/10",
        ),
    )
)  # fmt: skip
# Networks whose addresses hold one of version 4, and where it begins, in bits from the right.
_HOLDING: Final = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),  # mapped
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),  # translated
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (ipaddress.IPv6Network("::/96"), 0),  # compatible
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4
)


def networks(allowed: Sequence[str]) -> tuple[Network, ...]:
    """Return addresses and networks that are allowed though they are not public.

    Raises:
        ConfigError: one is neither an address nor a network.
    """
    try:
        return tuple(ipaddress.ip_network(text) for text in allowed)
    except ValueError as error:
        raise ConfigError(f'allow_private must be addresses or networks, as in "10.0.0.0/8": {error}') from error


def is_public(text: str, allowed: Sequence[Network] = ()) -> bool:
    """Tell whether an address is public or allowed. Of one that holds another, that other is judged too."""
    try:
        address: Address = ipaddress.ip_address(text)
    except ValueError:
        return False  # also one with a zone, which is local
    held = _held_in(address)
    if held is not None:
        return is_public(str(held), allowed)
    if any(address in network for network in allowed):
        return True
    # is_global of a multicast address is true
    special = address.is_multicast or any(address in network for network in _SPECIAL)
    return address.is_global and not special


def _held_in(address: Address) -> ipaddress.IPv4Address | None:
    """Return the address of version 4 that one of version 6 stands for."""
    if isinstance(address, ipaddress.IPv6Address) and int(address) > 1:  # 0 and 1 are "any" and "this machine"
        for network, shift in _HOLDING:
            if address in network:
                return ipaddress.IPv4Address(int(address) >> shift & 0xFFFFFFFF)
        if int(address) >> 32 & 0xFFFFFFFF in {0x00005EFE, 0x02005EFE}:  # ISATAP
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def plain_host(host: str) -> str:
    """Return a host's name in lower case and plain letters, without the dot at its end; an address as it is.

    Raises:
        ToolPermissionError: it is no name, or an address in an odd spelling such as 0x7f.1 or 2130706433.
    """
    if ":" in host:
        return host.lower()
    try:
        name = (host.encode("idna").decode() if not host.isascii() else host).lower().rstrip(".")
    except UnicodeError as error:
        raise ToolPermissionError(f'"{host}" is no name of a host: {error}') from error
    if not re.fullmatch(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", name):
        raise ToolPermissionError(f'"{host}" is no name of a host')
    # What ends in a number is an address to the system, also in spellings that few would see as one.
    if re.fullmatch(r"\d+|0x[0-9a-f]*", name.rpartition(".")[2]):
        try:
            ipaddress.IPv4Address(name)
        except ValueError:
            raise ToolPermissionError(
                f'"{host}" is an address in an odd spelling; write it as in 93.184.215.14'
            ) from None
    return name
