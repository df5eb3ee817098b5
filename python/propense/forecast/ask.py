"""From a model and scores to a forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.backtest import Backtest
from propense.exceptions import ModelError, PlanError
from propense.forecast.amounts import check_amount
from propense.forecast.audience import audience_at_training
from propense.forecast.counts import Crowd
from propense.forecast.forecast import Forecast
from propense.forecast.shift import Floats, apart, logit, next_shift
from propense.measured import may_have_seen_past
from propense.tiers import TIER_TYPE, TIERS, CutOffs

if TYPE_CHECKING:
    from propense.model import Model

_RULE_BINS = 20


def forecast(
    model: Model, scores: pl.DataFrame | None, target: float | None, level: float
) -> Forecast:
    """Forecast for scored users, or for the audience at training; see ``Model.forecast``."""
    if target is not None:
        check_amount("target", target)
    if not 0 < level < 1:
        raise PlanError(f"level is {level:g}; expected a share between 0 and 1, such as 0.9")
    parts = model._parts
    if scores is None:
        values, crowd, users = parts.audience, audience_at_training(model), None
        tier = model.cut_offs.tiers(values)
    else:
        values = checked_scores(scores)
        crowd, users = Crowd(logit(values), np.ones(len(values))), scores
        tier = checked_tiers(scores) if "tier" in scores.columns else model.retier(scores)["tier"]
    return Forecast(
        goal=model.goal,
        ahead=next_shift(parts.backtest, model.goal.horizon_us),
        crowd=crowd,
        tier=tier,
        users=users,
        rule_share=rule_share(parts.backtest, values),
        level=level,
        target=None if target is None else float(target),
        apart=tiers_apart(parts.backtest, model.cut_offs, model.goal.horizon_us),
        may_have_seen=may_have_seen_past(parts),
    )


def tiers_apart(backtest: Backtest | None, cuts: CutOffs, horizon_us: int) -> dict[str, float]:
    """Learn for each tier, cut as now, how far it was off on past cuts beside everyone."""
    past = () if backtest is None else backtest.cuts
    codes = [cuts.tiers(cut.scores).to_physical().to_numpy() for cut in past]
    return {
        tier: apart(backtest, [code == place for code in codes], horizon_us)
        for place, tier in enumerate(TIERS)
    }


def checked_scores(scores: pl.DataFrame) -> NDArray[np.float32]:
    """Give the column ``score``, which must hold probabilities.

    Raises
    ------
    ModelError
        The column is missing, empty, or holds something else.
    """
    if "score" not in scores.columns:
        found = ", ".join(scores.columns)
        raise ModelError(f"a forecast needs a column 'score'; the columns are {found}")
    column = scores["score"]
    if not column.dtype.is_numeric():
        raise ModelError(f"the column 'score' holds {column.dtype}; expected probabilities")
    values = column.cast(pl.Float32).to_numpy()
    if not len(values):
        raise ModelError("there are no scores to forecast from: the frame has no rows")
    if not ((values >= 0) & (values <= 1)).all():
        raise ModelError("a score is missing or outside [0, 1]; expected those that a model gives")
    return values


def checked_tiers(scores: pl.DataFrame) -> pl.Series:
    """Give the column ``tier``.

    Raises
    ------
    ModelError
        It holds something else than tiers.
    """
    try:
        tiers = scores["tier"].cast(pl.String).cast(TIER_TYPE)
    except pl.exceptions.PolarsError:
        tiers = None
    if tiers is None or tiers.null_count():
        raise ModelError(f"the column 'tier' holds something else than {', '.join(TIERS)}")
    return tiers


def rule_share(backtest: Backtest | None, values: NDArray[np.float32]) -> Floats | None:
    """Give the share whom the rule picks among users with such scores, as on the newest past cut.

    Float64 of shape (n,), by twentieths of that cut's scores; None where no past cut is known.
    """
    if backtest is None or not backtest.cuts:
        return None
    newest = backtest.cuts[-1]
    levels = np.arange(1, _RULE_BINS) / _RULE_BINS
    edges = np.unique(np.quantile(newest.scores, levels))
    here = np.searchsorted(edges, newest.scores, side="right")
    there = np.searchsorted(edges, values, side="right")
    users = np.bincount(here, minlength=len(edges) + 1)
    picked = np.bincount(here, weights=newest.by_rule, minlength=len(edges) + 1)
    everywhere = float(newest.by_rule.mean())
    share: Floats = np.where(users > 0, picked / np.maximum(users, 1), everywhere)[there]
    return share
