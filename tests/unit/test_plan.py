"""Contact plans against every possible choice of few users, and against sums by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import propense as pp
from propense.cli.plan_tables import basis, in_words
from propense.forecast import Forecast
from propense.forecast.counts import Crowd
from propense.forecast.shift import NextShift, logit
from propense.tiers import TIER_TYPE, TIERS

SURE = NextShift(centre=0.0, scale=1e-9, freedom=100.0, cuts=9)
GOAL = pp.Goal("buys", "count(purchase) >= 1", horizon="30d")
PREVENT = pp.Goal("leaves", "count(*) = 0", horizon="30d", direction="prevent")
COST = {"most_likely": 3.0, "moderately_likely": 1.0, "least_likely": 0.5}
UPLIFT = {"most_likely": 0.5, "moderately_likely": 0.8, "least_likely": 0.2}


def forecast_of(
    p: NDArray[np.float64],
    target: float | None = None,
    goal: pp.Goal = GOAL,
    rule: NDArray[np.float64] | None = None,
) -> Forecast:
    """Give a forecast of users with these chances, most likely first, in tiers by thirds."""
    p = np.sort(p)[::-1]
    tier = pl.Series("tier", np.asarray(TIERS)[np.arange(len(p)) * 3 // len(p)], dtype=TIER_TYPE)
    users = pl.DataFrame({"user_id": np.arange(len(p)), "score": p, "tier": tier})
    crowd = Crowd(logit(p), np.ones(len(p)))
    return Forecast(goal, SURE, crowd, tier, users, rule, 0.9, target)


def gains(forecast: Forecast, uplift: float | dict[str, float]) -> NDArray[np.float64]:
    """Give what contacting each user adds, by odds in plain numbers."""
    p = forecast.users["score"].to_numpy()  # type: ignore[index]
    of = forecast.tier.cast(pl.String).to_list()
    rise = np.asarray([uplift[t] if isinstance(uplift, dict) else uplift for t in of])
    factor = 1 + rise if forecast.goal is GOAL else 1 / (1 + rise)
    odds = p / (1 - p) * factor
    return np.abs(odds / (1 + odds) - p)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("goal", [GOAL, PREVENT], ids=lambda goal: goal.direction)
def test_no_choice_of_users_closes_the_gap_for_less_but_one_users_cost(
    seed: int, goal: pp.Goal
) -> None:
    """Against all subsets of ten users; taking users whole may cost one user more."""
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 2, size=10).clip(0.01, 0.99)
    base = forecast_of(p, 0.0, goal)
    gain = gains(base, UPLIFT)
    cost = np.asarray([COST[tier] for tier in base.tier.cast(pl.String)])
    wanted = gain.sum() * rng.uniform(0.2, 0.8)
    target = p.sum() + wanted if goal is GOAL else p.sum() - wanted
    plan = forecast_of(p, float(target), goal).plan(cost=COST, uplift=UPLIFT)
    least = min(
        cost[list(some)].sum()
        for count in range(1, 11)
        for some in combinations(range(10), count)
        if gain[list(some)].sum() >= wanted
    )
    assert plan.closes_gap
    assert plan.gain >= wanted - 1e-9
    assert least - 1e-9 <= plan.cost <= least + max(cost)
    assert plan.contacts == len(plan.users)
    taken = plan.users["user_id"].to_numpy()
    assert plan.cost == pytest.approx(cost[taken].sum())
    assert plan.gain == pytest.approx(gain[taken].sum())
    # Without its last user the gap stays open.
    assert gain[taken[:-1]].sum() < wanted


@pytest.mark.parametrize("seed", range(6))
def test_a_budget_is_kept_and_well_spent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 2, size=10).clip(0.01, 0.99)
    base = forecast_of(p, 10.0)
    gain = gains(base, UPLIFT)
    cost = np.asarray([COST[tier] for tier in base.tier.cast(pl.String)])
    budget = float(cost.sum() * rng.uniform(0.2, 0.8))
    plan = base.plan(cost=COST, uplift=UPLIFT, budget=budget)
    most = max(
        gain[list(some)].sum()
        for count in range(11)
        for some in combinations(range(10), count)
        if cost[list(some)].sum() <= budget
    )
    assert plan.cost <= budget
    assert plan.closes_gap is False
    assert most - gain.max() <= plan.gain <= most + 1e-9


@pytest.mark.parametrize("weight", [1.0, 7.0])
def test_a_budget_is_spent_to_the_last_contact_that_it_pays(weight: float) -> None:
    p = np.sort(np.random.default_rng(2).beta(1, 4, size=60_000))[::-1]
    crowd = Crowd(logit(p), np.full(60_000, weight))
    few = Forecast(GOAL, SURE, crowd, forecast_of(p).tier, None, None, 0.9, 1e9)
    for contacts in (3, 7_000, 50_000):
        for cost in (0.1, 0.3, 0.07):
            plan = few.plan(cost=cost, budget=contacts * cost)
            assert plan.contacts == contacts
            assert plan.cost == pytest.approx(contacts * cost)
            assert few.plan(cost=cost, budget=(contacts - 0.01) * cost).contacts == contacts - 1


def test_without_a_target_whatever_is_worth_its_cost_is_contacted() -> None:
    p = np.random.default_rng(1).beta(1, 3, size=500)
    plan = forecast_of(p).plan(cost=1.0, uplift=0.3, value=20.0)
    gain = gains(plan.forecast, 0.3)
    worth = np.flatnonzero(gain * 20.0 > 1.0)
    assert 0 < len(worth) < 500
    assert sorted(plan.users["user_id"]) == worth.tolist()
    assert plan.net == pytest.approx(float((gain[worth] * 20.0 - 1.0).sum()))
    assert plan.closes_gap is None
    said = "no contact is worth its cost at a value of 20"
    assert said not in in_words(plan)
    assert said in in_words(forecast_of(p).plan(cost=9.0, uplift=0.3, value=20.0))


def test_those_who_come_anyway_are_left_alone() -> None:
    p = np.concatenate([np.full(100, 0.97), np.full(100, 0.4), np.full(100, 0.01)])
    plan = forecast_of(p, float(p.sum() + 3)).plan(cost=1.0, uplift=0.2)
    table = {row["tier"]: row for row in plan.table.iter_rows(named=True)}
    assert table["most_likely"]["contact"] == 0
    assert table["most_likely"]["come_anyway"] == 100
    assert table["moderately_likely"]["contact"] == plan.contacts > 0
    left = 100 - plan.contacts
    assert table["moderately_likely"]["others"] == left
    assert table["moderately_likely"]["from_score"] == pytest.approx(0.4)
    assert table["least_likely"]["others"] == 100


def test_a_target_that_is_expected_needs_nobody() -> None:
    p = np.random.default_rng(2).beta(1, 3, size=500)
    plan = forecast_of(p, float(p.sum()) - 1).plan(cost=1.0)
    assert (plan.contacts, plan.cost, plan.gain, plan.closes_gap) == (0, 0.0, 0.0, True)
    assert plan.users.height == 0
    assert plan.forecast.needed["uplift"].to_list() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("cost", "said"), [(0.0, "contacts close"), (0.5, "contacts for ")])
def test_contacts_that_cost_nothing_are_not_said_to_cost_zero(cost: float, said: str) -> None:
    p = np.random.default_rng(2).beta(1, 3, size=500)
    plan = forecast_of(p, float(p.sum()) + 3).plan(cost=cost, uplift=0.2)
    assert plan.closes_gap
    advice = " ".join(in_words(plan))
    assert said in advice
    assert "for 0.00" not in advice


def test_the_comparison_is_the_sum_over_those_contacted() -> None:
    rng = np.random.default_rng(3)
    p = np.sort(rng.beta(1, 3, size=900))[::-1]
    rule = rng.random(900)
    forecast = forecast_of(p, float(p.sum() + 8), rule=rule)
    plan = forecast.plan(cost=2.0, uplift=0.25, budget=400.0, value=30.0)
    gain = gains(forecast, 0.25)
    rows = {row["contacting"]: row for row in plan.comparison.iter_rows(named=True)}
    assert list(rows) == ["nobody", "plan", "everyone", "rule", "rule_within_budget"]
    rule = rule * int(rule.sum()) / rule.sum()  # people are whole
    weights = {"nobody": 0 * rule, "everyone": 0 * rule + 1, "rule": rule, "plan": plan.share}
    weights["rule_within_budget"] = rule * 400 / (2 * rule.sum())
    for name, weight in weights.items():
        row = rows[name]
        assert row["contacts"] == round(weight.sum())
        assert row["cost"] == pytest.approx(2 * weight.sum())
        assert row["gain"] == pytest.approx(weight @ gain)
        assert row["wasted"] == pytest.approx(weight @ p)
        assert row["expected"] == pytest.approx(p.sum() + weight @ gain)
        assert row["net"] == pytest.approx(30 * row["gain"] - row["cost"])
        assert row["low"] <= row["expected"] <= row["high"]
        assert row["within_budget"] == (2 * weight.sum() <= 400 + 1e-6)
    assert rows["nobody"]["chance"] < rows["plan"]["chance"] < rows["everyone"]["chance"]
    assert rows["plan"]["cost_per_gain"] < rows["rule"]["cost_per_gain"]
    assert rows["rule"]["cost_per_gain"] < rows["everyone"]["cost_per_gain"] * 1.2
    assert rows["nobody"]["cost_per_gain"] is None


@pytest.mark.parametrize("goal", [GOAL, PREVENT], ids=lambda goal: goal.direction)
def test_the_uplift_needed_just_closes_the_gap(goal: pp.Goal) -> None:
    p = np.random.default_rng(4).beta(1, 4, size=2_000)
    sign = 1 if goal is GOAL else -1
    forecast = forecast_of(p, float(p.sum() * (1 + 0.1 * sign)), goal)
    needed = forecast.needed
    assert needed["users"].to_list() == [667, 1334, 2000]
    uplifts = needed["uplift"].to_list()
    assert uplifts[0] > uplifts[1] > uplifts[2] > 0
    tiers = forecast.tier.to_physical().to_numpy()
    for last, uplift in enumerate(uplifts):
        gain = gains(forecast, uplift)[tiers <= last].sum()
        assert gain == pytest.approx(forecast.gap, rel=1e-4)
    beyond = forecast_of(p, 2_500.0) if goal is GOAL else forecast_of(p, 0.0, goal)
    assert beyond.needed["uplift"].to_list() == [None, None, None]


def test_entries_that_stand_for_several_users_give_the_same_plan() -> None:
    p = np.sort(np.random.default_rng(5).beta(1, 4, size=300))[::-1]
    many = forecast_of(np.repeat(p, 4), float(4 * p.sum() + 5))
    crowd = Crowd(logit(p), np.full(300, 4.0))
    few = Forecast(GOAL, SURE, crowd, forecast_of(p).tier, None, None, 0.9, many.target)
    plans = [each.plan(cost=1.5, uplift=0.2, budget=900.0) for each in (many, few)]
    assert plans[0].contacts == plans[1].contacts
    assert plans[0].cost == pytest.approx(plans[1].cost)
    assert plans[0].gain == pytest.approx(plans[1].gain)
    with pytest.raises(pp.PlanError, match="without scores"):
        _ = plans[1].users


@pytest.mark.parametrize(
    ("odds", "said"),
    [
        (1.5, "the scores add up to 400; on past dates they said fewer than came true, which 500 "),
        (
            2 / 3,
            "the scores add up to 400; on past dates they said more than came true, which 308 ",
        ),
    ],
)
def test_the_output_says_why_the_scores_add_up_to_something_else(odds: float, said: str) -> None:
    forecast = forecast_of(np.full(1_000, 0.4))
    assert len(basis(forecast)) == 1
    _, line = basis(replace(forecast, ahead=replace(SURE, centre=np.log(odds))))
    assert said in line


def test_the_output_says_that_the_model_may_have_learnt_from_past_dates() -> None:
    said = "the model may have learnt from them: then the interval may be too narrow"
    forecast = forecast_of(np.full(1_000, 0.4))
    assert said not in basis(forecast)
    assert said in basis(replace(forecast, may_have_seen=True))
