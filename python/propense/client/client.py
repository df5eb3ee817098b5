"""The client: every call of the service, with Polars frames where there are many rows."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from grpc_health.v1 import health_pb2

from propense.client.connection import TLS, Connection
from propense.client.event_calls import EventCalls
from propense.client.model_calls import ModelCalls
from propense.client.scoring_calls import ScoringCalls
from propense.client.segment_calls import SegmentCalls


class Client(ScoringCalls, EventCalls, ModelCalls, SegmentCalls):
    """Calls a propense server; safe to share among threads, not across a fork.

    Parameters
    ----------
    address
        ``host:port``.
    token
        What the server's operator gave out; sent with every call, and never in the clear beyond
        this machine.
    tls
        True for the usual authorities, :class:`propense.TLS` for your own; left out: none.
    timeout
        Seconds after which a call of one answer fails with :class:`propense.DeadlineError`,
        retries included, or with :class:`propense.UnavailableError` where no server was reached in
        that time; every method takes another.
    stream_timeout
        The same for calls that stream.

    Notes
    -----
    Calls that change nothing, or may be sent again without harm, are tried up to five times where the
    server is busy or away, as long as the timeout allows. An ``as_of`` without a time zone is UTC.
    Every method raises :class:`propense.ServiceError`, or the subclass that fits.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        tls: TLS | bool | None = None,
        timeout: float = 10.0,
        stream_timeout: float = 3_600.0,
    ) -> None:
        super().__init__(Connection(address, token, tls), timeout, stream_timeout)
        self._health = self._connection.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._connection.address

    def health(self, *, timeout: float | None = None) -> str:
        """Give the server's standing: ``serving``, or ``not_serving`` while it starts and stops."""
        answer = self._call(self._health, health_pb2.HealthCheckRequest(), timeout)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status).lower()

    def close(self) -> None:
        """Close the connection; calls under way end with an error."""
        self._connection.close()

    def __enter__(self) -> Self:
        """Give the client, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def __repr__(self) -> str:
        """Say where the server is."""
        return f"Client({self.address!r})"
