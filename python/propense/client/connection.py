"""A channel to a server: transport security, token, retries, deadlines."""

from __future__ import annotations

import ipaddress
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc

from propense.client.retries import SERVICE_CONFIG
from propense.client.rpc_errors import from_rpc
from propense.exceptions import DataError, DeadlineError, ServiceError, UnavailableError

Request = TypeVar("Request")
Response = TypeVar("Response")

_MESSAGE_BYTES = 64 * 2**20
_END_S = 5.0
_WATCHED_S = 0.25
_STARTING = "STARTING"
_STARTS_S = 0.5
_LOOK_S = 0.05


@dataclass(frozen=True)
class TLS:
    """Transport security.

    Attributes
    ----------
    ca
        PEM file of the authorities that may sign the server's certificate; None: those that gRPC
        trusts.
    certificate, key
        PEM files of the client's own certificate and private key, for a server that asks for them.
    server_name
        The name that the server's certificate carries, where it is not that of the address.
    """

    ca: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = None
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files."""
        if (self.certificate is None) != (self.key is None):
            raise DataError("a client certificate needs both certificate=… and key=…")
        return grpc.ssl_channel_credentials(
            root_certificates=_read(self.ca),
            private_key=_read(self.key),
            certificate_chain=_read(self.certificate),
        )


class Connection:
    """A channel with what every call on it carries; opened lazily by gRPC, closed by :meth:`close`."""

    def __init__(self, address: str, token: str | None, tls: TLS | bool | None) -> None:
        local = is_loopback(address)
        if token is not None and not tls and not local:
            raise DataError(
                f"the token would go to {address} in the clear; give tls=True or tls=pp.TLS(…)"
            )
        options: list[tuple[str, str | int]] = [
            ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
            ("grpc.max_receive_message_length", _MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MESSAGE_BYTES),
            # A server that restarts is found again within the time that retries last.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 500),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            ("grpc.enable_http_proxy", 0 if local else 1),
            # A server that vanishes without a word is noticed also by who only waits for it.
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.http2.max_pings_without_data", 0),
        ]
        self.address = address
        self._watched = float("-inf")
        self.metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        if not tls:
            self.channel = grpc.insecure_channel(address, options)
            return
        secure = TLS() if tls is True else tls
        if secure.server_name is not None:
            options.append(("grpc.ssl_target_name_override", secure.server_name))
        self.channel = grpc.secure_channel(address, secure.credentials(), options)

    def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float,
    ) -> Response:
        """Make a call of one answer; one that meets a server at its start waits until it has started."""
        deadline = time.monotonic() + timeout
        started: UnavailableError | None = None
        while True:
            try:
                with self.explained():
                    left = max(0.0, deadline - time.monotonic())
                    return method(request, timeout=left, metadata=self.metadata)
            except UnavailableError as error:
                wait_s = error.retry_after or _STARTS_S
                if not starts(error) or time.monotonic() + wait_s >= deadline:
                    raise
                started = error
                time.sleep(wait_s)
            except DeadlineError as error:
                met = started or self.away()
                if met is None:
                    raise
                raise met from error

    def stream(
        self,
        method: grpc.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        timeout: float,
    ) -> Iterator[Response]:
        """Make a call of many answers; what they raise is not explained yet."""
        with self.explained():
            return method(request, timeout=timeout, metadata=self.metadata)

    def away(self) -> UnavailableError | None:
        """Give why nobody can be reached, for a call that ran into its deadline; None if somebody can.

        gRPC tells of the deadline alone, also where every attempt until then met nobody. A call that
        it does not try again is told at once what the last of them met.
        """
        look: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check"
        )
        try:
            with self.explained():
                look(b"", timeout=_LOOK_S, metadata=self.metadata)
        except UnavailableError as error:
            return error
        except ServiceError:
            pass
        return None

    def wait_ready(self, timeout: float) -> None:
        """Wait until the server can be reached: for calls that gRPC does not try again."""
        try:
            grpc.channel_ready_future(self.channel).result(timeout=timeout)
        except grpc.FutureTimeoutError:
            message = f"{self.address} cannot be reached"
            raise UnavailableError(message, code="UNAVAILABLE") from None
        finally:
            self._watched = time.monotonic()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what gRPC raises into propense's exceptions."""
        try:
            yield
        except grpc.RpcError as error:
            raise from_rpc(error, self.address) from error

    def close(self) -> None:
        """Close the channel; calls under way end."""
        # The thread by which gRPC watched the channel looks at it once more, and trips over a closed one.
        time.sleep(max(0.0, self._watched + _WATCHED_S - time.monotonic()))
        self.channel.close()


def end(call: grpc.Call) -> None:
    """Cancel a call and wait until gRPC's thread is done with it; nothing happens if it has ended.

    That thread dies with the interpreter, also while it holds the call's lock: a call that is
    let go only then would wait for the lock for ever.
    """
    ended = threading.Event()
    under_way = call.add_callback(ended.set)
    call.cancel()
    if under_way:
        ended.wait(_END_S)


def starts(error: ServiceError) -> bool:
    """Say whether a call failed for no more than that the server's store is being opened.

    Nothing of such a call was taken, and the server says when to come again, however large its store.
    """
    return error.reason == _STARTING


def is_loopback(address: str) -> bool:
    """Say whether an address, ``host:port``, is this machine's own."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(path: str | Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
