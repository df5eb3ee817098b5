"""Ways to compute the features in Polars; :mod:`polars_features` races them."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Literal

import polars as pl

from propense.bench.declared import WINDOWS, ZERO_IF_EMPTY, Declared, declared
from propense.bench.generator import AS_OF, EVENT_TYPES

Engine = Literal["in-memory", "streaming"]

DAY_US = 86_400_000_000
AGE, SLICE, DAY = pl.col("age_us"), pl.col("slice"), pl.col("day")


def known(events: pl.LazyFrame) -> pl.LazyFrame:
    """Give the events before the as_of with what the features ask of each, worked out once.

    ``age_us`` to the as_of, ``slice`` (the place of the shortest window that the event is in),
    ``kind`` (the event type's code), ``day`` since 1970.
    """
    as_of_us = int(AS_OF.timestamp()) * 1_000_000
    time_us = pl.col("event_time").to_physical()
    beyond = [(days * DAY_US < AGE).cast(pl.UInt8) for days in WINDOWS if days is not None]
    return (
        events.filter(pl.col("event_time") < AS_OF)
        .with_columns(age_us=as_of_us - time_us, day=(time_us // DAY_US).cast(pl.Int32))
        .with_columns(
            slice=functools.reduce(operator.add, beyond), kind=pl.col("event").to_physical()
        )
    )


def filtered(events: pl.LazyFrame, user: str, engine: Engine) -> pl.DataFrame:
    """One group-by: every feature an aggregation of the events that it filters."""
    features = declared()
    aggregates = [expression(feature).alias(feature.text) for feature in features]
    return known(events).group_by(user).agg(aggregates).collect(engine=engine)


def expression(feature: Declared) -> pl.Expr:
    """Give a feature as an aggregation within a group of :func:`known` events."""
    conditions = []
    if feature.event is not None:
        conditions.append(pl.col("kind") == EVENT_TYPES.index(feature.event))
    if feature.days is not None and feature.kind != "decayed_count":
        conditions.append(feature.slice_bound >= SLICE)
    if feature.category is not None:
        conditions.append(pl.col("category") == feature.category)
    mask = functools.reduce(operator.and_, conditions) if conditions else None
    if feature.kind == "count":
        return (pl.len() if mask is None else mask.sum()).cast(pl.Float32)

    def chosen(values: pl.Expr) -> pl.Expr:
        return values if mask is None else values.filter(mask)

    value = _AGGREGATES[feature.kind](chosen, feature).cast(pl.Float32)
    return value.fill_null(0.0) if feature.kind in ZERO_IF_EMPTY else value


Chosen = Callable[[pl.Expr], pl.Expr]
_AMOUNT = pl.col("amount")


def _earliest(chosen: Chosen, descending: bool) -> pl.Expr:
    time = chosen(pl.col("event_time"))
    at = time.arg_max() if descending else time.arg_min()
    return chosen(_AMOUNT).get(at, null_on_oob=True)


def _gap_mean(chosen: Chosen) -> pl.Expr:
    gaps = chosen(AGE).count().cast(pl.Float64) - 1.0
    return pl.when(gaps > 0).then((chosen(AGE).max() - chosen(AGE).min()) / gaps / DAY_US)


def _hour_share(chosen: Chosen, hours: tuple[int, int]) -> pl.Expr:
    hour = pl.col("event_time").to_physical() % DAY_US // 3_600_000_000
    return chosen(hour.is_between(*hours)).mean()


def _half_lives(feature: Declared) -> float:
    return float((feature.days or 1) * DAY_US)


_AGGREGATES: dict[str, Callable[[Chosen, Declared], pl.Expr]] = {
    "sum": lambda chosen, _: chosen(_AMOUNT).sum(),
    "mean": lambda chosen, _: chosen(_AMOUNT).mean(),
    "max": lambda chosen, _: chosen(_AMOUNT).max(),
    "std": lambda chosen, _: chosen(_AMOUNT).std(ddof=1),
    "first": lambda chosen, _: _earliest(chosen, descending=False),
    "last": lambda chosen, _: _earliest(chosen, descending=True),
    "distinct": lambda chosen, _: chosen(pl.col("category").to_physical()).n_unique(),
    "active_days": lambda chosen, _: chosen(DAY).n_unique(),
    "recency": lambda chosen, _: chosen(AGE).min() / DAY_US,
    "tenure": lambda chosen, _: chosen(AGE).max() / DAY_US,
    "gap_mean": lambda chosen, _: _gap_mean(chosen),
    "hour_share": lambda chosen, feature: _hour_share(chosen, feature.hours or (0, 23)),
    "weekday_share": lambda chosen, _: chosen((DAY + 3) % 7 >= 5).mean(),
    "decayed_count": lambda chosen, feature: chosen(0.5 ** (AGE / _half_lives(feature))).sum(),
}
