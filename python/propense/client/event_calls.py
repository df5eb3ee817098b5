"""Calls of the event service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from propense.client import event_stream, ingestion
from propense.client.answers import Acknowledgement
from propense.client.user_calls import UserCalls
from propense.event_table import EventColumns
from propense.receipt import Receipt
from propense.sources import Source
from propense.store_rows import event_rows


class EventCalls(UserCalls):
    """Events into the store, a log at a time or as they come."""

    def ingest(
        self,
        source: Source,
        *,
        profiles: Source | None = None,
        user: str = "user_id",
        time: str | None = None,
        event: str = "event",
        event_id: str | None = None,
        event_constant: str | None = None,
        time_unit: str | None = None,
        properties: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Send a log into the server's store; when this returns, all of it is safe on disk.

        Sending the same log again changes nothing, also after a failure half-way.

        Parameters
        ----------
        source
            The events: whatever :func:`propense.read_events` takes, the folder of a saved log too.
        profiles
            Attributes of the users, sent before the events; whatever
            :func:`propense.read_profiles` takes.
        user, time, event, event_constant, time_unit, properties
            As in :func:`propense.read_events`. Ids that are integers are written as text.
        event_id
            Column of ids that tell apart events that are otherwise the same; left out: ``event_id``
            if there is such a column. Without any, rows alike in user, time and type are numbered,
            so that every row counts, as in :func:`propense.read_events`.
        timeout
            Seconds for one batch of rows; left out: the client's.

        Raises
        ------
        DataError
            The log cannot be read.
        InvalidRequestError, FailedPreconditionError
            A row cannot be taken (``field`` says which, of the rows that have a user id); the
            batches before it are in the store.
        """
        names = EventColumns(user, time, event, event_constant, time_unit)
        rows = event_rows(source, names, event_id=event_id, properties=properties, number_ties=True)
        if profiles is not None:
            self.put_profiles(profiles, user=user, timeout=timeout)
        return ingestion.ingest(self._connection, rows, timeout=timeout or self._timeout)

    def stream_events(
        self,
        batches: Iterable[Source],
        *,
        user: str = "user_id",
        time: str | None = None,
        event: str = "event",
        event_id: str | None = None,
        time_unit: str | None = None,
        window: int = 16,
        timeout: float | None = None,
    ) -> Iterator[Acknowledgement]:
        """Send batches of events as they come, and yield what became of each, in order.

        Parameters
        ----------
        batches
            Each as in :func:`propense.read_events`, up to 100,000 events and 32 MiB. They are taken
            from a thread of gRPC's, as acknowledgements make room.
        user, time, event, time_unit
            As in :func:`propense.read_events`.
        event_id
            Column of ids; left out: ``event_id`` if there is such a column. Rows alike in user,
            time, type and id are one event.
        window
            Most batches on their way.
        timeout
            Seconds for the whole stream; left out: the client's ``stream_timeout``.

        Returns
        -------
        Iterator of Acknowledgement
            One a batch. An error in one concerns that batch only, and the others go on. When the
            stream itself fails, send again what was not acknowledged: it is harmless.
        """
        names = EventColumns(user, time, event, time_unit=time_unit)

        def encoded() -> Iterator[bytes]:
            for batch in batches:
                rows = event_rows(batch, names, event_id=event_id, number_ties=False)
                yield rows.encoded()

        self._connection.wait_ready(self._timeout)
        return event_stream.acknowledgements(
            self._connection,
            encoded(),
            window=window,
            timeout=timeout or self._stream_timeout,
        )
