"""The log as feature contenders are given it: in memory, as it came or grouped by user."""

from __future__ import annotations

import numpy as np
import polars as pl


def raw_events(path: str) -> pl.DataFrame:
    """Read the columns that the features need, in order of arrival."""
    return pl.read_parquet(path, columns=["user_id", "event_time", "event", "category", "amount"])


def grouped_events(path: str) -> tuple[pl.DataFrame, pl.Series]:
    """Give events sorted by user and time, users as codes that are known to ascend, and their ids.

    Returns
    -------
    events, ids
        ``user`` (UInt32: place in ``ids``), ``event_time``, ``event``, ``category``, ``amount``.
    """
    events = raw_events(path)
    ids = events["user_id"].unique().sort()
    codes = pl.DataFrame({"user_id": ids, "user": np.arange(len(ids), dtype=np.uint32)})
    joined = events.join(codes, on="user_id").sort("user", "event_time")
    chosen = joined.select("user", "event_time", "event", "category", "amount").rechunk()
    return chosen.with_columns(pl.col("user").set_sorted()), ids
