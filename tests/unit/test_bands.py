"""Smoothed rates by recency and frequency: by hand, in ONNX, in the service's reader, as a model."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense import _core
from propense.runtime import initialise
from propense.simulator import Simulation
from propense.training.bands import PRIOR_POSITIVES, band_features, fit_bands
from propense.training.fallback import export
from propense.training.metrics import log_loss
from propense.training.rows import Question, TrainingRows

NAN = float("nan")
SELDOM = pp.Goal("seldom", "count(purchase) >= 1", horizon="30d")


def rows_of(matrix: list[tuple[float, float]], label: list[bool]) -> TrainingRows:
    users = np.arange(len(label), dtype=np.uint32)
    values = np.asarray(matrix, np.float32)
    return TrainingRows(users, 0 * users.astype(np.int64), values, np.asarray(label), (0,))


def test_rates_are_smoothed_towards_recency_and_everyone() -> None:
    matrix = [(NAN, 0.0)] * 40 + [(1.0, 1.0)] * 30 + [(1.0, 5.0)] * 10 + [(50.0, 1.0)] * 20
    label = [True] + [False] * 39 + [True] * 6 + [False] * 24 + [True] * 7 + [False] * 3
    label += [True] * 2 + [False] * 18
    bands = fit_bands(rows_of(matrix, label))
    everyone = (16 + 0.5) / 101
    m = PRIOR_POSITIVES
    recent = (13 + m) / (40 + m / everyone)
    late = (3 + m) / (
        60 + m / everyone
    )  # never is with the longest ago, and told apart by the count
    expected = {
        (NAN, 0.0): (1 + m) / (40 + m / late),
        (1.0, 1.0): (6 + m) / (30 + m / recent),
        (1.0, 5.0): (7 + m) / (10 + m / recent),
        (50.0, 1.0): (2 + m) / (20 + m / late),
    }
    for row, rate in expected.items():
        found = bands.scores(np.asarray([row], np.float32))
        assert found[0] == pytest.approx(rate), row


@pytest.mark.parametrize("seed", range(4))
def test_the_onnx_file_gives_the_table(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = rng.poisson(1.5, 500)
    days = np.where(count > 0, rng.exponential(30, 500), np.nan)
    label = rng.random(500) < 0.03
    bands = fit_bands(rows_of(list(zip(days, count, strict=True)), label.tolist()))
    onnx, record = export(bands, np.column_stack([days, count]).astype(np.float32))
    assert record["max_abs_difference"] <= 1e-6
    initialise()
    scorer = _core.OnnxModel(onnx, 2)
    probe = np.column_stack([np.append(days, [np.nan, np.inf, 0]), np.append(count, [3, 0, 9])])
    probe = probe.astype(np.float32)
    assert np.abs(scorer.score(probe) - bands.scores(probe)).max() <= 1e-6


@pytest.fixture(scope="module")
def seldom_log(sim: Simulation) -> pp.EventLog:
    """Purchases of a few users only, so that there are too few to train trees."""
    kept = (pl.col("event") != "purchase") | (pl.col("user_id").str.tail(2) < "02")
    return pp.read_events(sim.events.filter(kept), time="ts")


@pytest.fixture(scope="module")
def seldom(seldom_log: pp.EventLog, sim: Simulation) -> pp.Model:
    with pytest.warns(pp.PropenseWarning, match="too few of one kind to train trees.*preliminary"):
        return pp.train(seldom_log, SELDOM, as_of=sim.as_of, fallback=True)


def test_too_few_are_refused_unless_bands_are_asked_for(
    seldom_log: pp.EventLog, sim: Simulation
) -> None:
    with pytest.raises(pp.TrainingError, match=r"reached the goal.*fallback=True"):
        pp.train(seldom_log, SELDOM, as_of=sim.as_of)


def test_it_is_users_that_are_counted_not_users_and_dates(sim: Simulation) -> None:
    """Four users who buy every week have 24 rows that reached the goal, and are four users."""
    few = sorted(sim.events["user_id"].unique())[:4]
    weekly = pl.DataFrame(
        [
            {"user_id": user, "ts": sim.as_of - timedelta(days=7 * week + 1), "event": "purchase"}
            for user in few
            for week in range(30)
        ]
    )
    others = sim.events.filter(pl.col("event") != "purchase").select(weekly.columns)
    log = pp.read_events(pl.concat([others, weekly.cast(others.schema)]), time="ts")
    question = Question(log, SELDOM, "UTC")
    asked = pp.export_training(log, SELDOM, features=["count(*)"], as_of=sim.as_of)
    assert asked["label"].sum() >= 20
    with pytest.raises(
        pp.TrainingError, match=r"of [\d,]+ users before .* only 4 reached the goal"
    ):
        pp.train(log, SELDOM, as_of=sim.as_of, features=["count(*)"])
    dates = [int((sim.as_of - timedelta(days=30 * n)).timestamp() * 1e6) for n in (2, 1)]
    rows = question.rows(pp.FeatureSet(["count(*)"]), dates)
    assert rows.users_of_each == (4, len(np.unique(rows.users)) - 4)


def test_bands_are_a_model_like_any_other(
    seldom: pp.Model, seldom_log: pp.EventLog, sim: Simulation, tmp_path: Path
) -> None:
    assert seldom.training["standing"] == "preliminary"
    assert 0 < seldom.training["positives"] < 20
    scores = seldom.score(seldom_log, as_of=sim.as_of)
    assert scores["score"].is_between(0, 0.5).all()
    loaded = pp.load_model(seldom.save(tmp_path / "m"))
    assert loaded.score(seldom_log, as_of=sim.as_of).equals(scores)
    assert ": 1 tree of up to " in loaded.runs_on
    reader = _core.ModelDirectory(tmp_path / "m")
    matrix = np.asarray([[3.0, 1.0], [NAN, 0.0]], np.float32)
    assert np.array_equal(reader.score(matrix), seldom.score_matrix(matrix))
    assert reader.score(matrix)[0] > reader.score(matrix)[1]
    assert seldom.forecast(scores, target=1_000).verdict == "flop"


def test_bands_are_explained(
    seldom: pp.Model, seldom_log: pp.EventLog, sim: Simulation, tmp_path: Path
) -> None:
    scores = seldom.score(seldom_log, as_of=sim.as_of)
    why = seldom.explain(seldom_log, as_of=sim.as_of)
    total = why.group_by("user_id", maintain_order=True).agg(pl.col("contribution").sum())
    probability = 1 / (1 + np.exp(-total["contribution"].to_numpy()))
    assert total["user_id"].equals(scores["user_id"])
    assert np.abs(probability - scores["score"].to_numpy()).max() < 1e-6
    bought = why.filter(pl.col("feature") == "purchase_count", pl.col("value") > 0)
    assert (bought["contribution"] > 0).all()


def test_the_base_of_an_explanation_is_the_mean_over_the_training_rows() -> None:
    rng = np.random.default_rng(1)
    count = rng.poisson(1.5, 500)
    days = np.where(count > 0, rng.exponential(30, 500), np.nan)
    matrix = np.column_stack([days, count]).astype(np.float32)
    bands = fit_bands(rows_of(list(zip(days, count, strict=True)), (count > 2).tolist()))
    assert not bands.users.all()  # nobody who never bought did so often
    rates = bands.scores(matrix)
    initialise()
    base, reads = _core.explainer(_core.OnnxModel(export(bands, matrix)[0], 2))
    assert base == pytest.approx(np.mean(np.log(rates) - np.log1p(-rates)), abs=1e-4)
    assert reads.tolist() == [0, 1]


def test_bands_tell_more_than_one_rate_for_all(sim: Simulation) -> None:
    """Learnt from a few users with under twenty who bought, measured on all the others."""
    log = pp.read_events(sim.events, time="ts")
    goal = pp.Goal("buys", "count(purchase) >= 1", horizon="30d")
    question = Question(log, goal, "UTC")
    dates = [1_740_000_000_000_000, 1_743_000_000_000_000, 1_746_000_000_000_000]
    features = band_features(goal, "UTC")
    past, test = question.rows(features, dates[:2]), question.rows(features, dates[2:])
    rng = np.random.default_rng(0)
    better = []
    for _ in range(40):
        few = rng.choice(np.unique(past.users), 100, replace=False)
        kept = np.isin(past.users, few)
        learnt = replace(
            past,
            users=past.users[kept],
            period=past.period[kept],
            matrix=past.matrix[kept],
            label=past.label[kept],
        )
        if not 1 <= learnt.label.sum() < 20:
            continue
        constant = np.full(len(test), (learnt.label.sum() + 0.5) / (len(learnt) + 1))
        scores = fit_bands(learnt).scores(test.matrix)
        better.append(log_loss(test.label, scores) < log_loss(test.label, constant))
    assert len(better) > 20
    assert np.mean(better) > 0.7


def test_a_goal_that_nobody_reached_is_refused(log: pp.EventLog, sim: Simulation) -> None:
    goal = pp.Goal("never", "count(purchase) >= 900", horizon="30d")
    with pytest.raises(pp.TrainingError, match="nobody reached the goal"):
        pp.train(log, goal, as_of=sim.as_of, fallback=True)


@pytest.mark.parametrize("fallback", [False, True])
def test_an_audience_with_nobody_to_measure_on_is_refused(fallback: bool, sim: Simulation) -> None:
    test = sim.as_of - timedelta(days=30)
    quiet = pl.col("ts").is_between(test - timedelta(days=1), test, closed="left")
    log = pp.read_events(sim.events.filter(~quiet), time="ts")
    audience = pp.Audience(active_within="1d")
    goal = pp.Goal("buys", "count(purchase) >= 1", horizon="30d", audience=audience)
    said = rf"nobody is in the audience at {test:%Y-%m-%d}.*[Ww]iden the audience"
    with pytest.raises(pp.TrainingError, match=said):
        pp.train(log, goal, as_of=sim.as_of, features=["count(*)"], fallback=fallback)


def test_with_enough_positives_trees_are_trained_all_the_same(
    log: pp.EventLog, goal: pp.Goal, sim: Simulation
) -> None:
    features = ["count(app_open, '30d')"]
    model = pp.train(log, goal, as_of=sim.as_of, features=features, fallback=True)
    assert model.features.names == pp.FeatureSet(features).names
