"""What the calls of every service share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import grpc

from propense.client.connection import Connection

Request = TypeVar("Request")
Response = TypeVar("Response")


class Calls:
    """A connection, and how long calls on it may take."""

    def __init__(self, connection: Connection, timeout: float, stream_timeout: float) -> None:
        self._connection = connection
        self._timeout, self._stream_timeout = timeout, stream_timeout

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
    ) -> Response:
        return self._connection.call(method, request, timeout or self._timeout)

    def _stream(
        self,
        method: grpc.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
    ) -> Iterator[Response]:
        return self._connection.stream(method, request, timeout or self._stream_timeout)


def names_of(names: str | Sequence[str]) -> list[str]:
    """Give one name, or several, as a list."""
    return [names] if isinstance(names, str) else list(names)
