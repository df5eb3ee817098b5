"""Transitions as they happen, over as many connections as it takes."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, cast

import grpc

from propense._proto.segments_pb2 import WatchTransitionsResponse
from propense.client.connection import Connection, end
from propense.client.segment_answers import transition
from propense.exceptions import DeadlineError, OverloadedError, ServiceError, UnavailableError
from propense.segments.transition import Transition

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0

Open = Callable[[int | None], Iterator[WatchTransitionsResponse]]
"""Opens a stream of the transitions after a number, or of those from now on."""


class TransitionStream(Iterator[Transition]):
    """Transitions in the order of their numbers, none missed and none twice.

    It waits for the next one for as long as it takes. Where the server stops or cannot be reached it
    connects again and goes on after the last transition it had. Leaving the block, or :meth:`close`
    from any thread, ends it.

    Attributes
    ----------
    up_to
        Every transition asked for, up to this number, has been given: where to go on from another
        time.
    """

    def __init__(
        self, connection: Connection, opened: Open, after: int | None, patience: float | None
    ) -> None:
        self._connection, self._open, self._patience = connection, opened, patience
        self._pending: deque[Transition] = deque()
        self._closed = threading.Event()
        self._call = opened(after)
        self._received = self.up_to = after or 0
        with connection.explained():
            first = next(self._call, None)
        if first is None:
            raise UnavailableError(f"{connection.address} is stopping", code="UNAVAILABLE")
        self._take(first)

    def __next__(self) -> Transition:
        """Wait for the next transition."""
        while not self._pending:
            self._take(self._message())
        given = self._pending.popleft()
        self.up_to = given.number if self._pending else self._received
        return given

    def _take(self, message: WatchTransitionsResponse) -> None:
        self._pending.extend(transition(one) for one in message.transitions)
        self._received = message.up_to
        if not self._pending:
            self.up_to = self._received

    def _message(self) -> WatchTransitionsResponse:
        """Give the next message, of a new connection if the one before ended."""
        away_since: float | None = None
        wait_s = _FIRST_WAIT_S
        while not self._closed.is_set():
            try:
                with self._connection.explained():
                    message = next(self._call, None)
                if message is not None:
                    return message
                problem: ServiceError = UnavailableError(
                    f"{self._connection.address} ended the stream", code="UNAVAILABLE"
                )
            except ServiceError as error:
                if not (self._closed.is_set() or _passes(error)):
                    raise
                problem = error
            now = time.monotonic()
            away_since = now if away_since is None else away_since
            if self._patience is not None and now - away_since > self._patience:
                raise problem
            # Clients that lost one server do not come back in step.
            self._closed.wait(max(random.uniform(0, wait_s), problem.retry_after or 0.0))
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            self._call = self._open(self._received)
        # It may have been closed just while it connected again.
        self.close()
        raise StopIteration

    def close(self) -> None:
        """End the stream; whoever waits for the next transition gets the end."""
        self._closed.set()
        end(cast("grpc.Call", self._call))

    def __enter__(self) -> Self:
        """Give the stream, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the stream."""
        self.close()


def _passes(error: ServiceError) -> bool:
    """Say whether connecting again may help."""
    away = (UnavailableError, DeadlineError, OverloadedError)
    # What a connection that breaks in the middle of a message is called.
    return isinstance(error, away) or error.code in ("CANCELLED", "INTERNAL", "UNKNOWN")
