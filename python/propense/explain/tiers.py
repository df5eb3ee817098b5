"""What sets each tier apart from the audience as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.events import EventLog
from propense.exceptions import DataError
from propense.explain.asked import Asked, Words
from propense.instants import Instant, in_words
from propense.tiers import TIER_TYPE, TIERS

if TYPE_CHECKING:
    from propense.model import Model

MAX_USERS = 50_000
"""Users of the audience that are looked at; of a larger one, evenly spaced users."""


def explain_tiers(
    model: Model, log: EventLog, *, as_of: Instant | None = None, top: int = 5
) -> pl.DataFrame:
    """Say what sets each tier apart; see :meth:`propense.Model.explain_tiers`."""
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise DataError(f"top is {top!r}; expected a number of features from 1 up")
    asked = Asked.of(model, log, None, as_of)
    if not len(asked.users):
        raise DataError(f"nobody is in the audience as of {in_words(asked.as_of_us)}")
    scores = model.score_places(log, asked.users, asked.as_of_us)
    tiers = model.tiers_of(scores).to_physical().to_numpy()
    chosen = np.linspace(0, len(asked.users) - 1, min(MAX_USERS, len(asked.users))).astype(np.int64)
    sample = Asked(model, asked.log, asked.users[chosen], asked.as_of_us, asked.base, asked.reads)
    contributions, values = sample.whole()
    words = Words(model, asked.reads)
    overall, typical = contributions.mean(axis=0, dtype=np.float64), _typical(values)
    rows = []
    for code, tier in enumerate(TIERS):
        inside = tiers[chosen] == code
        if not inside.any():
            continue
        mean = contributions[inside].mean(axis=0, dtype=np.float64)
        apart, inner = mean - overall, _typical(values[inside])
        for column in np.argsort(-np.abs(apart), kind="stable")[:top]:
            said = words.phrases[column].of(inner[column])
            everyone = words.phrases[column].short(typical[column])
            rows.append(
                {
                    "tier": tier,
                    "feature": asked.names[column],
                    "typical": inner[column],
                    "typical_of_all": typical[column],
                    "contribution": mean[column],
                    "apart": apart[column],
                    "words": f"{said}, {everyone} overall",
                }
            )
    types: dict[str, Any] = {"tier": TIER_TYPE, "feature": pl.String, "typical": pl.Float64}
    types |= {"typical_of_all": pl.Float64, "contribution": pl.Float64, "apart": pl.Float64}
    return pl.DataFrame(rows, schema=types | {"words": pl.String}).with_columns(
        pl.col("typical", "typical_of_all").fill_nan(None)
    )


def _typical(values: NDArray[np.float32]) -> list[float]:
    """Give the median of each column, a missing value being below all others; NaN if it is missing."""
    ordered = np.sort(np.where(np.isnan(values), -np.inf, values), axis=0)
    middle = ordered[(len(ordered) - 1) // 2]
    return [float(value) if np.isfinite(value) else float("nan") for value in middle]
