"""The quality of a model in one word, with the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from propense.measured import may_have_seen_test, trained_elsewhere

if TYPE_CHECKING:
    from propense.model import Model

Word = Literal["strong", "usable", "preliminary", "not usable", "not known"]

STRONG_AUC = 0.75
STRONG_OFF = 0.25
"""A strong model's expected number was off by at most this share on every past date."""
USABLE_AUC = 0.55
"""The lower end of the AUC's interval that is told from guessing."""
USABLE_OFF = 2.0
"""Beyond this many times as many or as few as expected, scores are no probabilities."""
FEW_POSITIVES = 100
_Z = 1.96


@dataclass(frozen=True)
class Quality:
    """One word, and why."""

    word: Word
    reason: str


def quality(model: Model) -> Quality:
    """Judge a model by its test period and past dates.

    ``not usable``: the 95 % interval of the AUC reaches 0.55 or below, or twice or half as many users
    as expected reached the goal. ``not known``: the model may have learnt from the users that it was
    measured on. ``preliminary``: trained on fewer than 500 users of either kind, or measured on fewer
    than 100. ``strong``: AUC of 0.75 or more, within 25 % of the expected number on
    every past date, and better than the rule wherever it picked anybody. ``usable``: everything else.
    """
    metrics = model.metrics
    area, positives = metrics["auc"]["value"], int(metrics["positives"])
    negatives = int(metrics["n"]) - positives
    if area is None:
        return Quality("not usable", "everyone or nobody reached the goal in the test period")
    low, high = auc_interval(area, positives, negatives)
    shown = f"AUC {area:.2f} ({low:.2f}–{high:.2f})"
    if low <= USABLE_AUC:
        return Quality("not usable", f"{shown}: it can hardly be told from guessing")
    actual = (
        positives / metrics["expected_positives"] if metrics["expected_positives"] else math.inf
    )
    if not 1.0 / USABLE_OFF <= actual <= USABLE_OFF:
        return Quality(
            "not usable",
            f"{actual:.1f} times as many users as expected reached the goal in the test period: "
            "scores are no probabilities",
        )
    if may_have_seen_test(model._parts):
        return Quality(
            "not known",
            f"{shown}, but on users from whom it may have learnt: of others that tells nothing",
        )
    few = min(positives, negatives)
    if model.training["standing"] == "preliminary":
        did = "measured on" if trained_elsewhere(model._parts) else "learnt from"
        return Quality("preliminary", f"{shown}, but {did} fewer than 500 users of one kind")
    if few < FEW_POSITIVES:
        return Quality("preliminary", f"{shown}, but measured on only {few} users of one kind")
    weak = _weak(model, area)
    if weak is None:
        return Quality("strong", f"{shown}, {_right(model)}")
    return Quality("usable", f"{shown}; {weak}")


def auc_interval(area: float, positives: int, negatives: int) -> tuple[float, float]:
    """Give the 95 % interval of an AUC (Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747)."""
    one, two = area / (2.0 - area), 2.0 * area**2 / (1.0 + area)
    spread = (
        area * (1.0 - area) + (positives - 1) * (one - area**2) + (negatives - 1) * (two - area**2)
    )
    half = _Z * math.sqrt(max(spread, 0.0) / (positives * negatives))
    return max(0.0, area - half), min(1.0, area + half)


def _right(model: Model) -> str:
    """Say what a strong model did right on past dates."""
    past = model.backtest
    dates = f" on all {past.height} past dates" if past.height > 1 else ""
    picked = past["rule_rate"].count()
    if picked == past.height:
        return f"close to what happened and ahead of the rule{dates}"
    # Of a goal such as a first purchase the rule may never pick anybody.
    ahead = f", and ahead of the rule where it picked anybody ({picked})" if picked else ""
    return f"close to what happened{dates}{ahead}"


def _weak(model: Model, area: float) -> str | None:
    """Say what keeps a model from being strong."""
    if area < STRONG_AUC:
        return f"an AUC of {STRONG_AUC} or more would be strong"
    past = model.backtest
    if past.is_empty():
        return "the log was too short for past dates"
    off = float(np.max(np.abs(past["ratio"].fill_null(np.inf).to_numpy() - 1.0)))
    if off > STRONG_OFF:
        return f"on a past date the number who reached the goal was {off:.0%} off what was expected"
    behind = past.filter(past["top_rate"] <= past["rule_rate"]).height
    if behind:
        return f"on {behind} of {past.height} past dates the rule picked as well"
    return None
