"""Which addresses a destination may be at: none of a private network, unless allowed by name."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any, TypeAlias

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# Forms of IPv6 that carry an IPv4 address in these bits, to which a gateway may pass packets on.
_CARRIERS = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)
# What the standard library may take for global, by its version.
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fec0::/10",
    )
)


class AddressRefusedError(OSError):
    """A host is, or may be, in a private network."""


def is_public(address: Address) -> bool:
    """Say whether an address is one of the public internet, whatever form it is written in."""
    if isinstance(address, ipaddress.IPv6Address):
        for network, shift in _CARRIERS:
            if address in network:
                carried = ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
                return is_public(carried)
    if any(address.version == network.version and address in network for network in _NEVER):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def is_address(host: str) -> bool:
    """Say whether a host is an address, not a name that is looked up."""
    try:
        ipaddress.ip_address(plain_host(host))
    except ValueError:
        return False
    return True


class AllowedPrivate:
    """Hosts, addresses and networks that may be private, such as ``["127.0.0.1", "crm.internal"]``."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._networks, self._hosts = list[_Network](), set[str]()
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry))
            except ValueError:
                if "/" in entry.strip("/") and not entry.startswith("/"):
                    raise ValueError(f"{entry!r} is neither a host nor a network") from None
                self._hosts.add(plain_host(entry))

    def names(self, host: str) -> bool:
        """Say whether a host is allowed by name, or as an address."""
        name = plain_host(host)
        try:
            return name in self._hosts or self.includes(ipaddress.ip_address(name))
        except ValueError:
            return name in self._hosts

    def includes(self, address: Address) -> bool:
        """Say whether an address is in an allowed network."""
        return any(address.version == n.version and address in n for n in self._networks)

    def check(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Give a host's addresses, if it may be connected to at every one of them.

        Raises
        ------
        AddressRefusedError
            One is private and not allowed; a host that is half public is no host to be trusted.
        """
        checked = list[str]()
        for text in addresses:
            bare = ipaddress.ip_address(text.partition("%")[0])
            if not (self.names(host) or self.includes(bare) or is_public(bare)):
                where = text if is_address(host) else f"{plain_host(host)} is at {text}, which"
                raise AddressRefusedError(
                    f"{where} is not public; if that is right, name it in allow_private"
                )
            checked.append(text)
        if not checked:
            raise AddressRefusedError(f"{plain_host(host)} has no address")
        return checked

    def resolve(self, host: str, port: int) -> list[str]:
        """Look a host up, once, and give the addresses to connect to: these, never the name again.

        Raises
        ------
        AddressRefusedError
            As :meth:`check`.
        OSError
            It cannot be looked up.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        return self.check(host, dict.fromkeys(str(entry[4][0]) for entry in found))

    def __eq__(self, other: object) -> bool:
        """Compare what is allowed."""
        return isinstance(other, AllowedPrivate) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Take a list of texts, or one of these as it is."""

        def made(value: object) -> AllowedPrivate:
            if isinstance(value, AllowedPrivate):
                return value
            if not (isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)):
                raise ValueError("expected a list of hosts, addresses or networks")
            return cls(value)

        return core_schema.no_info_plain_validator_function(made)


def plain_host(host: str) -> str:
    """Give a host as it is compared: small letters, no brackets, no dot at the end."""
    return host.strip("[]").rstrip(".").lower()
