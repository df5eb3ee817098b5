"""Delivered enters as events of their users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from propense.instants import from_us


@dataclass(frozen=True)
class Message:
    """A delivered enter, which is an event of the user.

    Attributes
    ----------
    user_id, segment, destination, channel
        Who was told of what, where and by which means.
    number
        The transition's.
    time_us
        When it was delivered, microseconds since 1970 by the server's clock.
    """

    user_id: str
    segment: str
    destination: str
    channel: str
    number: int
    time_us: int


def message_events(messages: Sequence[Message]) -> pl.DataFrame:
    """Give messages as events ``message``.

    The id is the transition's number and the destination: sent again, it is the same event.
    """
    return pl.DataFrame(
        {
            "user_id": [one.user_id for one in messages],
            "event_time": [from_us(one.time_us) for one in messages],
            "event": ["message"] * len(messages),
            "event_id": [f"{one.number}:{one.destination}" for one in messages],
            "channel": [one.channel for one in messages],
            "segment": [one.segment for one in messages],
            "destination": [one.destination for one in messages],
        }
    )
