"""The numbers of a report, each from what the model directory holds; None where it does not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.exceptions import ModelError
from propense.instants import from_us, local_day
from propense.tiers import TIERS

if TYPE_CHECKING:
    from propense.forecast import Forecast
    from propense.model import Model

_Z = 1.959963984540054
LEVEL = 0.95
DRIVERS = 12


@dataclass(frozen=True)
class Picks:
    """The same number of users picked in three ways on the newest past date, and what became of them."""

    as_of: str
    picked: int
    users: int
    by_score: int
    by_rule: int
    reached: int

    @property
    def at_random(self) -> float:
        """Give how many of as many users picked at random."""
        return self.picked * self.reached / self.users


@dataclass(frozen=True)
class TierFacts:
    """One tier in the test period."""

    tier: str
    users: int
    expected: float
    expected_low: float
    expected_high: float
    actual: int
    rate_low: float
    rate_high: float

    @property
    def rate(self) -> float | None:
        """The share that reached the goal."""
        return self.actual / self.users if self.users else None


def wilson(hits: float, users: float) -> tuple[float, float]:
    """Give the 95 % interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953)."""
    if users <= 0:
        return 0.0, 1.0
    share, z = hits / users, _Z**2 / users
    centre = (share + z / 2) / (1 + z)
    half = _Z * math.sqrt(share * (1 - share) / users + z / (4 * users)) / (1 + z)
    return max(0.0, centre - half), min(1.0, centre + half)


def tier_facts(model: Model) -> list[TierFacts]:
    """Cut the test period into tiers: what was expected, and what happened.

    The interval of the expected number is that of chance alone, should every score be right.
    """
    scores, labels = model.test
    tiers = model.cut_offs.tiers(scores).to_physical().to_numpy()
    values = scores.astype(np.float64)
    rows = []
    for code, name in [*enumerate(TIERS), (-1, "all")]:
        inside = tiers == code if code >= 0 else np.ones(len(tiers), dtype=bool)
        p, actual = values[inside], int(labels[inside].sum())
        expected, half = float(p.sum()), _Z * math.sqrt(float((p * (1.0 - p)).sum()))
        low, high = max(0.0, expected - half), min(float(len(p)), expected + half)
        rows.append(TierFacts(name, len(p), expected, low, high, actual, *wilson(actual, len(p))))
    return rows


def picks(model: Model) -> Picks | None:
    """Compare scores with the rule, the same number of users each, on the newest past date."""
    past = model.past
    if past is None or not past.cuts or not past.cuts[-1].by_rule.any():
        return None
    cut = past.cuts[-1]
    picked = int(cut.by_rule.sum())
    best = np.argsort(-cut.scores, kind="stable")[:picked]
    return Picks(
        as_of=local_day(from_us(cut.as_of_us), model.features.timezone),
        picked=picked,
        users=len(cut.labels),
        by_score=int(cut.labels[best].sum()),
        by_rule=int(cut.labels[cut.by_rule].sum()),
        reached=int(cut.labels.sum()),
    )


def gains(scores: NDArray[np.float32], labels: NDArray[np.bool_]) -> pl.DataFrame:
    """Give the share of those who reach the goal among the best users, at each share of the audience.

    Equal scores are taken in together, so the curve is a straight line across them.

    Returns
    -------
    polars.DataFrame
        ``contacted`` and ``found``, shares from 0 to 1, at most 201 rows; empty if nobody reaches it.
    """
    if not labels.any():
        return pl.DataFrame(schema={"contacted": pl.Float64, "found": pl.Float64})
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    users = np.append(0, np.arange(1, len(order) + 1)[last])
    hits = np.append(0, np.cumsum(labels[order])[last])
    contacted = np.linspace(0.0, 1.0, 201)
    found = np.interp(contacted, users / len(order), hits / labels.sum())
    return pl.DataFrame({"contacted": contacted, "found": found})


def histogram(scores: NDArray[np.float32], most: float, least: float) -> pl.DataFrame:
    """Count the audience's scores in bins of equal width on a logarithmic scale, cut at the cut-offs.

    Returns
    -------
    polars.DataFrame
        ``low``, ``high``, ``share`` and ``tier`` of each bin.
    """
    values = np.maximum(scores.astype(np.float64), 1e-6)
    start, end = float(values.min()), float(values.max())
    edges = np.geomspace(start, max(end, start * 1.01), 41)
    inner = [cut for cut in (least, most) if edges[0] < cut < edges[-1]]
    edges = np.unique(np.concatenate([edges, inner]))
    counts = np.histogram(values, np.append(edges[:-1], np.nextafter(edges[-1], np.inf)))[0]
    low = edges[:-1]
    tier = np.where(low >= most * (1 - 1e-9), 0, np.where(low < least * (1 - 1e-9), 2, 1))
    return pl.DataFrame(
        {
            "low": low,
            "high": edges[1:],
            "share": counts / len(values),
            "tier": [TIERS[code] for code in tier],
        }
    )


def next_period(model: Model) -> Forecast | None:
    """Forecast for the audience at training; None if the model does not say how large it was."""
    try:
        return model.forecast(level=LEVEL)
    except ModelError:
        return None


def drivers(model: Model) -> pl.DataFrame | None:
    """Give the features that matter most, by the gain of the splits on them, as shares of all."""
    known = model.training.get("gain")
    if not isinstance(known, dict) or not known:
        return None
    texts = dict(zip(model.features.names, model.features.expressions, strict=True))
    total = sum(float(value) for value in known.values()) or 1.0
    best = sorted(known.items(), key=lambda entry: -float(entry[1]))[:DRIVERS]
    rows = [(name, texts.get(name, name), float(value) / total) for name, value in best]
    return pl.DataFrame(rows, schema=["feature", "expression", "share"], orient="row")
