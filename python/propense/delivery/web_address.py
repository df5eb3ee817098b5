"""The address of a webhook's receiver."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from propense.delivery.addresses import AllowedPrivate, is_public, plain_host

_PORTS = {"https": 443, "http": 80}


def split_url(url: str) -> tuple[SplitResult, str, int]:
    """Give a URL's parts, its host as ASCII, and its port.

    Raises
    ------
    ValueError
        It is no address that requests can be sent to.
    """
    if not url.isprintable() or any(sign.isspace() or sign == "\\" for sign in url):
        raise ValueError("url: expected https://host/path without blanks")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("url: expected https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url: a name or password does not belong here; use headers")
    if parts.fragment:
        raise ValueError("url: what follows # is never sent")
    if not (parts.path + parts.query).isascii():
        raise ValueError("url: percent-encode what is not ASCII")
    host = parts.hostname
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            raise ValueError("url: the host is not a name") from None
    return parts, plain_host(host), parts.port or _PORTS[parts.scheme]


def check_url(url: str, allowed: AllowedPrivate) -> None:
    """Refuse what could never be connected to.

    Raises
    ------
    ValueError
        It is no address, a private one that is not allowed, or not encrypted.
    """
    parts, host, _ = split_url(url)
    if parts.scheme == "http" and not allowed.names(host):
        raise ValueError(
            "url: http:// is not encrypted; use https://, or name the host in allow_private"
        )
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    if not (allowed.includes(address) or is_public(address)):
        raise ValueError(f"url: {host} is not public; if that is right, name it in allow_private")
