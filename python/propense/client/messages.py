"""Rows as messages, for calls that take events and profiles one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator

import polars as pl

from propense._proto.types_pb2 import Event, Profile, Value
from propense._proto.users_pb2 import PutProfilesRequest
from propense.client.answers import timestamp_of_us
from propense.store_rows import EVENT, EVENT_ID, TIME, USER

PROFILES_A_CALL = 5_000


def event_messages(frame: pl.DataFrame) -> Iterator[Event]:
    """Give each row of :func:`propense.store_rows.event_rows` as a message."""
    roles = {USER, TIME, EVENT, EVENT_ID}
    names = [name for name in frame.columns if name not in roles]
    times_us = frame[TIME].to_physical().to_list()
    for row, time_us in zip(frame.iter_rows(named=True), times_us, strict=True):
        yield Event(
            user_id=row[USER],
            event_time=timestamp_of_us(time_us),
            event=row[EVENT] or "",
            event_id=row.get(EVENT_ID) or "",
            properties=_values(row, names),
        )


def profile_requests(frame: pl.DataFrame) -> Iterator[tuple[int, PutProfilesRequest]]:
    """Give profiles as requests of a bearable size, each with the rows done after it."""
    for start in range(0, frame.height, PROFILES_A_CALL):
        part = frame.slice(start, PROFILES_A_CALL)
        yield start + part.height, PutProfilesRequest(profiles=profile_messages(part))


def profile_messages(frame: pl.DataFrame) -> Iterator[Profile]:
    """Give each row of :func:`propense.store_rows.profile_rows` as a message."""
    names = [name for name in frame.columns if name != USER]
    for row in frame.iter_rows(named=True):
        yield Profile(user_id=row[USER], attributes=_values(row, names))


def _values(row: dict[str, object], names: list[str]) -> dict[str, Value]:
    return {name: made for name in names if (made := _value(row[name])) is not None}


def _value(cell: object) -> Value | None:
    """Give a cell as a message; None for a missing one."""
    if isinstance(cell, bool):
        return Value(boolean=cell)
    if isinstance(cell, str):
        return Value(text=cell)
    if isinstance(cell, int | float) and not math.isnan(cell):
        return Value(number=float(cell))
    return None
