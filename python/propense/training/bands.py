"""Rates by recency and frequency: what can be said where too few reached a goal for trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propense import _core
from propense.features import FeatureSet
from propense.goal import Goal
from propense.training.rows import TrainingRows

PRIOR_POSITIVES = 5.0
"""A band speaks for itself once about this many of its users would be expected to reach the goal."""

_LEVELS = (0.25, 0.5, 0.75)
_EMPTY = 1e-3
"""Rows that a band without any counts as: explanations share out by rows, and none cannot be shared."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bands:
    """A rate for each band of recency (rows) and frequency (columns).

    A user is in the first band whose upper end is at or above the number; the last has no end, and a
    missing recency is in the last. ``rates`` and ``users``, the training rows in each band, are float64
    of shape (len(recency) + 1, len(frequency) + 1).
    """

    recency: tuple[float, ...]
    frequency: tuple[float, ...]
    rates: Floats
    users: Floats

    def scores(self, matrix: NDArray[np.float32]) -> Floats:
        """Give each row the rate of its band: matrix float32 (n, 2), rates float64 (n,)."""
        return self.rates[places(matrix, self.recency, self.frequency)]

    def tree(self) -> dict[str, Any]:
        """Give the same as one tree of log odds, written like a LightGBM dump."""
        odds = np.log(self.rates) - np.log1p(-self.rates)
        counts = np.maximum(self.users, _EMPTY)
        rows = [
            _chain(1, self.frequency, [_leaf(*band) for band in zip(values, count, strict=True)])
            for values, count in zip(odds, counts, strict=True)
        ]
        return _chain(0, self.recency, rows)


def band_features(goal: Goal, timezone: str) -> FeatureSet:
    """Give recency and frequency of the goal's own event, or of all events if it names none."""
    named = _core.event_types_named(goal.when)
    event = '"' + named[0].replace('"', '""') + '"' if named else "*"
    return FeatureSet([f"recency({event})", f"count({event})"], timezone=timezone)


def fit_bands(rows: TrainingRows) -> Bands:
    """Cut quarters of recency and frequency and give each band a smoothed rate.

    Smoothing is hierarchical: a band is drawn to the rate of its recency, that to the rate of
    everyone, each by as many users as would have five positives at the rate they are drawn to.

    Parameters
    ----------
    rows
        Matrix of shape (n, 2): recency and frequency, as by :func:`band_features`.
    """
    recency = _quarters(rows.matrix[:, 0])
    # Counts are whole; never having done it is a band of its own.
    frequency = tuple(sorted({0.5, *(cut + 0.5 for cut in _quarters(rows.matrix[:, 1]))}))
    shape = (len(recency) + 1, len(frequency) + 1)
    place = places(rows.matrix, recency, frequency)
    users = np.zeros(shape)
    reached = np.zeros(shape)
    np.add.at(users, place, 1.0)
    np.add.at(reached, place, rows.label.astype(np.float64))
    everyone = (reached.sum() + 0.5) / (users.sum() + 1.0)
    by_recency = _drawn(reached.sum(axis=1), users.sum(axis=1), np.full(shape[0], everyone))
    return Bands(recency, frequency, _drawn(reached, users, by_recency[:, np.newaxis]), users)


def places(
    matrix: NDArray[np.float32], recency: Sequence[float], frequency: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give each row's band of recency and of frequency, from 0."""
    days, count = matrix[:, 0], matrix[:, 1]
    row = np.where(
        np.isnan(days), len(recency), np.searchsorted(np.asarray(recency, np.float32), days)
    )
    column = np.searchsorted(np.asarray(frequency, np.float32), count)
    return row, np.where(np.isnan(count), len(frequency), column)


def _drawn(reached: Floats, users: Floats, rate: Floats) -> Floats:
    drawn: Floats = (reached + PRIOR_POSITIVES) / (users + PRIOR_POSITIVES / rate)
    return drawn


def _quarters(column: NDArray[np.float32]) -> tuple[float, ...]:
    present = column[~np.isnan(column)]
    if not len(present):
        return ()
    cuts = np.unique(np.quantile(present, _LEVELS, method="inverted_cdf"))
    return tuple(float(cut) for cut in cuts if cut < present.max())


def _leaf(value: float, rows: float) -> dict[str, Any]:
    return {"leaf_value": float(value), "leaf_count": float(rows)}


def _rows(node: dict[str, Any]) -> float:
    rows: float = node["internal_count" if "internal_count" in node else "leaf_count"]
    return rows


def _chain(
    feature: int, bounds: Sequence[float], children: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Split at each bound in turn; what is above all of them, or missing, goes to the last child."""
    node = children[-1]
    for bound, child in zip(reversed(bounds), reversed(children[:-1]), strict=True):
        node = {
            "split_index": 0,
            "split_feature": feature,
            "threshold": bound,
            "decision_type": "<=",
            "missing_type": "NaN",
            "default_left": False,
            "internal_count": _rows(child) + _rows(node),
            "left_child": child,
            "right_child": node,
        }
    return node
