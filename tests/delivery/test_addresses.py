"""Which addresses are public, in whatever form they are written."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propense.delivery.addresses import AddressRefusedError, AllowedPrivate, is_public

PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
]
PRIVATE_6 = [
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001::1",
    "2001:db8::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "100::1",
    "3fff::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "172.15.0.1",
    "172.32.0.1",
    "11.0.0.1",
    "100.128.0.1",
]
PUBLIC_6 = [
    "2606:4700::1111",
    "2a00:1450:4001::8",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]


@pytest.mark.parametrize("text", [*PRIVATE, *PRIVATE_6])
def test_what_is_private_is_refused(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))
    with pytest.raises(AddressRefusedError, match="allow_private"):
        AllowedPrivate().check("crm.example", [text])


@pytest.mark.parametrize("text", [*PUBLIC, *PUBLIC_6])
def test_what_is_public_is_not(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_as_itself(inner: ipaddress.IPv4Address) -> None:
    for carrier in (
        int(inner) | 0xFFFF << 32,
        int(inner) | 0x64FF9B << 96,
        int(inner) << 80 | 0x2002 << 112,
    ):
        assert is_public(ipaddress.IPv6Address(carrier)) == is_public(inner)


@given(st.ip_addresses())
def test_nothing_that_python_calls_private_is_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    special = address.is_private or address.is_loopback or address.is_link_local
    special = special or address.is_multicast or address.is_unspecified or address.is_reserved
    # These are judged by the address inside.
    carried = any(
        address in ipaddress.ip_network(network)
        for network in ("::ffff:0:0/96", "64:ff9b::/96", "2002::/16", "::/96", "::ffff:0:0:0/96")
        if address.version == 6
    )
    assert not (special and is_public(address)) or carried


def test_what_is_named_is_allowed_and_nothing_else() -> None:
    allowed = AllowedPrivate(["127.0.0.1", "10.1.0.0/16", "CRM.internal.", "fd00::/8"])
    assert allowed.check("a", ["127.0.0.1", "10.1.2.3", "fd00::5"])
    assert allowed.check("crm.internal", ["192.168.1.1", "fe80::1%eth0"])
    for host, address in (("a", "127.0.0.2"), ("a", "10.2.0.1"), ("x.crm.internal", "10.2.0.1")):
        with pytest.raises(AddressRefusedError):
            allowed.check(host, ["8.8.8.8", address])
    with pytest.raises(AddressRefusedError, match="no address"):
        allowed.check("a", [])
    with pytest.raises(ValueError, match="neither a host nor a network"):
        AllowedPrivate(["10.0.0.0/99"])
