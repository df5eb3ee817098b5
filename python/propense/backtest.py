"""How a model did on past dates, each predicted with what was known then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.exceptions import ModelError
from propense.instants import in_words

COLUMNS = {
    "as_of_us": pl.Int64,
    "score": pl.Float32,
    "label": pl.Boolean,
    "by_rule": pl.Boolean,
}

SUMMARY = {
    "as_of": pl.Int64,
    "audience": pl.Int64,
    "users": pl.Int64,
    "expected": pl.Float64,
    "actual": pl.Int64,
    "ratio": pl.Float64,
    "auc": pl.Float64,
    "top_rate": pl.Float64,
    "rule_rate": pl.Float64,
    "base_rate": pl.Float64,
}


@dataclass(frozen=True)
class PastCut:
    """One past date: what was predicted for users then, and what became of them.

    ``scores`` float32, ``labels`` and ``by_rule`` bool, shape (n,): a user's score as of the date,
    whether the goal was reached in ``[as_of, as_of + horizon)``, and whether a rule that knows
    nothing but the goal would have picked the user: the goal reached in ``[as_of − horizon, as_of)``.
    """

    as_of_us: int
    audience: int
    """Users in the audience then; with more than n a random share of them was looked at."""

    scores: NDArray[np.float32]
    labels: NDArray[np.bool_]
    by_rule: NDArray[np.bool_]


@dataclass(frozen=True)
class Backtest:
    """The past cuts of a model, oldest first."""

    cuts: tuple[PastCut, ...]
    retrained: bool
    """Whether each date had a model of its own, fitted on nothing at or after it. A model trained
    elsewhere is one and the same on every date, and may have learnt from some of them."""

    @property
    def apart_us(self) -> int | None:
        """Microseconds from one cut to the next; None for fewer than two."""
        times = [cut.as_of_us for cut in self.cuts]
        return min((later - sooner for sooner, later in pairwise(times)), default=None)

    def described(self) -> dict[str, Any]:
        """Give what the manifest keeps: the cuts with their counts."""
        cuts = [
            {
                "as_of": in_words(cut.as_of_us),
                "as_of_us": cut.as_of_us,
                "audience": cut.audience,
                "rows": len(cut.scores),
                "expected": float(cut.scores.sum(dtype=np.float64)),
                "positives": int(cut.labels.sum()),
            }
            for cut in self.cuts
        ]
        return {"retrained": self.retrained, "cuts": cuts}

    def frame(self) -> pl.DataFrame:
        """Give the rows of all cuts, as ``backtest.arrow`` keeps them."""
        parts = [
            pl.DataFrame({"score": cut.scores, "label": cut.labels, "by_rule": cut.by_rule}).select(
                pl.lit(cut.as_of_us, pl.Int64).alias("as_of_us"), pl.all()
            )
            for cut in self.cuts
        ]
        return pl.concat([pl.DataFrame(schema=COLUMNS), *parts])

    @classmethod
    def of(cls, rows: pl.DataFrame, described: Mapping[str, Any]) -> Backtest:
        """Put rows and their description together again.

        Raises
        ------
        ModelError
            They are not of one backtest.
        """
        cuts = []
        for entry in described["cuts"]:
            here = rows.filter(pl.col("as_of_us") == int(entry["as_of_us"]))
            scores = here["score"].to_numpy()
            if here.height != entry["rows"] or not ((scores >= 0) & (scores <= 1)).all():
                raise ModelError(f"the backtest of {entry['as_of']} does not fit the manifest")
            cuts.append(
                PastCut(
                    int(entry["as_of_us"]),
                    int(entry["audience"]),
                    scores,
                    here["label"].to_numpy(),
                    here["by_rule"].to_numpy(),
                )
            )
        if rows.height != sum(len(cut.scores) for cut in cuts):
            raise ModelError("the backtest has rows of dates that the manifest does not name")
        return cls(tuple(cuts), bool(described["retrained"]))


def summary(cuts: Sequence[PastCut]) -> pl.DataFrame:
    """Sum up past cuts.

    Returns
    -------
    polars.DataFrame
        One row a cut, oldest first: ``as_of`` (Datetime, UTC), ``audience``, ``users`` (those looked
        at), ``expected`` (sum of scores), ``actual`` (users who reached the goal), ``ratio`` (actual
        over expected), ``auc`` (null with one class only), ``top_rate`` and ``rule_rate`` (rate of
        the same number of users, by score and by the rule; null if it picked nobody), ``base_rate``.
    """
    from propense.training.metrics import auc

    rows = []
    for cut in cuts:
        expected, picked = float(cut.scores.sum(dtype=np.float64)), int(cut.by_rule.sum())
        best = np.argsort(-cut.scores, kind="stable")[:picked]
        area = auc(cut.labels, cut.scores)
        rows.append(
            {
                "as_of": cut.as_of_us,
                "audience": cut.audience,
                "users": len(cut.scores),
                "expected": expected,
                "actual": int(cut.labels.sum()),
                "ratio": float(cut.labels.sum()) / expected if expected > 0 else None,
                "auc": None if np.isnan(area) else area,
                "top_rate": float(cut.labels[best].mean()) if picked else None,
                "rule_rate": float(cut.labels[cut.by_rule].mean()) if picked else None,
                "base_rate": float(cut.labels.mean()),
            }
        )
    frame = pl.DataFrame(rows, schema=SUMMARY)
    return frame.with_columns(pl.from_epoch("as_of", "us").dt.replace_time_zone("UTC"))
