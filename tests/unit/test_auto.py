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


IDS = [
    *(
        "itemId",
        "orderID",
        "StockCode",
        "InvoiceNo",
        "productid",
        "USERID",
        "customer_nr",
        "phoneNumber",
    ),
    *(
        "order.id",
        "store id",
        "sku",
        "productSKU",
        "sessionUuid",
        "lastproductid",
        "invoiceno",
        "uid",
    ),
    *("zipCode", "postalcode", "line2Id", "barcode", "category_ids", "stockcode", "visitor-key"),
]
NO_IDS = [
    *("paid", "valid", "bid", "grid", "void", "isPaid", "liquid", "amountPaid", "steroid", "Solid"),
    *("casino", "monkey", "turkey", "numberOfItems", "no_of_nights", "idleTime", "codec", "humid"),
    *("price", "quantity", "rapid", "android", "keyed", "volcano", "minimum", "premium", "piano"),
]


@pytest.mark.parametrize("name", IDS)
def test_ids_are_known_however_they_are_written(name: str) -> None:
    assert _mentions(name) == []


@pytest.mark.parametrize("name", NO_IDS)
def test_words_that_end_like_ids_are_numbers(name: str) -> None:
    assert len(_mentions(name)) > 5


def _mentions(name: str) -> list[str]:
    log = pp.read_events(table().select("user_id", "ts", "event", pl.col("store_id").alias(name)))
    written = (f".{name}", f'."{name}"')
    return [
        text
        for text in pp.FeatureSet.auto(log).expressions
        if any(name in text for name in written)
    ]


def test_long_texts_are_left_out() -> None:
    long, other = "é" * 5_000, "ü" * 101
    commonest = pl.int_range(pl.len()) % 5
    value = pl.when(commonest < 2).then(pl.lit(long)).when(commonest == 2).then(pl.lit(other))
    events = table().with_columns(category=value.otherwise(pl.lit("short")))
    plans = pl.DataFrame(
        {"user_id": [f"u{n}" for n in range(5)], "plan": [long, long, other, "short", "short"]}
    )
    log = pp.read_events(events, profiles=pp.read_profiles(plans))
    expressions = pp.FeatureSet.auto(log).expressions
    assert "attr(plan) = 'short'" in expressions
    assert "count(purchase) FILTER (WHERE category = 'short')" in [
        text.replace('"', "") for text in expressions
    ]
    assert "é" not in (text := " ".join(expressions))
    assert "ü" not in text


@pytest.mark.parametrize("kinds", [1, 2])
def test_long_names_are_left_out(kinds: int) -> None:
    long = "name " * 500
    event = pl.when(pl.int_range(pl.len()) % 5 < kinds).then(pl.lit("view")).otherwise(pl.lit(long))
    events = (
        table().with_columns(event=event if kinds > 1 else pl.lit(long)).rename({"amount": long})
    )
    assert long not in " ".join(pp.FeatureSet.auto(pp.read_events(events)).expressions)


def test_attributes_named_like_columns_of_the_frame_get_another_name() -> None:
    attributes = pl.DataFrame(
        {
            "id": [f"u{n}" for n in range(5)],
            "label": [1.0, 2.0, 3.0, 4.0, 5.0],
            "as_of": [True, False, True, False, True],
            "points": [2.5, 1.5, 0.5, 0.5, 1.5],
            "attr_label": [3.0, 4.0, 5.0, 3.0, 3.0],
        }
    )
    events, profiles = (
        table().rename({"user_id": "points"}),
        pp.read_profiles(attributes, user="id"),
    )
    log = pp.read_events(events, user="points", profiles=profiles)
    features = pp.FeatureSet.auto(log)
    by_name = dict(zip(features.names, features.expressions, strict=True))
    named = {"attr_label_": "label", "attr_as_of": "as_of", "attr_points": "points"}
    named |= {"attr_label": "attr_label"}
    for name, attribute in named.items():
        assert by_name[name] == f"attr({attribute})"
    frame = pp.export_training(log, pp.Goal("g", "count(purchase) >= 1", horizon="7d"))
    assert {"points", "as_of", "label", *named} <= set(frame.columns)


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
