"""A synthetic event log of any size: seeded, heavy-tailed, in order of arrival."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

EVENT_TYPES = ("app_open", "view_item", "search", "add_to_cart", "purchase", "push_opened")
CATEGORIES = (
    *("concert", "theatre", "sport", "festival", "comedy", "museum"),
    *("cinema", "dance", "family", "opera", "talk", "tour"),
)
AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
VERSION = 1
"""Part of every cached file's name; goes up when the same seed gives another log."""

_SHARES = np.array([0.40, 0.30, 0.13, 0.08, 0.06, 0.03])
_FIRST = AS_OF - timedelta(days=540)
_SPAN_S = 547 * 86_400
_LATE_S = 600.0
_HOURS = np.array([1, 1, 1, 1, 1, 2, 4, 6, 7, 7, 6, 6, 8, 8, 6, 6, 7, 9, 12, 14, 14, 11, 6, 3])
_ITEMS = 50_000


@dataclass(frozen=True)
class LogSize:
    """What log to make; equal sizes give equal logs.

    Attributes
    ----------
    events, users
        How many. Activity is Pareto-distributed: most users have few events, some have very many.
    seed
        Of the random numbers.
    ids
        ``text``: ids such as ``user-000000123``; ``integer``: int64.
    giant_share
        Share of the events that belong to one user.
    """

    events: int
    users: int
    seed: int = 1
    ids: Literal["text", "integer"] = "text"
    giant_share: float = 0.0


def make_events(size: LogSize) -> pl.DataFrame:
    """Give the events in order of arrival, some of them late by minutes.

    Returns
    -------
    polars.DataFrame
        ``user_id`` (String, or Int64), ``event_time`` (microseconds UTC, 540 days before and 7 days
        after :data:`AS_OF`), ``event`` and ``category`` (Enum), ``item`` (Int32), ``amount``
        (Float64; null for all but purchases).
    """
    rng = np.random.default_rng(size.seed)
    user = _users(size, rng)
    time_us, arrival = _times(user, size, rng)
    kind = _drawn(_SHARES, size.events, rng)
    category = _drawn(1.0 / np.arange(1, len(CATEGORIES) + 1) ** 0.7, size.events, rng)
    item = (_ITEMS * rng.random(size.events, dtype=np.float32) ** 3).astype(np.int32)
    bought = kind == EVENT_TYPES.index("purchase")
    amount = np.full(size.events, np.nan)
    amount[bought] = np.round(rng.gamma(2.0, 30.0, int(bought.sum())) + 0.01, 2)
    events = pl.DataFrame(
        {
            "user_id": user,
            "event_time": pl.Series(time_us).cast(pl.Datetime("us", "UTC")),
            "event": _named(kind, EVENT_TYPES),
            "category": _named(category, CATEGORIES),
            "item": item,
            "amount": pl.Series(amount, nan_to_null=True),
        }
    )[arrival]
    if size.ids == "integer":
        return events.with_columns(pl.col("user_id").cast(pl.Int64))
    return events.with_columns(user_id=_texts(size.users).gather(events["user_id"]))


def cached_events(size: LogSize, folder: Path) -> Path:
    """Give the Parquet file of a log, made if it is not there."""
    fields = {key: value for key, value in asdict(size).items() if value}
    name = "-".join(f"{key}_{value}" for key, value in fields.items())
    path = folder / f"events-v{VERSION}-{name}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".part")
        make_events(size).write_parquet(aside, compression="lz4", row_group_size=1 << 20)
        aside.rename(path)
    return path


def described(size: LogSize) -> str:
    """Give the size as JSON, for results."""
    return json.dumps(asdict(size))


def _users(size: LogSize, rng: np.random.Generator) -> NDArray[np.uint32]:
    """Give the user of each event, ascending; who is active does not follow the id."""
    activity = rng.pareto(1.5, size.users) + 0.2
    activity /= activity.sum()
    if size.giant_share:
        activity *= 1.0 - size.giant_share
        activity[size.users // 2] += size.giant_share
    counts = rng.multinomial(size.events, activity)
    return np.repeat(np.arange(size.users, dtype=np.uint32), counts)


def _times(
    user: NDArray[np.uint32], size: LogSize, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give times and the order of arrival; users join over time, evenings are busiest."""
    joined_s = _SPAN_S * 0.9 * rng.random(size.users, dtype=np.float32) ** 2
    since_s = joined_s[user]
    at_s = since_s + (_SPAN_S - since_s) * rng.random(size.events, dtype=np.float32)
    day = np.minimum(at_s // 86_400, _SPAN_S // 86_400 - 1).astype(np.int64)
    hour = _drawn(_HOURS, size.events, rng).astype(np.int64)
    within_us = rng.integers(0, 3_600_000_000, size.events)
    first_us = int(_FIRST.timestamp()) * 1_000_000
    time_us = first_us + (day * 24 + hour) * 3_600_000_000 + within_us
    late_us = (_LATE_S * 1e6 * rng.standard_exponential(size.events, dtype=np.float32)).astype(int)
    return time_us, pl.Series(time_us + late_us).arg_sort().to_numpy().astype(np.int64)


def _drawn(weights: NDArray[np.number], n: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw places by their weights, from a table of 65,536: quicker than a search per draw."""
    bounds = np.round(np.cumsum(weights) / np.sum(weights) * 65_536).astype(int)
    table = np.repeat(np.arange(len(weights), dtype=np.uint8), np.diff(bounds, prepend=0))
    drawn: NDArray[np.uint8] = table[rng.integers(0, 65_536, n, dtype=np.uint16)]
    return drawn


def _named(codes: NDArray[np.uint8], names: tuple[str, ...]) -> pl.Series:
    return pl.Series(names, dtype=pl.Enum(names)).gather(codes)


def _texts(users: int) -> pl.Series:
    numbers = pl.Series("user_id", np.arange(users)).cast(pl.String).str.zfill(9)
    return pl.select(pl.format("user-{}", numbers)).to_series()
