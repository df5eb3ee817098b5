"""What the page on the language says of dates in expressions, and of functions in goals."""

from __future__ import annotations

import polars as pl
import pytest

import propense as pp

EVENTS = pl.DataFrame(
    {
        "user_id": ["a", "a", "a", "b", "c"],
        "ts": ["2024-01-01", "2024-01-12", "2024-01-14", "2024-01-02", "2024-01-25"],
        "event": ["x", "x", "x", "x", "other"],
    }
)


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_a_date_in_an_expression_is_utc_in_every_time_zone(timezone: str) -> None:
    joined = ["2024-04-30T22:30:00Z", "2024-05-01T00:00:00Z"]
    profiles = pl.DataFrame({"user_id": ["a", "b"], "joined": joined})
    known = pp.read_profiles(
        profiles.with_columns(pl.col("joined").str.to_datetime(time_zone="UTC"))
    )
    log = pp.read_events(EVENTS, profiles=known)
    texts = [f"attr(joined) < '2024-05-01{zone}'" for zone in ("", "T00:00:00", "T00:00:00+02:00")]
    features = pp.FeatureSet(texts, timezone=timezone)
    found = pp.compute_features(log, features, as_of="2024-06-01").filter(user_id="a")
    assert found.row(0)[1:] == (1.0, 1.0, 0.0)
    rule = pp.Segment("early", texts[0], timezone=timezone)
    assert pp.segment(log, rule, as_of="2024-06-01")["early"].to_list() == [True, False, False]


@pytest.mark.parametrize("when", ["recency(x) = 6", "tenure(x) = 8"])
def test_a_goals_days_run_to_the_end_of_its_horizon(when: str) -> None:
    goal = pp.Goal("g", when, horizon="10d")
    log = pp.read_events(EVENTS)
    rows = pp.export_training(log, goal, features=["count(*)"], as_of="2024-01-20")
    reached = rows.filter(pl.col("label"))
    assert reached.select("user_id").rows() == [("a",)]
    assert str(reached["as_of"][0])[:10] == "2024-01-10"


def test_goals_take_no_decayed_count() -> None:
    goal = pp.Goal("g", "decayed_count(x, '7d') > 1", horizon="10d")
    with pytest.raises(pp.ExpressionError, match="decayed_count"):
        pp.export_training(pp.read_events(EVENTS), goal)
