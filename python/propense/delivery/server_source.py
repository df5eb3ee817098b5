"""The transitions of a server in this process, without a connection, a token or a copy."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from propense import _core
from propense.delivery.control import DestinationState
from propense.delivery.messages import Message, message_events
from propense.delivery.source import Page
from propense.event_table import EventColumns
from propense.exceptions import TransitionsGoneError
from propense.instants import from_us
from propense.segments.transition import Transition
from propense.store_rows import event_rows

_COLUMNS = EventColumns("user_id", "event_time", "event")
_PAUSE_S = 0.05
_FIRST = re.compile(r"transitions are kept from number (\d+) on")


class ServerSource:
    """A server as deliveries see it, from within."""

    def __init__(self, core: _core.Server) -> None:
        self._core = core

    def read(self, segments: Sequence[str], after: int, limit: int, wait_s: float) -> Page:
        """Give what came in since."""
        began = time.monotonic()
        try:
            rows, up_to = self._core.transitions_after(list(segments), after, limit, wait_s)
        except TransitionsGoneError as error:
            # From within an error is its message alone.
            first = _FIRST.search(str(error))
            error.first = None if first is None else int(first[1])
            raise
        if up_to == after and time.monotonic() - began < wait_s / 2:
            # A server that is stopping does not wait.
            time.sleep(min(wait_s, _PAUSE_S))
        return Page([_transition(*row) for row in rows], up_to)

    def newest(self) -> int:
        """Give the number of the last transition."""
        return self._core.last_transition()

    def segment_names(self) -> frozenset[str]:
        """Give the segments that there are."""
        return frozenset(self._core.segment_names())

    def show(self, state: DestinationState) -> None:
        """Have the server's metrics page show how a destination stands."""
        self._core.note_deliveries(
            state.name,
            read_up_to=state.read_up_to,
            waiting=state.waiting,
            held=state.held,
            oldest_s=state.oldest_s or 0.0,
            dead_letters=state.dead,
            delivered=state.delivered,
            failed_attempts=state.failures,
            is_paused=state.paused is not None,
        )

    def now_us(self) -> int:
        """Give the server's clock."""
        return self._core.now_us()

    def segments_of(self, user_id: str, segments: Sequence[str]) -> frozenset[str]:
        """Give a user's segments; of what is not known, nobody is a member."""
        return frozenset(self._core.segments_of(user_id, list(segments)))

    def models_of(self, segments: Sequence[str]) -> dict[str, str | None]:
        """Give the models that segments read; what is not known reads none."""
        return dict(self._core.models_of(list(segments)))

    def known(self, user_ids: Sequence[str]) -> set[str]:
        """Give those of whom the store knows anything."""
        return set(self._core.known_users(list(user_ids)))

    def record(self, messages: Sequence[Message]) -> None:
        """Write messages; when this returns, they are on the disk and rules have seen them."""
        rows = event_rows(
            message_events(messages), _COLUMNS, event_id="event_id", number_ties=False
        )
        self._core.ingest(rows.encoded())


def _transition(
    number: int, user_id: str, segment: str, enter: bool, time_us: int, cause: str
) -> Transition:
    return Transition(
        number=number,
        user_id=user_id,
        segment=segment,
        kind="enter" if enter else "exit",
        time=from_us(time_us),
        cause=cause,  # type: ignore[arg-type]
    )
