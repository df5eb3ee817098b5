"""How far a log reaches: nobody is labelled, or scored unwarned, by days that it does not hold."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl
import pytest

import propense as pp
from propense.instants import in_words
from propense.simulator import Simulation

GOAL = pp.Goal("buys", "count(buy) >= 1", horizon="30d")


@pytest.fixture(scope="module")
def events(random_events: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    return random_events(3)


@pytest.fixture(scope="module")
def days(events: pl.DataFrame) -> pp.EventLog:
    return pp.read_events(events)


def test_an_as_of_beyond_the_log_trains_on_nothing(days: pp.EventLog) -> None:
    for beyond in (1.01, 27, 2_000):
        as_of = days.last + timedelta(days=beyond)
        for ask in (pp.export_training, pp.train):
            with pytest.raises(pp.TrainingError) as refused:
                ask(days, GOAL, features=["count(*)"], as_of=as_of)
            text = str(refused.value)
            assert f"the log only runs to {in_words(days.span_us[1])}" in text
            assert "name an earlier as_of" in text
            assert "\n" not in text


def test_the_end_of_the_newest_events_day_is_not_beyond_the_log(days: pp.EventLog) -> None:
    midnight = datetime.fromisoformat(f"{days.last:%Y-%m-%d}T00:00:00Z") + timedelta(days=1)
    for as_of in (None, days.last, midnight, days.last + timedelta(days=1)):
        frame = pp.export_training(days, GOAL, features=["count(*)"], as_of=as_of)
        newest = frame.filter(pl.col("as_of") == pl.col("as_of").max())
        assert newest["label"].mean() > 0.5


def test_a_day_of_grace_is_too_much_for_an_hour(days: pp.EventLog) -> None:
    hourly = pp.Goal("buys", "count(buy) >= 1", horizon="1h")
    pp.export_training(days, hourly, features=["count(*)"], as_of=days.last + timedelta(hours=1))
    with pytest.raises(pp.TrainingError, match="the log only runs to"):
        pp.export_training(
            days, hourly, features=["count(*)"], as_of=days.last + timedelta(hours=2)
        )


def test_validation_and_importance_go_by_the_same_rule(model: pp.Model, sim: Simulation) -> None:
    seen = pp.read_events(sim.events.filter(pl.col("ts") < sim.as_of + timedelta(days=20)))
    for ask in (
        lambda: model.validate(seen),
        lambda: model.importance("permutation", log=seen, as_of=sim.as_of),
    ):
        with pytest.raises(pp.DataError, match=r"has not passed: .* the log only runs to "):
            ask()


def test_scores_long_after_the_newest_event_come_with_a_warning(
    model: pp.Model, log: pp.EventLog
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.score(log)
        model.score(log, as_of=log.last + timedelta(days=7))
    with pytest.warns(pp.PropenseWarning) as told:
        model.score(log, as_of="2026-01-01")
    assert len(told) == 1
    text = str(told[0].message)
    assert "2026-01-01" in text
    assert f"the log only runs to {in_words(log.span_us[1])}" in text
    assert told[0].filename == __file__
