"""The automatic choice of features: how many, of what, and never of ids, epochs or the future."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense.auto import LIMIT

START = datetime(2024, 1, 1, tzinfo=UTC)


def table(days: int = 100) -> pl.DataFrame:
    """One purchase a day and user, with numbers of every suspicious kind."""
    random = np.random.default_rng(0)
    rows = days * 5
    day = np.repeat(np.arange(days), 5)
    return pl.DataFrame(
        {
            "user_id": [f"u{row % 5}" for row in range(rows)],
            "ts": [
                START + timedelta(days=int(d), hours=int(h))
                for d, h in zip(day, random.integers(0, 24, rows), strict=True)
            ],
            "event": random.choice(["purchase", "view"], rows),
            "amount": random.gamma(2.0, 10.0, rows),
            "store_id": random.integers(0, 50, rows),
            "fiscal_week": day // 7,
            "clicked_at_s": 1_700_000_000 + random.integers(0, 10_000, rows),
            "category": random.choice(["a", "b", "it's"], rows),
            "basket": [f"basket-{row}" for row in range(rows)],
            "gift": random.random(rows) < 0.3,
        }
    )


def test_about_two_hundred_features_of_a_rich_log(log: pp.EventLog) -> None:
    features = pp.FeatureSet.auto(log)
    assert 180 <= len(features) <= LIMIT
    assert len(set(features.names)) == len(features)
    frame = pp.compute_features(log, features, as_of=log.last)
    assert frame.width == len(features) + 1
    values = frame.select(features.names).to_numpy()
    assert not np.isinf(values).any(), "a ratio must be missing, not infinite"


def test_ids_epochs_and_clocks_are_never_features() -> None:
    features = pp.FeatureSet.auto(pp.read_events(table()))
    text = " ".join(features.expressions)
    for name in ("store_id", "fiscal_week", "clicked_at_s", "basket"):
        assert name not in text, name
    for name in ("amount", "category = 'it''s'", "gift"):
        assert name in text, name


def test_what_comes_after_is_not_looked_at() -> None:
    before = table().with_columns(pl.lit(None, pl.String).alias("late"))
    later = before.with_columns(
        pl.col("ts") + pl.duration(days=200),
        pl.lit("new_type").alias("event"),
        pl.Series("late", ["x", "y"] * (before.height // 2)),
    )
    cut = START + timedelta(days=150)
    alone = pp.FeatureSet.auto(pp.read_events(before), before=cut)
    with_future = pp.FeatureSet.auto(pp.read_events(pl.concat([before, later])), before=cut)
    assert alone.expressions == with_future.expressions


def test_the_goals_own_events_come_first() -> None:
    kinds = [f"kind_{n}" for n in range(8)]
    rows = [(f"u{n % 7}", START + timedelta(hours=n), kinds[min(7, n % 9)]) for n in range(900)]
    rare = [(f"u{n}", START + timedelta(hours=n), "rare") for n in range(25)]
    log = pp.read_events(pl.DataFrame(rows + rare, schema=["user_id", "ts", "event"], orient="row"))
    goal = pp.Goal("rare", "count(rare) >= 1", horizon="7d")
    plain, asked = pp.FeatureSet.auto(log), pp.FeatureSet.auto(log, goal=goal)
    assert "gap_mean(rare)" not in plain.expressions
    assert "gap_mean(rare)" in asked.expressions


def test_attributes_are_taken_by_kind(log: pp.EventLog) -> None:
    expressions = pp.FeatureSet.auto(log).expressions
    assert "attr(age)" in expressions
    assert any(text.startswith("attr(country) = '") for text in expressions)


def test_a_log_without_a_past_is_refused(log: pp.EventLog) -> None:
    with pytest.raises(pp.DataError, match="no event before 2000-01-01"):
        pp.FeatureSet.auto(log, before="2000-01-01")
