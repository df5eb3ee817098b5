"""The backtest kept with a model: real outcomes, and nothing later than its dates in its scores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense.backtest import Backtest
from propense.cuts import backtest_us
from propense.instants import from_us, to_us
from propense.simulator import Simulation


@pytest.fixture(scope="module")
def backtest(model: pp.Model) -> Backtest:
    kept = model._parts.backtest
    assert kept is not None
    return kept


def buyers(sim: Simulation, since: datetime, until: datetime) -> set[str]:
    inside = pl.col("ts").is_between(since, until, closed="left")
    return set(sim.events.filter(inside, pl.col("event") == "purchase")["user_id"])


def test_outcomes_and_the_rule_are_those_of_the_events(sim: Simulation, backtest: Backtest) -> None:
    assert len(backtest.cuts) == 5
    horizon = timedelta(days=30)
    for cut in backtest.cuts:
        at = from_us(cut.as_of_us)
        users = sorted(set(sim.events.filter(pl.col("ts") < at)["user_id"]))
        assert cut.audience == len(users) == len(cut.scores)
        after, before = buyers(sim, at, at + horizon), buyers(sim, at - horizon, at)
        assert cut.labels.tolist() == [user in after for user in users]
        assert cut.by_rule.tolist() == [user in before for user in users]


def test_dates_are_the_chosen_ones(
    log: pp.EventLog, goal: pp.Goal, sim: Simulation, backtest: Backtest, model: pp.Model
) -> None:
    expected = backtest_us(log.span_us[0], to_us(sim.as_of), goal.horizon_us)
    assert tuple(cut.as_of_us for cut in backtest.cuts) == expected
    assert from_us(expected[-1]) == datetime.fromisoformat(model.metrics["as_of"]).replace(
        tzinfo=UTC
    )
    assert np.array_equal(backtest.cuts[-1].scores, model._parts.test_scores)


def test_scores_of_a_past_date_know_nothing_of_what_came_after(
    sim: Simulation, profiles: pp.Profiles, goal: pp.Goal, features: pp.FeatureSet
) -> None:
    """If nobody buys from the second newest date on, outcomes change and scores do not."""
    newest = sim.as_of - timedelta(days=30)
    second = newest - timedelta(days=30)
    seen_later = pl.col("ts").is_between(second, newest, closed="left")
    bought = seen_later & (pl.col("event") == "purchase")
    other = sim.events.with_columns(
        pl.when(bought).then(pl.lit("app_open")).otherwise("event").alias("event")
    )
    past = []
    for events in (sim.events, other):
        log = pp.read_events(events, profiles=profiles)
        model = pp.train(log, goal, as_of=sim.as_of, features=features)
        kept = model._parts.backtest
        assert kept is not None
        past.append(kept.cuts)
    for before, after in zip(*past, strict=True):
        assert before.as_of_us == after.as_of_us
        same = before.scores.tobytes() == after.scores.tobytes()
        assert same == (before.as_of_us < to_us(newest))
    assert past[0][-2].as_of_us == to_us(second)
    assert past[0][-2].labels.any()
    assert not past[1][-2].labels.any()


def test_a_saved_backtest_comes_back_whole(
    model: pp.Model, backtest: Backtest, model_folder: Path
) -> None:
    loaded = pp.load_model(model_folder)
    kept = loaded._parts.backtest
    assert kept is not None
    assert kept.retrained
    for ours, theirs in zip(backtest.cuts, kept.cuts, strict=True):
        assert (ours.as_of_us, ours.audience) == (theirs.as_of_us, theirs.audience)
        for name in ("scores", "labels", "by_rule"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))
    assert loaded.backtest.equals(model.backtest)


def test_the_summary_adds_up(model: pp.Model, backtest: Backtest) -> None:
    frame = model.backtest
    assert frame["as_of"].to_list() == [from_us(cut.as_of_us) for cut in backtest.cuts]
    for row, cut in zip(frame.iter_rows(named=True), backtest.cuts, strict=True):
        assert row["actual"] == cut.labels.sum()
        assert row["expected"] == pytest.approx(float(cut.scores.sum()), rel=1e-5)
        assert row["ratio"] == pytest.approx(row["actual"] / row["expected"])
        ranked = cut.labels[np.argsort(-cut.scores, kind="stable")]
        assert row["top_rate"] == pytest.approx(ranked[: cut.by_rule.sum()].mean())
        assert row["rule_rate"] == pytest.approx(cut.labels[cut.by_rule].mean())
        assert 0.6 < row["auc"] < 1


def test_a_short_log_has_no_past_to_look_at(
    sim: Simulation, profiles: pp.Profiles, goal: pp.Goal, features: pp.FeatureSet
) -> None:
    start = sim.as_of - timedelta(days=55)
    log = pp.read_events(sim.events.filter(pl.col("ts") >= start), profiles=profiles)
    model = pp.train(log, goal, as_of=sim.as_of, features=features)
    assert model.backtest.height == 0
    assert model.metrics["kind"] == "out_of_fold"
    total = model.forecast().total
    # Nothing is known of how far a period may be off, and the interval says so.
    assert total.high > 1.5 * total.expected
    assert total.low < 0.7 * total.expected
