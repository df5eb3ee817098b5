"""Nothing at or after an as_of reaches its features; no label window reaches past its end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense.cuts import choose_cuts
from propense.instants import DAY_US, from_us, to_us
from propense.simulator import Simulation
from propense.training.rows import Question, resolve_features

TIME = pl.col("event_time")
TEXTS = [
    "count(buy, '30d')",
    "sum(buy.amount)",
    "mean(view.amount, '60d')",
    "max(buy.amount)",
    "std(view.amount)",
    "last(buy.amount)",
    "first(view.amount)",
    "distinct(view.category)",
    "recency(*)",
    "tenure(open)",
    "active_days(*, '90d')",
    "gap_mean(*)",
    "gap_std(*)",
    "decayed_count(*, '7d')",
    "hour_share(*, 8, 17)",
    "weekday_share(*, 6, 7)",
    "count(*) FILTER (WHERE category = 'ale')",
    "last(view.category)",
]


def changed_after(events: pl.DataFrame, as_of: datetime) -> dict[str, pl.DataFrame]:
    """Give the same past with other futures."""
    naive = as_of.replace(tzinfo=None)
    past, future = events.filter(naive > TIME), events.filter(naive <= TIME)
    altered = future.with_columns(
        amount=pl.lit(1e9), category=pl.lit("aaa: new, and first"), flag=~pl.col("flag")
    )
    at_once = future.with_columns(event_time=pl.lit(naive).cast(pl.Datetime("us")))
    strangers = future.with_columns(pl.col("user_id") - 1_000, event=pl.lit("a new type"))
    return {
        "deleted": past,
        "altered": pl.concat([past, altered]),
        "moved to the as_of": pl.concat([past, at_once]),
        "new users and types": pl.concat([past, future, strangers]),
    }


@pytest.mark.parametrize("as_of", ["2024-03-01", "2024-04-10", "2024-07-01T12:30:00"])
@pytest.mark.parametrize(
    "future", ["deleted", "altered", "moved to the as_of", "new users and types"]
)
def test_no_feature_sees_anything_at_or_after_the_as_of(
    as_of: str, future: str, random_events: Callable[..., pl.DataFrame]
) -> None:
    instant = datetime.fromisoformat(as_of).replace(tzinfo=UTC)
    events = random_events(41)
    other = changed_after(events, instant)[future]
    assert not other.equals(events)
    expected = pp.compute_features(pp.read_events(events), TEXTS, as_of=instant)
    found = pp.compute_features(pp.read_events(other), TEXTS, as_of=instant)
    assert found["user_id"].equals(expected["user_id"])
    for name in expected.columns:
        assert found[name].equals(expected[name]), name


def test_an_event_just_before_the_as_of_is_seen(
    random_events: Callable[..., pl.DataFrame],
) -> None:
    events = random_events(41)
    instant = datetime(2024, 4, 10)
    one = events.head(1).with_columns(
        event_time=pl.lit(instant - timedelta(microseconds=1)).cast(pl.Datetime("us"))
    )
    before = pp.compute_features(pp.read_events(events), ["count(*)"], as_of=instant)
    after = pp.compute_features(
        pp.read_events(pl.concat([events, one])), ["count(*)"], as_of=instant
    )
    assert after["any_count"].sum() == before["any_count"].sum() + 1


EDGE = datetime(2024, 6, 1, tzinfo=UTC)
HORIZON = timedelta(days=30)


@pytest.mark.parametrize(
    ("offset", "in_features", "in_label"),
    [
        (-timedelta(microseconds=1), True, False),
        (timedelta(0), False, True),
        (HORIZON - timedelta(microseconds=1), False, True),
        (HORIZON, False, False),
    ],
)
def test_each_end_of_the_horizon(offset: timedelta, in_features: bool, in_label: bool) -> None:
    events = pl.DataFrame(
        {
            "user_id": [1, 1, 2],  # somebody else's event shows that the log holds the horizon
            "event_time": [EDGE - timedelta(days=50), EDGE + offset, EDGE + HORIZON],
            "event": ["open", "buy", "open"],
        }
    )
    log = pp.read_events(events)
    goal = pp.Goal("buys", "count(buy) >= 1", horizon="30d")
    counted = pp.compute_features(log, ["count(buy)"], as_of=EDGE)
    assert counted.row(0) == (1, float(in_features))
    question = Question(log, goal, "UTC")
    labels = question.labels(np.array([0], np.uint32), to_us(EDGE))
    assert labels.tolist() == [in_label]
    # The same through the exported frame, whose newest date is one horizon before the as_of.
    frame = pp.export_training(log, goal, features=["count(buy)"], as_of=EDGE + HORIZON)
    newest = frame.filter(pl.col("as_of") == EDGE)
    assert newest["buy_count"].to_list() == [float(in_features)]
    assert newest["label"].to_list() == [in_label]


def test_exported_rows_are_what_the_log_says_of_their_own_time(
    log: pp.EventLog, goal: pp.Goal, sim: Simulation
) -> None:
    frame = pp.export_training(log, goal, features=["count(app_open, '30d')"], as_of=sim.as_of)
    horizon = timedelta(days=30)
    dates = frame["as_of"].unique().sort().to_list()
    assert 2 <= len(dates) <= 6
    assert dates[-1] + horizon == sim.as_of
    for as_of in dates:
        assert as_of + horizon <= sim.as_of
        period = frame.filter(pl.col("as_of") == as_of)
        ts = pl.col("ts")
        past = sim.events.filter(ts < as_of)
        assert period["user_id"].to_list() == past["user_id"].unique().sort().to_list()
        window = sim.events.filter(ts >= as_of, ts < as_of + horizon, pl.col("event") == "purchase")
        reached = period["user_id"].is_in(window["user_id"].unique().to_list())
        assert period["label"].equals(reached.alias("label"))
        opened = past.filter(ts >= as_of - timedelta(days=30), pl.col("event") == "app_open")
        assert period["app_open_count_30d"].sum() == opened.height


def test_the_held_out_run_ends_where_the_test_begins(
    model: pp.Model, log: pp.EventLog, goal: pp.Goal
) -> None:
    cuts = choose_cuts(log.span_us[0], model.as_of_us, goal.horizon_us)
    held_out = [datetime.fromisoformat(text) for text in model.training["held_out_run"]]
    assert [to_us(instant) for instant in held_out] == list(cuts.held_out_us)
    assert cuts.held_out_us
    assert cuts.held_out_us[-1] + goal.horizon_us <= cuts.test_us
    assert model.metrics["kind"] == "held_out"
    assert model.metrics["as_of"] == f"{from_us(cuts.test_us):%Y-%m-%d}"


def without_future(sim: Simulation) -> pl.DataFrame:
    return sim.events.filter(pl.col("ts") < sim.as_of)


def with_another_future(sim: Simulation) -> pl.DataFrame:
    """Give the past, then what never happened: new users, new types and new texts."""
    past = without_future(sim)
    future = sim.events.filter(pl.col("ts") >= sim.as_of).with_columns(
        user_id=pl.lit("a") + pl.col("user_id"),
        category=pl.lit("a: new, and first"),
        price=pl.lit(1e6),
    )
    return pl.concat([past, future, future.with_columns(event=pl.lit("zzz_new"))])


def test_a_model_does_not_depend_on_what_comes_after_its_as_of(
    sim: Simulation, profiles: pp.Profiles, goal: pp.Goal
) -> None:
    made = []
    for events in (without_future(sim), with_another_future(sim)):
        few = events.filter(pl.col("user_id").str.tail(7).str.to_integer() < 400)
        log = pp.read_events(few, profiles=profiles)
        model = pp.train(log, goal, as_of=sim.as_of)
        made.append(model._parts.contents())
    assert made[0] == made[1]
    assert len(model.features) > 100


@pytest.mark.parametrize(
    "texts", [None, ["last(purchase.category)", "count(purchase)"], ["first(search.channel)"]]
)
def test_features_are_chosen_and_coded_from_the_past_only(
    sim: Simulation, goal: pp.Goal, texts: list[str] | None
) -> None:
    specs = []
    for events in (without_future(sim), with_another_future(sim)):
        question = Question(pp.read_events(events), goal, "UTC")
        specs.append(resolve_features(question, texts, to_us(sim.as_of)).spec)
    assert specs[0] == specs[1]


def test_the_share_of_users_learnt_from_does_not_depend_on_the_future(
    sim: Simulation, goal: pp.Goal, features: pp.FeatureSet, profiles: pp.Profiles
) -> None:
    at = to_us(sim.as_of) - 40 * DAY_US
    rows = []
    for events in (without_future(sim), with_another_future(sim)):
        log = pp.read_events(events, profiles=profiles)
        found = Question(log, goal, "UTC").rows(features, [at], max_rows=500)
        rows.append(pl.Series(log.core.user_ids(found.users)).to_list())
    assert 300 < len(rows[0]) < 700
    assert rows[0] == rows[1]
