"""Expressions, goals and instants that do not fit are refused before any long work."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense import features as features_module
from propense.simulator import Simulation

SMALL = pl.DataFrame(
    {
        "user_id": np.repeat(np.arange(60), 2),
        "ts": [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)] * 60,
        "event": ["open", "buy"] * 60,
        "price": [None, 2.5] * 60,
    }
)

EXPRESSIONS = [
    ("count(purchse)", "event type", "purchse", "purchase"),
    ("sum(app_open.prise)", "property", "prise", "price"),
    ("count(app_open) FILTER (WHERE chanel = 'web')", "property", "chanel", "channel"),
    ("attr(contry)", "attribute", "contry", "country"),
    ("cuont(purchase)", "function", "cuont", "count"),
]


@pytest.mark.parametrize(("text", "kind", "wrong", "nearest"), EXPRESSIONS)
def test_unknown_names_come_with_the_nearest(
    text: str, kind: str, wrong: str, nearest: str, log: pp.EventLog
) -> None:
    with pytest.raises(pp.ExpressionError) as error:
        pp.compute_features(log, [text], as_of="2025-01-01")
    message = str(error.value)
    for part in (kind, f'"{wrong}"', f'did you mean "{nearest}"', text):
        assert part in message


SYNTAX = [
    "count(purchase",
    "count()",
    "",
    "count(purchase, '30 days')",
    "count(purchase, '0d')",
    "count(purchase, '-3d')",
    "count(purchase, 30)",
    "sum(purchase)",
    "hour_share(app_open, 18, 24)",
    "weekday_share(app_open, 0, 7)",
    "decayed_count(app_open)",
    "count(purchase) FILTER (WHERE price)",
    "count(purchase) FILTER (WHERE price = 'high')",
    "count(purchase) FILTER (WHERE count(*) > 1)",
    "count(purchase) FILTER (WHERE attr(age) > 1)",
    "sum(purchase.category)",
    "price",
    "'text'",
    "(SELECT 1)",
    "count(purchase); DROP TABLE x",
    "count(DISTINCT purchase)",
    "count(purchase) OVER ()",
    "count(*) + attr(country)",
    "x" * 10_000,
    "(" * 4_000 + "1" + ")" * 4_000,
    "NOT " * 2_000 + "TRUE",
    "1" + " + 1" * 2_000,
]


@pytest.mark.parametrize("text", SYNTAX, ids=lambda text: text[:40])
def test_what_is_not_in_the_language_is_refused_in_one_line(text: str, log: pp.EventLog) -> None:
    try:
        pp.compute_features(log, [text], as_of="2025-01-01")
    except pp.ExpressionError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 10_000
    else:
        assert set(text) <= set("1 +"), "accepted"


def test_declarations_are_checked() -> None:
    with pytest.raises(pp.ExpressionError, match="no features"):
        pp.FeatureSet([])
    with pytest.raises(pp.ExpressionError, match=r"count\(a\).* declared twice"):
        pp.FeatureSet(["count(a)", "COUNT( a )"])


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "UTC+25", "../etc/passwd"])
@pytest.mark.parametrize("as_of", ["2025-01-01", datetime(2025, 1, 1, tzinfo=UTC)])
def test_an_unknown_time_zone_is_refused(zone: str, as_of: Any, log: pp.EventLog) -> None:
    with pytest.raises(pp.PropenseError, match="time zone"):
        pp.compute_features(log, pp.FeatureSet(["count(*)"], timezone=zone), as_of=as_of)


@pytest.mark.parametrize("as_of", ["tomorrow", "2025-13-01", "", 20250101, None, 1.5])
def test_an_instant_that_is_none_is_refused(as_of: Any, log: pp.EventLog) -> None:
    with pytest.raises(pp.DataError, match="instant"):
        pp.compute_features(log, ["count(*)"], as_of=as_of)


@pytest.mark.parametrize("ask", [pp.train, pp.export_training])
def test_an_as_of_before_the_log_is_refused(
    ask: Any, log: pp.EventLog, goal: pp.Goal, features: pp.FeatureSet
) -> None:
    with pytest.raises(pp.TrainingError, match=r"2020-01-01.*2024-01-01"):
        ask(log, goal, as_of="2020-01-01", features=features)
    with pytest.raises(pp.TrainingError, match="no history to learn from"):
        ask(log, goal, as_of="2024-01-20", features=features)


def test_features_before_the_log_are_nobodys(log: pp.EventLog) -> None:
    frame = pp.compute_features(log, ["count(*)"], as_of="2020-01-01")
    assert frame.shape == (0, 2)
    assert frame["user_id"].dtype == pl.String


def test_no_positives_and_one_class_only_are_refused() -> None:
    log = pp.read_events(SMALL)
    nobody = pp.Goal("nobody", "count(buy) >= 9", horizon="30d")
    with pytest.raises(
        pp.TrainingError, match=r"nobody.* 60 .*only 0 reached the goal.*at least 20"
    ) as refused:
        pp.train(log, nobody, as_of="2024-02-15", features=["count(*)"])
    assert "--fallback" not in str(refused.value)  # it would be refused as well
    everyone = pp.Goal("everyone", "count(buy) = 0", horizon="30d")
    with pytest.raises(pp.TrainingError, match="only 0 did not reach the goal"):
        pp.train(log, everyone, as_of="2024-02-15", features=["count(*)"])


def test_few_positives_are_refused_before_features_are_asked_of_trees() -> None:
    some = SMALL.filter((pl.col("event") == "open") | (pl.col("user_id") < 19))
    goal = pp.Goal("few", "count(buy) >= 1", horizon="30d")
    with pytest.raises(pp.TrainingError, match="only 19 reached the goal.*--fallback"):
        pp.train(pp.read_events(some), goal, as_of="2024-03-02", features=["count(*)"])


def test_an_audience_of_nobody_is_refused(
    log: pp.EventLog, features: pp.FeatureSet, sim: Simulation
) -> None:
    goal = pp.Goal(
        "x", "count(purchase) >= 1", horizon="30d", audience=pp.Audience(where="attr(age) > 900")
    )
    with pytest.raises(pp.TrainingError):
        pp.train(log, goal, as_of=sim.as_of, features=features)


def test_a_bad_goal_is_found_before_any_feature_is_computed(
    log: pp.EventLog, sim: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("computed features first")

    monkeypatch.setattr(features_module._core, "compute", never)
    for goal in (
        pp.Goal("x", "count(purchse) >= 1", horizon="30d"),
        pp.Goal(
            "x", "count(*) > 1", horizon="30d", audience=pp.Audience(where="attr(contry) = 'x'")
        ),
        pp.Goal("x", "count(*) > 1", horizon="30d", audience=pp.Audience(where="count(*)")),
    ):
        with pytest.raises(pp.ExpressionError):
            pp.train(log, goal, as_of=sim.as_of)


def test_training_without_the_extra_says_what_to_install(
    log: pp.EventLog, goal: pp.Goal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("propense.training.extra.find_spec", lambda _name: None)
    with pytest.raises(
        pp.TrainingError, match=r"lightgbm and onnx.*pip install 'propense\[train\]'"
    ):
        pp.train(log, goal)
