"""The event log as narrow records, and its turning into a Polars frame."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt
import polars as pl

from propense.simulator.population import DEVICES
from propense.simulator.seasons import CATEGORIES

Records = npt.NDArray[np.void]


class Kind(IntEnum):
    """Event types, in the order of the funnel; those from ``VIEW_ITEM`` on are about an item."""

    INSTALL = 0
    UNINSTALL = 1
    PUSH_RECEIVED = 2
    PUSH_OPENED = 3
    EMAIL_RECEIVED = 4
    EMAIL_OPENED = 5
    SUPPORT_CONTACT = 6
    APP_OPEN = 7
    SEARCH = 8
    VIEW_ITEM = 9
    ADD_TO_CART = 10
    PURCHASE = 11
    REFUND = 12


CHANNELS = (*DEVICES, "phone", "chat")

NONE = -1  # in category, channel and query_length; quantity uses 0, price NaN

EVENT = np.dtype(
    [
        ("user", "i4"),
        ("ts_us", "i8"),
        ("kind", "u1"),
        ("category", "i1"),
        ("price", "f8"),
        ("quantity", "i1"),
        ("channel", "i1"),
        ("query_length", "i2"),
    ]
)


def blank_events(count: int) -> Records:
    """Make ``count`` events without any property."""
    events = np.zeros(count, dtype=EVENT)
    events["category"] = NONE
    events["price"] = np.nan
    events["channel"] = NONE
    events["query_length"] = NONE
    return events


def user_ids(first: int, count: int) -> pl.Series:
    """Name ``count`` users from number ``first``: ``u0000042``."""
    number = pl.int_range(first, first + count, eager=True).cast(pl.String)
    return ("u" + number.str.zfill(7)).alias("user_id")


def event_frame(events: Records, ids: pl.Series) -> pl.DataFrame:
    """Turn events into a frame, sorted by user and time; what an event does not have is null.

    ``events["user"]`` are indices into ``ids``, whose order is that of the names.
    """
    events = events[np.lexsort((events["ts_us"], events["user"]))]
    ts = pl.Series("ts", events["ts_us"]).cast(pl.Datetime("us", "UTC"))
    quantity = pl.Series("quantity", events["quantity"]).cast(pl.Int64)
    return pl.DataFrame(
        {
            "user_id": ids.gather(pl.Series(events["user"])),
            "ts": ts,
            "event": _words([kind.name.lower() for kind in Kind], events["kind"]),
            "category": _words(CATEGORIES, events["category"]),
            "price": pl.Series(np.ascontiguousarray(events["price"]), nan_to_null=True),
            "quantity": quantity.replace(0, None),
            "channel": _words(CHANNELS, events["channel"]),
            "query_length": _or_null(events["query_length"]),
        }
    )


def _or_null(codes: npt.NDArray[np.integer]) -> pl.Series:
    """Give ``NONE`` as null."""
    return pl.Series(codes.astype(np.int64)).replace(NONE, None)


def _words(words: list[str] | tuple[str, ...], codes: npt.NDArray[np.integer]) -> pl.Series:
    """Give codes as their words, ``NONE`` as null."""
    return pl.Series(words).gather(_or_null(codes))
