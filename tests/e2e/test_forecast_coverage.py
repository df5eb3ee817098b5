"""Forecast intervals on real logs, in all and by tier: past dates forecast by what was known then.

A log's dates stand 30 days apart, for horizons of 30 and 90 days. Scores are rates of bands, which take
no time to fit; with PROPENSE_LONG set they are those of trees, as training gives them, for 60 days too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import propense as pp
from propense.backtest import Backtest, PastCut
from propense.cuts import backtest_us, periods_before
from propense.features import FeatureSet
from propense.forecast.ask import tiers_apart
from propense.forecast.counts import Crowd, counted, drawn
from propense.forecast.shift import logit, next_shift
from propense.instants import DAY_US
from propense.tiers import TIERS, TierPolicy, cut_offs
from propense.training.backtest import ROWS, past_cuts
from propense.training.bands import band_features, fit_bands
from propense.training.rows import Question, TrainingRows, resolve_features

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SETS = [
    ("cdnow", "purchase"),
    ("online_retail", "purchase"),
    ("online_retail", "cancel"),
    ("completejourney", "purchase"),
    ("completejourney", "coupon_redeemed"),
]
LONG = "PROPENSE_LONG" in os.environ
HORIZONS = (30, 60, 90) if LONG else (30, 90)
APART = 30

Learn = Callable[[TrainingRows, TrainingRows], NDArray[np.floating] | None]


def by_bands(past: TrainingRows, rows: TrainingRows) -> NDArray[np.floating] | None:
    if past.label.all() or not past.label.any():
        return None
    return fit_bands(past).scores(rows.matrix)


def by_trees(past: TrainingRows, rows: TrainingRows) -> NDArray[np.floating] | None:
    from propense.training.train import enough, fit_rows, predict

    return predict(fit_rows(past, 0, "coverage"), rows.matrix) if enough(past) else None


def past_dates(
    question: Question, features: FeatureSet, end_us: int, learn: Learn
) -> list[tuple[PastCut, Backtest]]:
    """Give every date with what happened after it, and with the backtest it would have had."""
    first_us, horizon_us = question.log.span_us[0], question.goal.horizon_us
    known: dict[int, PastCut | None] = {}

    def scorer(at: int, rows: TrainingRows) -> NDArray[np.floating] | None:
        dates = periods_before(first_us, at, horizon_us)
        return learn(question.rows(features, dates, max_rows=ROWS), rows) if dates else None

    def cut(at: int) -> PastCut | None:
        if at not in known:
            known[at] = next(iter(past_cuts(question, features, [at], scorer, 0)), None)
        return known[at]

    found = []
    for at in range(end_us - horizon_us, first_us, -APART * DAY_US):
        before = [cut(date) for date in backtest_us(first_us, at, horizon_us)]
        usable = tuple(each for each in before if each is not None)
        now = cut(at)
        if usable and now is not None:
            found.append((now, Backtest(usable, retrained=True)))
    return found


def covered_tiers(now: PastCut, past: Backtest, horizon_us: int) -> dict[str, bool]:
    """Say of each tier with anybody in it whether its interval held; tiers are cut as by default."""
    nothing = np.empty(0), np.empty(0, bool)
    cuts = cut_offs(TierPolicy.quantile(), now.scores, len(now.scores), *nothing)
    tier = cuts.tiers(now.scores)
    ahead, apart = next_shift(past, horizon_us), tiers_apart(past, cuts, horizon_us)
    held = {}
    for name in TIERS:
        here = (tier == name).to_numpy()
        if not here.any():
            continue
        crowd = Crowd(logit(now.scores[here]), np.ones(int(here.sum())))
        own = replace(ahead, scale=float(np.hypot(ahead.scale, apart[name])))
        count = counted(crowd, own, 0.9, drawn(crowd, own))
        held[name] = count.low <= int(now.labels[here].sum()) <= count.high
    return held


def in_words(dates: list[dict[str, bool]], tier: str) -> str:
    held = [each[tier] for each in dates if tier in each]
    return f"{sum(held)} of {len(held)}"


def covered(now: PastCut, past: Backtest, horizon_us: int) -> tuple[bool, bool, float]:
    """Say whether the interval held, whether one of chance alone would have, and how wide it was."""
    crowd = Crowd(logit(now.scores), np.ones(len(now.scores)))
    ahead = next_shift(past, horizon_us)
    count, actual = counted(crowd, ahead, 0.9, drawn(crowd, ahead)), int(now.labels.sum())
    p = now.scores.astype(np.float64)
    alone = abs(actual - p.sum()) <= 1.645 * np.sqrt((p * (1 - p)).sum())
    return count.low <= actual <= count.high, bool(alone), (count.high - count.low) / count.expected


@pytest.mark.filterwarnings("ignore::propense.PropenseWarning")
def test_intervals_contain_what_happened(capsys: pytest.CaptureFixture[str]) -> None:
    if not DATA.is_dir():
        pytest.skip(f"the real data sets are not at {DATA}")
    rows, inside, tiers = [], [], list[dict[str, bool]]()
    for name, event in SETS:
        log = pp.read_events(DATA / name / "events.parquet", time="ts")
        end_us = log.span_us[1] // DAY_US * DAY_US + DAY_US
        for days in HORIZONS:
            goal = pp.Goal("goal", f"count({event}) >= 1", horizon=f"{days}d")
            question = Question(log, goal, "UTC")
            features = band_features(goal, "UTC").bound(log, end_us)
            if LONG:
                features = resolve_features(question, None, end_us)
            dates = past_dates(question, features, end_us, by_trees if LONG else by_bands)
            held = [covered(now, past, goal.horizon_us) for now, past in dates]
            inside += [each for each, _, _ in held]
            by_tier = [covered_tiers(now, past, goal.horizon_us) for now, past in dates]
            tiers += by_tier
            rows.append(
                {
                    "data": name,
                    "event": event,
                    "days": days,
                    "dates": len(held),
                    "inside": sum(each for each, _, _ in held),
                    **{name: in_words(by_tier, name) for name in TIERS},
                    "by chance alone": sum(alone for _, alone, _ in held),
                    "width": round(float(np.median([width for _, _, width in held])), 2),
                }
            )
    table = pl.DataFrame(rows)
    shape = {"tbl_formatting": "MARKDOWN", "tbl_hide_column_data_types": True, "tbl_rows": -1}
    with (
        capsys.disabled(),
        pl.Config(**shape, tbl_hide_dataframe_shape=True, tbl_cols=-1, tbl_width_chars=200),
    ):
        print(f"\n{table}\n{sum(inside)} of {len(inside)} inside a 90 % interval")
        print("; ".join(f"{name}: {in_words(tiers, name)}" for name in TIERS))
    assert len(inside) > 80
    assert np.mean(inside) >= 0.85
    for name in TIERS:
        of_tier = [each[name] for each in tiers if name in each]
        assert len(of_tier) > 30, name
        assert np.mean(of_tier) >= 0.85, name
    # Chance alone explains little of it, which is why past dates are asked.
    assert table["by chance alone"].sum() < 0.5 * len(inside)
