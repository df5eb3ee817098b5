"""Validation: outcomes counted from the events, drift by its formula, verdicts on planted faults."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from polars.testing import assert_frame_equal
from sklearn.metrics import roc_auc_score

import propense as pp
from propense.cli.validate import outcome_table
from propense.drift import SAMPLE, by_chance, described, looked_at, moved, reading, stability
from propense.forecast.shift import NextShift
from propense.simulator import Simulation
from propense.validate import Validation
from propense.validate.validation import auc_error, wilson


@pytest.fixture(scope="module")
def scores(model: pp.Model, log: pp.EventLog, sim: Simulation) -> pl.DataFrame:
    return model.score(log, as_of=sim.as_of)


@pytest.fixture(scope="module")
def validation(model: pp.Model, log: pp.EventLog, sim: Simulation) -> Validation:
    # The log goes on to a whole horizon after the model's as_of, bar the last hour.
    return model.validate(log)


def test_outcomes_are_those_of_the_events(
    validation: Validation, scores: pl.DataFrame, sim: Simulation
) -> None:
    until = sim.as_of + timedelta(days=30)
    inside = pl.col("ts").is_between(sim.as_of, until, closed="left")
    buyers = set(sim.events.filter(inside, pl.col("event") == "purchase")["user_id"])
    reached = scores["user_id"].is_in(buyers)
    assert validation.labels.tolist() == reached.to_list()
    assert validation.actual == reached.sum() > 20
    by_tier = (
        scores.with_columns(reached.alias("reached"))
        .group_by("tier")
        .agg(pl.len(), pl.col("reached").sum())
    )
    table = {row["tier"]: row for row in validation.table.iter_rows(named=True)}
    for tier, users, actual in by_tier.iter_rows():
        assert (table[tier]["users"], table[tier]["actual"]) == (users, actual)
        assert table[tier]["rate"] == pytest.approx(actual / users)
    assert table["all"]["actual"] == reached.sum()
    assert validation.metrics["auc"]["value"] == pytest.approx(
        roc_auc_score(reached, scores["score"])
    )
    assert (validation.as_of, validation.ends) == (sim.as_of, until)


def test_scores_given_are_those_compared(
    model: pp.Model, log: pp.EventLog, scores: pl.DataFrame, validation: Validation
) -> None:
    shuffled = scores.sample(fraction=1.0, shuffle=True, seed=1)
    again = model.validate(log, scores=shuffled)
    assert_frame_equal(again.table, validation.table)
    strangers = scores.head(7).with_columns(pl.col("user_id") + "x")
    more = model.validate(log, scores=pl.concat([scores, strangers]))
    assert more.unknown == 7
    assert_frame_equal(more.table, validation.table)


def test_a_model_that_does_as_it_said_holds(validation: Validation) -> None:
    assert validation.inside
    assert (validation.verdict, validation.reasons) == ("holds", [])


def test_a_forecast_that_was_far_off_asks_for_training(validation: Validation) -> None:
    sure = replace(validation.forecast, ahead=NextShift(2.0, 0.01, 50.0, 5))
    off = replace(validation, forecast=sure)
    assert not off.inside
    assert off.verdict == "retrain"
    assert f"{off.actual:,} of" in off.reasons[0]


def test_a_worse_ranking_is_noticed_beyond_what_chance_does(
    model: pp.Model, log: pp.EventLog, scores: pl.DataFrame
) -> None:
    shuffled = scores["score"].sample(fraction=1.0, shuffle=True, seed=3)
    worse = model.validate(log, scores=scores.with_columns(score=shuffled).drop("tier"))
    assert worse.verdict == "retrain"
    assert any("ranked worse" in reason for reason in worse.reasons)
    seen = replace(worse, then=worse.then | {"kind": "may_have_seen"})
    assert any(reason.endswith("may have learnt") for reason in seen.reasons)
    # A little noise, as any sample has, is nothing to speak of.
    noise = np.random.default_rng(4).normal(0, 0.002, scores.height)
    jittered = (scores["score"] + pl.Series(noise)).clip(0, 1)
    same = model.validate(log, scores=scores.with_columns(score=jittered).drop("tier"))
    assert not any("ranked" in reason for reason in same.reasons)


def test_drift_that_is_planted_is_named(
    model: pp.Model, sim: Simulation, profiles: pp.Profiles
) -> None:
    steady = model.drift(pp.read_events(sim.events, profiles=profiles), as_of=sim.as_of)
    assert steady["stability"].max() == pytest.approx(0.0, abs=1e-9)
    assert steady["of"].to_list() == ["score"] + ["feature"] * len(model.features)
    assert set(steady["name"][1:]) == set(model.features.names)
    # The app no longer records half of what is seen before the as_of: counts fall.
    lost = (pl.col("event") == "view_item") & (pl.col("ts") > sim.as_of - timedelta(days=30))
    log = pp.read_events(sim.events.filter(~lost), profiles=profiles)
    drifted = model.drift(log, as_of=sim.as_of)
    first = drifted.row(1, named=True)
    assert (first["name"], first["reading"]) == ("view_item_count_30d", "shifted")
    assert first["stability"] > 1


def test_drift_is_looked_at_on_the_weekday_of_training(
    model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    weeks = (sim.events["ts"].max() - sim.as_of) // timedelta(days=7)  # type: ignore[operator]
    newest = sim.as_of + weeks * timedelta(days=7)
    assert model.drift(log).equals(model.drift(log, as_of=newest))


@pytest.mark.parametrize("seed", range(3))
def test_the_index_is_the_sum_of_its_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    then = rng.normal(0, 1, 5_000).astype(np.float32)
    now = rng.normal(0.5, 1.2, 4_000).astype(np.float32)
    then[rng.random(5_000) < 0.1] = np.nan
    now[rng.random(4_000) < 0.3] = np.nan
    reference = described("feature", ["x"], then[:, np.newaxis])
    assert reference["share"].sum() == pytest.approx(1)
    found = moved(reference, "feature", ["x"], now[:, np.newaxis], 5_000).row(0, named=True)
    edges = [-np.inf, *reference["upper"].to_list()[:-1]]
    total = 0.0
    for low, high in pairwise(edges):
        a, b = (np.mean((v > low) & (v <= high)) for v in (then, now))
        total += (b - a) * np.log(b / a)
    a, b = np.isnan(then).mean(), np.isnan(now).mean()
    total += (b - a) * np.log(b / a)
    assert found["stability"] == pytest.approx(total, rel=1e-6)
    assert (found["missing_then"], found["missing_now"]) == (pytest.approx(a), pytest.approx(b))


def test_constants_and_all_missing_have_bins_too() -> None:
    columns = np.column_stack([np.full(50, 3.0), np.full(50, np.nan)]).astype(np.float32)
    reference = described("feature", ["constant", "missing"], columns)
    same = moved(reference, "feature", ["constant", "missing"], columns, 50)
    assert same["stability"].sum() == 0
    other = np.column_stack([np.full(50, 4.0), np.full(50, 1.0)]).astype(np.float32)
    changed = moved(reference, "feature", ["constant", "missing"], other, 50)
    assert changed.filter(name="missing")["reading"].item() == "shifted"


def test_empty_bins_are_finite_and_readings_as_published() -> None:
    assert np.isfinite(stability(np.asarray([1.0, 0.0]), np.asarray([0.0, 1.0]), 100))
    assert [reading(index, 0.05) for index in (0.0, 0.099, 0.1, 0.249, 0.25)] == [
        "stable",
        "stable",
        "moved",
        "moved",
        "shifted",
    ]
    assert [reading(index, 0.4) for index in (0.25, 0.4, 0.41)] == ["stable", "stable", "shifted"]


def drift_of(then: NDArray[np.float32], now: NDArray[np.float32]) -> pl.DataFrame:
    reference = described("score", ["score"], then[:, np.newaxis])
    found = moved(reference, "score", ["score"], now[:, np.newaxis], len(then))
    return found.insert_column(0, pl.Series("of", ["score"]))


@pytest.mark.parametrize(("n", "m"), [(60, 60), (200, 40), (5_000, 60), (90, 2_000), (400, 400)])
def test_few_users_of_one_spread_are_no_drift(n: int, m: int, validation: Validation) -> None:
    rng = np.random.default_rng(n + m)
    verdicts, largest = [], 0.0
    for _ in range(400):
        then, now = (rng.beta(1, 8, users).astype(np.float32) for users in (n, m))
        found = drift_of(then, now)
        largest = max(largest, found["stability"][0])
        verdicts.append(replace(validation, drift=found).verdict)
    # By the rules of thumb alone many of these would call for training.
    assert largest > 0.1
    assert len(verdicts) - verdicts.count("holds") <= 0.03 * len(verdicts)


@pytest.mark.parametrize(("n", "m"), [(60, 60), (5_000, 60), (400, 400), (90_000, 20_000)])
def test_drift_beyond_chance_is_still_found(n: int, m: int, validation: Validation) -> None:
    rng = np.random.default_rng(n + m)
    verdicts = []
    for _ in range(40):
        then = rng.beta(2, 8, n).astype(np.float32)
        now = rng.beta(6, 8, m).astype(np.float32)
        moved_far = replace(validation, drift=drift_of(then, now))
        verdicts.append(moved_far.verdict)
    assert verdicts.count("retrain") == 40
    assert "of which chance explains up to" in moved_far.reasons[0]


@pytest.mark.parametrize("bins", [2, 5, 11])
def test_what_chance_explains_is_the_quantile_of_theory(bins: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    exact = stats.chi2.ppf(0.99, bins - 1) * (1 / 300 + 1 / 70)
    assert by_chance(bins, 300, 70) == pytest.approx(exact, rel=0.01)
    assert by_chance(1, 300, 70) == 0.0
    for users in (1, 59, 20_000, 20_001, 60_001, 95_455):
        assert looked_at(users) == len(range(users)[:: -(-users // SAMPLE)])


def test_intervals_of_rates_and_of_areas_are_the_published_ones() -> None:
    # Newcombe (1998), table of examples: 81 of 263, and 0 of 20.
    assert wilson(81, 263) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    assert wilson(0, 20) == (0.0, pytest.approx(0.1611, abs=1e-4))
    rng = np.random.default_rng(5)
    areas = []
    for _ in range(300):
        y = np.repeat([1, 0], [40, 160])
        areas.append(roc_auc_score(y, rng.normal(y, 1)))
    stated = auc_error({"value": float(np.mean(areas)), "n": 200, "positives": 40})
    assert stated == pytest.approx(np.std(areas), rel=0.2)


def test_the_horizon_is_shown_in_days_of_the_time_zone(validation: Validation) -> None:
    as_of = datetime.fromisoformat("2025-05-24T15:00:00+00:00")
    there = replace(validation, as_of=as_of, ends=as_of + timedelta(days=30))
    title = str(outcome_table(there, "Asia/Tokyo").title)
    assert title.endswith("in [2025-05-25, 2025-06-24)")


def test_everything_goes_into_json(validation: Validation) -> None:
    values = json.loads(json.dumps(validation.as_dict(), allow_nan=False))
    assert values["verdict"] == "holds"
    assert [tier["tier"] for tier in values["tiers"]][-1] == "all"
    assert values["drift"][0]["of"] == "score"
