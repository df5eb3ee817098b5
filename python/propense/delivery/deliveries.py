"""All destinations of a server at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from propense.delivery.contact import Claims
from propense.delivery.control import DestinationState
from propense.delivery.destination import (
    Destination,
    JsonLines,
    Parquet,
    PostgreSQL,
    check_destinations,
)
from propense.delivery.ledger_schema import LEDGER, connect
from propense.delivery.reporting import Reporter
from propense.delivery.sink import Sink
from propense.delivery.source import TransitionSource
from propense.delivery.worker import Worker
from propense.exceptions import DeliveryError

_CONTACTED = (
    "SELECT destination, user_id FROM item WHERE state = 'sent'"
    " OR (state = 'waiting' AND started = 1 AND kind = 'enter' AND sent_us > 0)"
)


class Deliveries:
    """Delivers transitions to destinations, each on a thread of its own, until stopped.

    Parameters
    ----------
    destinations
        What goes where.
    source
        The server.
    folder
        Where the cursors, queues and dead letters are kept: the folder of the store.
    report
        Gets how each destination stands, every few seconds; left out: nobody is told.

    Raises
    ------
    DeliveryError
        A destination cannot be used, what it needs is not installed, or the file of the cursors cannot
        be opened.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        source: TransitionSource,
        folder: str | Path,
        *,
        report: Callable[[DestinationState], None] | None = None,
    ) -> None:
        ledger = Path(folder) / LEDGER
        claims = Claims()
        checked = check_destinations(destinations)
        makers = [_maker(destination) for destination in checked]
        ledger.parent.mkdir(parents=True, exist_ok=True)
        sql = connect(ledger, durable=True)
        try:
            # Whoever was, or may have been, contacted just before the end is not contacted before
            # that is an event, or known not to have happened.
            with_channel = {one.name for one in checked if one.channel is not None}
            for row in sql.execute(_CONTACTED):
                if row["destination"] in with_channel:
                    claims.claim(row["destination"], row["user_id"])
        finally:
            sql.close()
        self._workers = [
            Worker(destination, source, ledger, claims, maker)
            for destination, maker in zip(checked, makers, strict=True)
        ]
        names = {destination.name for destination in checked}
        self._reporter = None if report is None else Reporter(Path(folder), names, report)

    def start(self) -> Self:
        """Begin to deliver."""
        for worker in self._workers:
            worker.start()
        if self._reporter is not None:
            self._reporter.start()
        return self

    def stop(self, patience_s: float = 2.0) -> None:
        """Take nothing new up and wait for what is under way; what is not done by then is cut off.

        What is cut off, or still waits, is delivered after the next start.
        """
        if self._reporter is not None:
            self._reporter.stop()
        for worker in self._workers:
            worker.stop()
        ends = time.monotonic() + patience_s
        for worker in self._workers:
            if worker.is_alive():
                worker.join(max(0.0, ends - time.monotonic()))

    def __enter__(self) -> Self:
        """Begin to deliver."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()


def _maker(destination: Destination) -> Callable[[str], Sink]:
    """Give what makes a destination's sink; libraries are loaded only for those who need them."""
    if isinstance(destination, JsonLines):
        from propense.delivery.json_lines import JsonLinesSink

        return partial(JsonLinesSink, destination)
    if isinstance(destination, Parquet):
        from propense.delivery.parquet_files import ParquetSink

        return partial(ParquetSink, destination)
    try:
        if isinstance(destination, PostgreSQL):
            from propense.delivery.postgresql import PostgreSQLSink, check_address

            check_address(destination)
            return partial(PostgreSQLSink, destination)
        from propense.delivery.webhook import WebhookSink

        WebhookSink(destination, "").close()
        return partial(WebhookSink, destination)
    except ImportError as error:
        raise DeliveryError(
            f"destination {destination.name}: {error.name} is missing; "
            "install it with pip install 'propense[delivery]'"
        ) from error
