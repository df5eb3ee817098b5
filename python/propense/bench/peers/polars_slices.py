"""The quickest way found in Polars: group by user, event type and slice between windows, then add up.

Every event falls into one cell of a user; cells are far fewer than features × events. Polars groups,
NumPy spreads the cells and accumulates them over the nested windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.bench.declared import WINDOWS, Declared, declared
from propense.bench.generator import CATEGORIES, EVENT_TYPES
from propense.bench.peers.polars_plans import AGE, DAY, DAY_US, SLICE, Engine, expression, known

Floats = NDArray[np.floating[Any]]

SLICES = len(WINDOWS)
_KIND, _USER = pl.col("kind").cast(pl.UInt32), pl.col("user")
_WIDE = pl.UInt32
_CODE = {name: code for code, name in enumerate(EVENT_TYPES)}
_NONE = SLICES  # the slice of what was never seen


@dataclass
class _Spread:
    """Spreads cells, given as ``user × width + cell``, into arrays of one row a cell."""

    place: NDArray[np.intp]
    users: int

    def __call__(self, cells: pl.DataFrame, width: int, column: str, fill: float) -> Floats:
        key = cells["cell"].to_numpy()
        user = key // np.uint32(width)
        flat = np.full(width * self.users, fill, np.float64)
        flat[(key - user * np.uint32(width)) * np.int64(self.users) + self.place[user]] = cells[
            column
        ].to_numpy()
        return flat.reshape(width, self.users)


def slices(events: pl.LazyFrame, users: int, engine: Engine, *, ordered: bool) -> pl.DataFrame:
    """Compute the features.

    Parameters
    ----------
    events
        With ``user``, a code below ``users``.
    ordered
        Whether they are sorted by user and time; then no set of days is needed.
    """
    rows = known(events)
    newest = ((_USER.shift(-1) != _USER) | (DAY.shift(-1) != DAY)).fill_null(True)
    opens = pl.col("kind") == _CODE["app_open"]
    days = [newest.alias("newest")] if ordered else []
    cell = (_USER * (len(EVENT_TYPES) * SLICES) + _KIND * SLICES + SLICE.cast(_WIDE)).alias("cell")
    quarter = pl.col("event_time").to_physical() % DAY_US // (DAY_US // 4)
    flags = [(quarter == q).alias(f"quarter_{q}") for q in range(3)]
    decays = [(0.5 ** (AGE / (d * DAY_US))).alias(f"decay_{d}") for d in (7, 30)]
    all_rows = rows.select(cell, AGE, *flags, *decays, *days, ((DAY + 3) % 7 >= 5).alias("weekend"))
    sums = [f"quarter_{q}" for q in range(3)] + [f"decay_{d}" for d in (7, 30)]
    sums += ["weekend", *(["newest"] if ordered else [])]
    cells = all_rows.group_by("cell").agg(
        pl.len().alias("n"), AGE.min().alias("new"), AGE.max().alias("old"), pl.col(sums).sum()
    )
    some = rows.filter(pl.col("kind").is_in([_CODE["view_item"], _CODE["purchase"]]))
    bought = pl.col("kind") == _CODE["purchase"]
    category = pl.col("category").to_physical().cast(_WIDE)
    of_category = _USER * (2 * len(CATEGORIES)) + bought.cast(_WIDE) * len(CATEGORIES) + category
    seen = some.group_by(cell=of_category).agg(SLICE.min())
    top = rows.filter((pl.col("kind") == _CODE["view_item"]) & (category < 4))
    viewed = top.group_by(cell=_USER * (4 * SLICES) + category * SLICES + SLICE.cast(_WIDE)).agg(
        pl.len().alias("n")
    )
    of_purchases = [f for f in declared() if _direct(f)]
    purchases = (
        rows.filter(bought)
        .group_by("user")
        .agg(expression(feature).alias(feature.text) for feature in of_purchases)
    )
    plans = [cells, seen, viewed, purchases, _days(rows.filter(opens), ordered=ordered)]
    if not ordered:
        plans.append(_days(rows, ordered=False))
    found = pl.collect_all(plans, engine=engine)
    return _assembled(found, users, of_purchases)


def _days(rows: pl.LazyFrame, *, ordered: bool) -> pl.LazyFrame:
    """Count each user's days by the slice of their newest event."""
    cell = (_USER * SLICES + SLICE.cast(_WIDE)).alias("cell")
    if ordered:
        newest = ((_USER.shift(-1) != _USER) | (DAY.shift(-1) != DAY)).fill_null(True)
        return rows.filter(newest).group_by(cell).agg(pl.len().alias("n"))
    each = (_USER.cast(pl.UInt64) * 65_536 + DAY.cast(pl.UInt64)).alias("each")
    days = rows.group_by(each).agg(SLICE.min())
    user = (pl.col("each") // 65_536).cast(_WIDE)
    return days.group_by(cell=user * SLICES + SLICE.cast(_WIDE)).agg(pl.len().alias("n"))


def _direct(feature: Declared) -> bool:
    """Say whether a feature is of purchases only, which are few, and no count by slices."""
    by_slices = ("distinct", "recency", "tenure", "gap_mean", "decayed_count")
    plain_count = feature.kind == "count" and feature.category is None
    return feature.event == "purchase" and feature.kind not in by_slices and not plain_count


def _assembled(found: list[pl.DataFrame], users: int, of_purchases: list[Declared]) -> pl.DataFrame:
    cells, seen, viewed, purchases, open_days, *all_days = found
    width = len(EVENT_TYPES) * SLICES
    present = np.zeros(users, bool)
    present[cells["cell"].to_numpy() // width] = True
    spread = _Spread(np.cumsum(present) - 1, int(present.sum()))

    def by_kind(column: str, fill: float = 0.0) -> Floats:
        return spread(cells, width, column, fill).reshape(len(EVENT_TYPES), SLICES, -1)

    columns: dict[Declared, Floats] = {}
    counts = np.cumsum(by_kind("n"), axis=1)
    new, old = by_kind("new", np.nan), by_kind("old", np.nan)
    new, old = np.fmin.reduce(new, axis=1), np.fmax.reduce(old, axis=1)
    decays = {days: by_kind(f"decay_{days}").sum(axis=1) for days in (7, 30)}
    if all_days:
        days = np.cumsum(spread(all_days[0], SLICES, "n", 0.0), axis=0)
    else:
        days = np.cumsum(by_kind("newest").sum(axis=0), axis=0)
    opened = np.cumsum(spread(open_days, SLICES, "n", 0.0), axis=0)
    first_seen = spread(seen, 2 * len(CATEGORIES), "slice", _NONE)
    by_category = np.cumsum(spread(viewed, 4 * SLICES, "n", 0.0).reshape(4, SLICES, -1), axis=1)
    quarters = [by_kind(f"quarter_{q}").sum(axis=(0, 1)) for q in range(3)]
    total = counts[:, -1].sum(axis=0)
    quarters.append(total - sum(quarters))
    weekend = by_kind("weekend").sum(axis=(0, 1))
    bought = _aligned(purchases, spread)
    for feature in declared():
        if feature in of_purchases:
            columns[feature] = bought[feature.text]
            continue
        kind = None if feature.event is None else _CODE[feature.event]
        newest = np.fmin.reduce(new) if kind is None else new[kind]
        oldest = np.fmax.reduce(old) if kind is None else old[kind]
        match feature.kind:
            case "count" if feature.category is not None:
                columns[feature] = by_category[
                    CATEGORIES.index(feature.category), feature.slice_bound
                ]
            case "count":
                at = counts[:, feature.slice_bound]
                columns[feature] = at.sum(axis=0) if kind is None else at[kind]
            case "distinct":
                start = len(CATEGORIES) * (feature.event == "purchase")
                of = first_seen[start : start + len(CATEGORIES)]
                columns[feature] = (of <= feature.slice_bound).sum(axis=0)
            case "active_days":
                columns[feature] = (days if kind is None else opened)[feature.slice_bound]
            case "recency":
                columns[feature] = newest / DAY_US
            case "tenure":
                columns[feature] = oldest / DAY_US
            case "gap_mean":
                gaps = (total if kind is None else counts[kind, -1]) - 1.0
                between = (oldest - newest) / DAY_US
                columns[feature] = np.divide(
                    between, gaps, out=np.full_like(between, np.nan), where=gaps > 0
                )
            case "hour_share":
                columns[feature] = quarters[(feature.hours or (0, 0))[0] // 6] / total
            case "weekday_share":
                columns[feature] = weekend / total
            case "decayed_count":
                decayed = decays[feature.days or 7]
                columns[feature] = decayed.sum(axis=0) if kind is None else decayed[kind]
            case other:
                raise ValueError(f"no plan for {other}")
    frame = {f.text: values.astype(np.float32, copy=False) for f, values in columns.items()}
    return pl.DataFrame({"user": np.flatnonzero(present).astype(np.uint32), **frame})


def _aligned(purchases: pl.DataFrame, spread: _Spread) -> dict[str, NDArray[np.float32]]:
    """Give the purchases' features for all users: 0 or NaN where there were none."""
    place = spread.place[purchases["user"].to_numpy()]
    aligned = {}
    for feature in declared():
        if _direct(feature):
            empty = 0.0 if feature.kind in ("sum", "count") else np.nan
            values = np.full(spread.users, empty, np.float32)
            values[place] = purchases[feature.text].to_numpy()
            aligned[feature.text] = values
    return aligned
