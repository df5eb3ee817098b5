"""A validation: predictions beside outcomes, drift, and whether it is time to train again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.forecast import Forecast
from propense.goal import Goal
from propense.measured import MAY_HAVE_SEEN
from propense.tiers import TIERS
from propense.validate.published import write_published

Verdict: TypeAlias = Literal["holds", "watch", "retrain"]
LOST_AUC = 0.05
"""By how much a model may rank worse than at training, beyond what chance explains."""

_Z95 = 1.959964


@dataclass(frozen=True)
class Validation:
    """What was predicted for users as of a date, and what happened; made by ``Model.validate``."""

    goal: Goal
    as_of: datetime
    ends: datetime
    """When the horizon ended, not in it."""

    forecast: Forecast
    labels: NDArray[np.bool_]
    """Whether each scored user reached the goal, bool of shape (n,)."""

    unknown: int
    """Scored users who are not in the log's audience, and are left out."""

    metrics: dict[str, Any]
    """Quality of the scores on these outcomes, as :attr:`Model.metrics` has it for training."""

    then: dict[str, Any]
    """Quality at training."""

    drift: pl.DataFrame | None
    """As by :meth:`Model.drift` at the log's end; None for models of earlier versions."""

    model_digest: str
    """Which version of the model: :attr:`Model.digest`."""

    @property
    def actual(self) -> int:
        """Users who reached the goal."""
        return int(self.labels.sum())

    @property
    def inside(self) -> bool:
        """Whether the forecast's interval contains what happened."""
        return self.forecast.total.low <= self.actual <= self.forecast.total.high

    @cached_property
    def table(self) -> pl.DataFrame:
        """Predicted and actual by tier.

        Returns
        -------
        polars.DataFrame
            One row a tier and one for all: ``tier``, ``users``, ``expected``, ``low``, ``high`` (the
            forecast), ``actual``, ``rate`` (actual over users; null without any), ``rate_low``,
            ``rate_high`` (95 % interval of the rate, Wilson's), ``inside`` (the forecast's interval).
        """
        rows = []
        codes = self.forecast.tier.to_physical().to_numpy()
        for row in self.forecast.table.iter_rows(named=True):
            every = row["tier"] == "all"
            here = codes >= 0 if every else codes == TIERS.index(row["tier"])
            actual, users = int(self.labels[here].sum()), int(here.sum())
            low, high = wilson(actual, users) if users else (None, None)
            rows.append(
                row
                | {
                    "actual": actual,
                    "rate": actual / users if users else None,
                    "rate_low": low,
                    "rate_high": high,
                    "inside": row["low"] <= actual <= row["high"],
                }
            )
        return pl.DataFrame(rows, infer_schema_length=None)

    @property
    def verdict(self) -> Verdict:
        """``holds``, ``watch`` or ``retrain``, for the reasons given."""
        order: tuple[Verdict, ...] = ("holds", "watch", "retrain")
        return max((verdict for verdict, _ in self.findings), key=order.index, default="holds")

    @property
    def reasons(self) -> list[str]:
        """The verdict's reasons, in words; empty if it holds."""
        return [reason for _, reason in self.findings]

    @cached_property
    def findings(self) -> list[tuple[Verdict, str]]:
        """What speaks for watching the model or training it again, each in words."""
        found = [self._count_finding(), self._ranking_finding(), self._drift_finding()]
        return [each for each in found if each is not None]

    def as_dict(self) -> dict[str, Any]:
        """Give everything, ready for JSON."""
        return {
            "goal": self.goal.as_dict(),
            "model_digest": self.model_digest,
            "as_of": self.as_of.isoformat(),
            "ends": self.ends.isoformat(),
            "verdict": self.verdict,
            "reasons": self.reasons,
            "level": self.forecast.level,
            "unknown": self.unknown,
            "tiers": self.table.to_dicts(),
            "metrics": self.metrics,
            "drift": None if self.drift is None else self.drift.to_dicts(),
        }

    def publish(self, model: str | Path) -> Path:
        """Write what a server's metrics page shows of it, beside the model's folder.

        The server reads it when it looks at the model: at its start and at each reload. It shows it for
        as long as that version of the model is served.

        Parameters
        ----------
        model
            The folder of the model that was validated.

        Returns
        -------
        Path
            The file, ``NAME.validation.json`` beside the folder ``NAME``.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        return write_published(self, Path(model))

    def _count_finding(self) -> tuple[Verdict, str] | None:
        if self.inside:
            return None
        total, level = self.forecast.total, self.forecast.level
        return (
            "retrain",
            f"{self.actual:,} of {total.users:,} users reached the goal; the forecast was "
            f"{total.expected:,.0f}, with a {level:.0%} interval of {total.low:,} to {total.high:,}",
        )

    def _ranking_finding(self) -> tuple[Verdict, str] | None:
        now, then = self.metrics["auc"], self.then["auc"]
        if now["value"] is None or then["value"] is None:
            return None
        lost = then["value"] - now["value"]
        chance = _Z95 * np.hypot(auc_error(now), auc_error(then))
        if lost <= chance:
            return None
        words = f"users are ranked worse: AUC {now['value']:.3f}, {then['value']:.3f} at training"
        if self.then.get("kind") == MAY_HAVE_SEEN:
            words += ", but of users from whom the model may have learnt"
        return ("retrain" if lost > LOST_AUC else "watch"), words

    def _drift_finding(self) -> tuple[Verdict, str] | None:
        if self.drift is None:
            return None
        score = self.drift.filter(of="score").row(0, named=True)
        if score["reading"] == "stable":
            return None
        most = self.drift.filter(pl.col("of") == "feature", pl.col("reading") != "stable")
        named = ", ".join(most["name"].head(3))
        words = "scores are spread otherwise than at training (population stability "
        words += f"{score['stability']:.2f}, of which chance explains up to {score['chance']:.2f})"
        words += f"; most moved: {named}" if named else ""
        return ("retrain" if score["reading"] == "shifted" else "watch"), words


def wilson(reached: int, users: int) -> tuple[float, float]:
    """Give the 95 % interval of a rate by E. B. Wilson (1927); ``users`` is at least 1."""
    rate, spread = reached / users, _Z95**2 / users
    middle = (rate + spread / 2) / (1 + spread)
    half = np.sqrt(rate * (1 - rate) * spread + spread**2 / 4) / (1 + spread)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def auc_error(metric: Mapping[str, Any]) -> float:
    """Give the standard error of an AUC by its value and counts: Hanley and McNeil (1982)."""
    area, positives = float(metric["value"]), int(metric["positives"])
    negatives = int(metric["n"]) - positives
    one = area / (2 - area) - area**2
    two = 2 * area**2 / (1 + area) - area**2
    variance = area * (1 - area) + (positives - 1) * one + (negatives - 1) * two
    return float(np.sqrt(variance / (positives * negatives)))
