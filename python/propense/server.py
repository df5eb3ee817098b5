"""A server inside this process: scores, events, users and models over gRPC."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

from propense import _core
from propense.exceptions import DataError
from propense.instants import to_us
from propense.runtime import initialise
from propense.segments.files import Segments, segments_of

if TYPE_CHECKING:
    from propense.delivery import Deliveries, Destination

DRAIN_S = 8.0
"""From the wish to stop until calls still under way are cut off."""
SYSTEM_CLOCK = "system"
_SIMULATED = "simulated@"


@dataclass(frozen=True)
class ServerTLS:
    """The server's side of transport security.

    Attributes
    ----------
    certificate, key
        PEM files of the certificate, with what it is signed with, and its private key.
    client_ca
        PEM file of the authority that signs clients' certificates; a client without one is then
        not let in. None: no certificate is asked for.
    """

    certificate: str | Path
    key: str | Path
    client_ca: str | Path | None = None


class Server:
    """A running server; made by :func:`serve`. It runs on threads of its own, without Python."""

    def __init__(self, core: _core.Server, deliveries: Deliveries | None = None) -> None:
        self._core, self._deliveries = core, deliveries

    @property
    def address(self) -> str:
        """Where it listens, ``host:port``; the port is the real one, also if 0 was asked for."""
        return self._core.address

    @property
    def metrics_address(self) -> str | None:
        """Where its Prometheus page is; None if there is none."""
        return self._core.metrics_address

    def wait(self) -> None:
        """Serve until Ctrl-C, SIGTERM or :meth:`stop`, then drain.

        Both signals are caught only while the main thread is in here; other threads merely wait.
        """
        with _terminable():
            try:
                self._core.wait()
            except KeyboardInterrupt:
                self.stop()

    def stop(self) -> None:
        """Take no more calls, finish those under way, make the store durable; return when done.

        Health says NOT_SERVING meanwhile. What is not finished after the drain time is cut off. A
        server that has stopped stays so. Deliveries go on where they are at the next start.
        """
        if self._deliveries is not None:
            self._deliveries.stop()
        self._core.stop()

    def __enter__(self) -> Self:
        """Give the server, to be stopped at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def __repr__(self) -> str:
        """Say where it listens."""
        return f"Server({self.address!r})"


def serve(
    store: str | Path,
    models: str | Path,
    *,
    address: str = "127.0.0.1:50051",
    metrics_address: str | None = None,
    tokens: str | Path | None = None,
    tls: ServerTLS | None = None,
    drain: float = DRAIN_S,
    log_calls: bool = False,
    segments: Segments = (),
    clock: str = SYSTEM_CLOCK,
    destinations: str | Path | Sequence[Destination] = (),
) -> Server:
    """Serve a store and the models of a folder.

    When this returns, the store is open, its log replayed, and calls are answered.

    Parameters
    ----------
    store
        Folder of the store; made if it is not there. One server may have it open at a time.
    models
        Folder whose folders are the models; each is served by its folder's name. One that cannot be
        loaded is left out, and a line of the log says why.
    address
        ``host:port``; port 0 picks a free one. Beyond this machine (anything but a loopback address)
        it needs ``tls``, and ``tokens`` or ``tls.client_ca``.
    metrics_address
        ``host:port`` of a Prometheus page, plain HTTP; left out: none.
    tokens
        JSON file of the tokens that are let in, with what each may do; left out: whoever can connect
        may do everything.
    tls
        Certificate and key; left out: plain text.
    drain
        Seconds from the wish to stop until calls still under way are cut off.
    log_calls
        Whether every call is a line of the log on standard error, not only those that failed or
        were slow. No line holds personal data.
    segments
        Put at the start unless the store has them in this form already: segments, or a folder or
        file of them. Those that only the store has stay in force.
    clock
        What the server takes for now: ``system``, or ``simulated@2026-01-01``, a clock that stands
        at that instant until ``client.advance_clock`` lets it go on. A store that has seen a later
        instant goes on from there.

    destinations
        To where transitions are delivered: a folder of them, or
        :func:`propense.delivery.destination_from`.

    Raises
    ------
    DeliveryError
        A destination is not valid, or what it needs is not installed.
    DataError
        The store is damaged (says which file and where), or open in another process; or the clock
        is not one.
    SegmentError
        A segment is not valid.
    ServiceError
        The address cannot be had, or the options do not make a safe server.
    """
    initialise()
    files = None
    if tls is not None:
        client_ca = None if tls.client_ca is None else Path(tls.client_ca)
        files = (Path(tls.certificate), Path(tls.key), client_ca)
    asked = _destinations(destinations)
    core = _core.Server.bind(
        store=Path(store),
        models=Path(models),
        address=address,
        metrics_address=metrics_address,
        tokens=None if tokens is None else Path(tokens),
        tls=files,
        drain_s=drain,
        log_calls=log_calls,
        simulated_us=_simulated_us(clock),
        segments=[segment.definition for segment in segments_of(segments)],
    )
    if not asked:
        return Server(core)
    return Server(core, _deliveries(asked, core, Path(store)))


def _destinations(given: str | Path | Sequence[Destination]) -> list[Destination]:
    if not isinstance(given, str | Path):
        return list(given)
    from propense.delivery import read_destinations

    return read_destinations(given)


def _deliveries(asked: list[Destination], core: _core.Server, store: Path) -> Deliveries:
    """Begin to deliver; a server that cannot is stopped again."""
    from propense.delivery import Deliveries
    from propense.delivery.server_source import ServerSource

    source = ServerSource(core)
    report = None if core.metrics_address is None else source.show
    try:
        return Deliveries(asked, source, store, report=report).start()
    except BaseException:
        core.stop()
        raise


def _simulated_us(clock: str) -> int | None:
    if clock == SYSTEM_CLOCK:
        return None
    if not clock.startswith(_SIMULATED):
        raise DataError(f"clock {clock!r} is unknown; expected system or simulated@2026-01-01")
    return to_us(clock.removeprefix(_SIMULATED))


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM interrupt as Ctrl-C does; only the main thread can arrange that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
