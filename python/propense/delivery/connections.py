"""Connections to checked addresses only, each request within a time of its own."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore
from httpcore import SOCKET_OPTION, NetworkBackend, NetworkStream, ReadTimeout, SyncBackend

from propense.delivery.addresses import AllowedPrivate


class Deadline(threading.local):
    """When the request of this thread has to be over, on the monotonic clock."""

    ends = float("inf")

    def left(self, timeout: float | None) -> float:
        """Give the seconds that a step of the request may take.

        Raises
        ------
        httpcore.ReadTimeout
            None are left.
        """
        left = self.ends - time.monotonic()
        if left <= 0:
            raise ReadTimeout("the request took too long")
        return left if timeout is None else min(timeout, left)


class _TimedStream(NetworkStream):
    """A stream on which a receiver that sends byte by byte does not gain time."""

    def __init__(self, stream: NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        left = self._deadline.left(timeout)
        secure = self._stream.start_tls(ssl_context, server_hostname, left)
        return _TimedStream(secure, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class CheckedBackend(NetworkBackend):
    """Looks a host up, checks every address, and connects to one of these addresses.

    The name is not looked up again by whatever makes the connection: its owner could have made it
    another address by then.
    """

    def __init__(self, allowed: AllowedPrivate, deadline: Deadline) -> None:
        self._allowed, self._deadline = allowed, deadline
        self._backend = SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> NetworkStream:
        """Connect to the first checked address that answers.

        Raises
        ------
        httpcore.ConnectError, httpcore.ConnectTimeout
            None does, or the host is refused.
        """
        try:
            addresses = self._allowed.resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        options = None if socket_options is None else list(socket_options)
        problem: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            left = self._deadline.left(timeout)
            try:
                made = self._backend.connect_tcp(address, port, left, local_address, options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
            else:
                return _TimedStream(made, self._deadline)
        raise problem
