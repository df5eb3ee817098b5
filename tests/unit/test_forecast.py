"""Forecasts: counts against exact convolution, coverage and verdicts against simulated periods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import propense as pp
from propense.backtest import Backtest, PastCut
from propense.forecast import Forecast
from propense.forecast.ask import rule_share, tiers_apart
from propense.forecast.audience import tiers_at_training
from propense.forecast.counts import DRAWS, Crowd, counted, drawn
from propense.forecast.shift import NextShift, logit, next_shift, probability, shift
from propense.parts import audience_points
from propense.simulator import Simulation
from propense.tiers import TIER_TYPE, TIERS, TierPolicy, cut_offs

HORIZON_US = 30 * 86_400_000_000
SURE = NextShift(centre=0.0, scale=1e-9, freedom=100.0, cuts=9)
"""As good as no spread between periods."""

GOAL = pp.Goal("buys", "count(purchase) >= 1", horizon="30d")
PREVENT = pp.Goal("leaves", "count(*) = 0", horizon="30d", direction="prevent")


def backtest_of(
    p: NDArray[np.float64], shifts: NDArray[np.float64], rng: np.random.Generator
) -> Backtest:
    """Give past cuts with these shifts, a horizon apart."""
    cuts = []
    for place, moved in enumerate(shifts):
        labels = rng.random(len(p)) < probability(logit(p) + moved)
        at = place * HORIZON_US
        cuts.append(PastCut(at, len(p), p.astype(np.float32), labels, rng.random(len(p)) < 0.2))
    return Backtest(tuple(cuts), retrained=True)


def forecast_of(
    p: NDArray[np.float64],
    ahead: NextShift,
    target: float | None = None,
    goal: pp.Goal = GOAL,
    rule: NDArray[np.float64] | None = None,
) -> Forecast:
    """Give a forecast of users with these chances, in tiers by thirds."""
    codes = np.argsort(np.argsort(-p)) * 3 // max(len(p), 1)
    tier = pl.Series("tier", np.asarray(TIERS)[codes], dtype=TIER_TYPE)
    users = pl.DataFrame({"user_id": np.arange(len(p)), "score": p})
    return Forecast(goal, ahead, Crowd(logit(p), np.ones(len(p))), tier, users, rule, 0.9, target)


def exact_counts(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the probability of each count, by convolving one user after another."""
    chances = np.ones(1)
    for each in p:
        chances = np.convolve(chances, [1 - each, each])
    return chances


@pytest.mark.parametrize("seed", range(4))
def test_without_spread_counts_are_those_of_the_exact_distribution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.beta(0.5, [2, 20, 0.5, 6][seed], size=400)
    exact = np.cumsum(exact_counts(np.clip(p, 1e-7, 1 - 1e-7)))
    draws = drawn(Crowd(logit(p), np.ones(len(p))), SURE)
    assert len(draws) == DRAWS
    assert draws.mean() == pytest.approx(p.sum(), rel=0.01)
    for level in (0.05, 0.5, 0.95):
        found = np.quantile(draws, level)
        assert abs(found - np.searchsorted(exact, level)) <= 1 + 0.02 * p.sum()


def test_a_large_crowd_is_thinned_without_moving_its_sums() -> None:
    p = np.random.default_rng(1).beta(0.7, 9, size=50_000)
    crowd = Crowd(logit(p), np.ones(len(p)))
    few = crowd.thinned()
    assert len(few.logits) == 500
    assert few.users == crowd.users
    for moved in (-1.0, 0.0, 0.7):
        assert few.at(moved) == pytest.approx(crowd.at(moved), rel=1e-3)
    assert few.at(0.0) == pytest.approx(p.sum(), rel=1e-6)


@pytest.mark.parametrize("moved", [-1.5, 0.0, 0.4])
def test_a_shift_is_found_again(moved: float) -> None:
    logits = logit(np.random.default_rng(2).beta(1, 8, size=3_000))
    reached = float(probability(logits + moved).sum())
    found, variance = shift(logits, None, reached)
    assert found == pytest.approx(moved, abs=1e-6)
    # One over the derivative of the sum, by a finite difference.
    step = probability(logits + moved + 1e-5).sum() - probability(logits + moved - 1e-5).sum()
    assert variance == pytest.approx(2e-5 / step, rel=1e-3)


@pytest.mark.parametrize("reached", [0, 40])
def test_none_and_all_have_finite_shifts(reached: int) -> None:
    found, variance = shift(np.zeros(40), None, reached)
    assert abs(found) == pytest.approx(np.log(39.5 / 0.5))
    assert np.isfinite(variance)


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.2])
@pytest.mark.parametrize("cuts", [1, 3, 5])
def test_intervals_contain_the_truth_of_simulated_periods(spread: float, cuts: int) -> None:
    """Nominally 90 %; the prior's caution gives more where cuts are few or alike."""
    rng = np.random.default_rng([round(spread * 10), cuts])
    inside, runs = 0, 200
    for _ in range(runs):
        p = rng.beta(1, 12, size=2_000)
        past = backtest_of(p, rng.normal(0, spread, cuts), rng)
        crowd = Crowd(logit(p), np.ones(len(p)))
        ahead = next_shift(past, HORIZON_US)
        count = counted(crowd, ahead, 0.9, drawn(crowd, ahead))
        truth = (rng.random(len(p)) < probability(logit(p) + rng.normal(0, spread))).sum()
        inside += count.low <= truth <= count.high
    # 85 % is what is promised; so many runs may miss it by two standard deviations.
    assert inside / runs >= 0.85 - 2 * np.sqrt(0.85 * 0.15 / runs)


@pytest.mark.parametrize(("always", "spread"), [(0.6, 0.0), (0.0, 0.8)])
def test_intervals_of_tiers_contain_the_truth_where_a_tier_goes_its_own_way(
    always: float, spread: float
) -> None:
    """The least likely tier is off on its own on every past date, to one side or to either."""
    rng = np.random.default_rng([round(10 * always), round(10 * spread)])
    inside = dict.fromkeys(TIERS, 0)
    common, runs = 0, 80
    for _ in range(runs):
        p = rng.beta(1, 8, size=3_000)
        cuts = cut_offs(TierPolicy.quantile(), p.astype(np.float32), len(p), p, p > 2)
        tier = cuts.tiers(p.astype(np.float32))
        least = (tier == TIERS[2]).to_numpy()
        *past, now = (
            probability(logit(p) + rng.normal(0, 0.1) + least * rng.normal(always, spread))
            for _ in range(6)
        )
        known = [
            PastCut(place * HORIZON_US, len(p), p.astype(np.float32), rng.random(len(p)) < q, p > 2)
            for place, q in enumerate(past)
        ]
        backtest = Backtest(tuple(known), retrained=True)
        alone = Forecast(
            GOAL,
            next_shift(backtest, HORIZON_US),
            Crowd(logit(p), np.ones(len(p))),
            tier,
            None,
            None,
            0.9,
            None,
        )
        found = replace(alone, apart=tiers_apart(backtest, cuts, HORIZON_US))
        truth = rng.random(len(p)) < now
        for name in TIERS:
            count, reached = found.by_tier[name], int(truth[(tier == name).to_numpy()].sum())
            inside[name] += count.low <= reached <= count.high
        count = alone.by_tier[TIERS[2]]
        common += count.low <= int(truth[least].sum()) <= count.high
        assert found.by_tier[TIERS[2]].expected == pytest.approx(count.expected)
    for name in TIERS:
        assert inside[name] / runs >= 0.85 - 2 * np.sqrt(0.85 * 0.15 / runs), name
    # By the spread that is everyone's alone, a tier like that is too often outside.
    assert common / runs < 0.75


def test_what_chance_does_is_not_taken_for_spread() -> None:
    """With no spread, many past cuts of few users and of many tell the same."""
    rng = np.random.default_rng(3)
    for users, most in ((300, 0.2), (10_000, 0.1)):
        p = rng.beta(1, 12, size=users)
        scales = [next_shift(backtest_of(p, np.zeros(5), rng), HORIZON_US).scale for _ in range(20)]
        assert np.mean(scales) < most


def test_more_past_cuts_that_were_right_make_the_interval_narrower() -> None:
    rng = np.random.default_rng(4)
    p = rng.beta(1, 12, size=20_000)
    widths = []
    for cuts in (0, 1, 3, 5):
        total = forecast_of(p, next_shift(backtest_of(p, np.zeros(cuts), rng), HORIZON_US)).total
        widths.append((total.high - total.low) / total.expected)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 1
    assert widths[-1] < 0.4


def test_cuts_that_overlap_count_less() -> None:
    rng = np.random.default_rng(5)
    p = rng.beta(1, 12, size=5_000)
    past = backtest_of(p, np.zeros(4), rng)
    apart, close = next_shift(past, HORIZON_US), next_shift(past, 4 * HORIZON_US)
    assert (apart.freedom, close.freedom) == (5.0, 2.0)
    assert close.scale > apart.scale


def test_periods_that_were_all_too_high_lower_the_forecast() -> None:
    rng = np.random.default_rng(6)
    p = rng.beta(1, 12, size=20_000)
    ahead = next_shift(backtest_of(p, np.full(5, -0.4), rng), HORIZON_US)
    assert -0.4 < ahead.centre < -0.25
    assert forecast_of(p, ahead).total.expected < 0.8 * p.sum()


@pytest.mark.parametrize("goal", [GOAL, PREVENT], ids=lambda goal: goal.direction)
def test_verdicts_are_right_in_simulated_scenarios(goal: pp.Goal) -> None:
    """A target well below, about, or well above what is true: right in nine of ten scenarios."""
    rng = np.random.default_rng(7)
    bands = {"sell_out": (0.3, 0.75), "in_between": (0.9, 1.1), "flop": (1.33, 3.0)}
    if goal is PREVENT:
        bands["sell_out"], bands["flop"] = bands["flop"], bands["sell_out"]
    right, wrong_outcome, runs = 0, 0, 100
    for _ in range(runs):
        spread = rng.choice([0.02, 0.08])
        p = rng.beta(1, rng.uniform(3, 25), size=5_000)
        ahead = next_shift(backtest_of(p, rng.normal(0, spread, 5), rng), HORIZON_US)
        chances = probability(logit(p) + rng.normal(0, spread))
        truth = int((rng.random(len(p)) < chances).sum())
        expected = rng.choice(list(bands))
        target = float(chances.sum() * np.exp(rng.uniform(*np.log(bands[expected]))))
        forecast = forecast_of(p, ahead, target, goal)
        right += forecast.verdict == expected
        met = truth >= target if goal is GOAL else truth <= target
        wrong_outcome += forecast.verdict == ("flop" if met else "sell_out")
    assert right / runs >= 0.9
    assert wrong_outcome / runs <= 0.05


def test_verdicts_turn_at_nine_in_ten_and_chances_at_the_ends_of_the_interval() -> None:
    p = np.random.default_rng(8).beta(1, 9, size=3_000)
    ahead = NextShift(0.0, 0.1, 5.0, 4)
    draws = forecast_of(p, ahead).draws
    rare, usual = float(np.quantile(draws, 0.09)), float(np.quantile(draws, 0.11))
    for goal, sides in ((GOAL, ("sell_out", "flop")), (PREVENT, ("flop", "sell_out"))):
        found = [forecast_of(p, ahead, t, goal).verdict for t in (rare - 2, usual + 2)]
        assert found == [sides[0], "in_between"]
        rare_high, usual_high = float(np.quantile(draws, 0.91)), float(np.quantile(draws, 0.89))
        found = [forecast_of(p, ahead, t, goal).verdict for t in (usual_high - 2, rare_high + 2)]
        assert found == ["in_between", sides[1]]
    total = forecast_of(p, ahead).total
    chances = [forecast_of(p, ahead, float(t)).chance for t in (total.low, total.high)]
    assert chances == [pytest.approx(0.95, abs=0.01), pytest.approx(0.05, abs=0.01)]
    assert forecast_of(p, ahead).verdict is None


def test_tiers_add_up(model: pp.Model, log: pp.EventLog) -> None:
    scores = model.score(log, as_of="2025-05-20")
    forecast = model.forecast(scores, target=100)
    table = forecast.table
    assert table["tier"].to_list() == [*TIERS, "all"]
    for name in ("users", "expected"):
        assert table[name][:3].sum() == pytest.approx(table[name][3])
    assert table["users"][3] == scores.height
    for row in table.iter_rows(named=True):
        assert row["low"] <= row["expected"] <= row["high"]
    by_tier = scores.group_by("tier").len()
    assert (
        dict(zip(table["tier"], table["users"], strict=True)).items()
        >= dict(by_tier.with_columns(pl.col("tier").cast(pl.String)).iter_rows()).items()
    )


def test_without_scores_the_audience_at_training_is_meant(
    model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    scores = model.score(log, as_of=sim.as_of)
    given, kept = model.forecast(scores), model.forecast()
    assert kept.total.users == given.total.users == scores.height
    assert kept.total.expected == pytest.approx(given.total.expected)
    for column in ("users", "low", "high"):
        assert (kept.table[column] - given.table[column]).abs().max() <= 1


def test_the_rule_is_spread_over_scores_as_on_the_newest_past_cut() -> None:
    rng = np.random.default_rng(9)
    p = rng.beta(1, 5, size=20_000).astype(np.float32)
    picked = rng.random(len(p)) < p
    past = Backtest((PastCut(0, len(p), p, picked, picked),), retrained=True)
    share = rule_share(past, p)
    assert share is not None
    assert share.sum() == pytest.approx(picked.sum())
    # By construction the chance of being picked is the score itself.
    assert np.abs(share - p).mean() < 0.02
    assert rule_share(None, p) is None


def test_training_counts_the_tiers_of_its_audience(
    model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    scores = model.score(log, as_of=sim.as_of)
    known = model.training["audience_tiers"]
    assert (known["most_likely_from"], known["least_likely_below"]) == (
        model.cut_offs.most,
        model.cut_offs.least,
    )
    for tier in TIERS:
        inside = scores.filter(pl.col("tier") == tier)["score"].cast(pl.Float64)
        assert known["users"][tier] == len(inside)
        assert known["expected"][tier] == pytest.approx(inside.sum())


def large(model: pp.Model, scores: NDArray[np.float32], **known: object) -> pp.Model:
    """Give the model as if these had been the scores of its audience at training."""
    cuts = cut_offs(TierPolicy.quantile(), scores, len(scores), scores, scores > 2)
    training = {k: v for k, v in model.training.items() if k != "audience_tiers"}
    training |= {"audience": len(scores)} | known
    return pp.Model(
        replace(model._parts, audience=audience_points(scores), cut_offs=cuts, training=training)
    )


def test_tiers_of_a_large_audience_are_as_large_as_they_were(model: pp.Model) -> None:
    scores = np.random.default_rng(8).beta(0.5, 8, 31_007).astype(np.float32)
    cuts = large(model, scores).cut_offs
    exact = large(model, scores, audience_tiers=tiers_at_training(scores, cuts))
    frame = pl.DataFrame({"score": scores, "tier": cuts.tiers(scores)})
    asked, of_users = exact.forecast(), exact.forecast(frame)
    for name, each in {**asked.by_tier, "all": asked.total}.items():
        whole = of_users.total if name == "all" else of_users.by_tier[name]
        assert each.users == whole.users
        assert each.expected == pytest.approx(whole.expected, abs=0.05)
    assert asked.crowd.at(0.0) == pytest.approx(scores.sum(dtype=np.float64), abs=0.01)
    # What earlier versions wrote does not say how large tiers were, nor do other cut-offs.
    older = large(model, scores).forecast()
    assert older.total.users == len(scores)
    assert older.by_tier != asked.by_tier
    exact.tiers = TierPolicy.quantile(most=0.1)
    other = exact.forecast()
    assert other.total.users == len(scores)
    assert other.by_tier["most_likely"].users == pytest.approx(3_100, abs=5)


def test_tiers_of_which_no_score_is_kept_are_as_before(model: pp.Model) -> None:
    scores = np.full(30_000, 1e-6, np.float32)
    cuts = large(model, scores).cut_offs
    known = tiers_at_training(scores, cuts)
    few = large(model, scores, audience_tiers=known).forecast()
    # Less than half a user is expected: nothing to shift the scores to.
    assert few.crowd.at(0.0) == pytest.approx(0.03, rel=0.2)
    known["users"] = dict.fromkeys(TIERS, 10_000)
    assert large(model, scores, audience_tiers=known).forecast().total.users == 30_000
