"""A model says which columns it reads, and of which kind."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest

import propense as pp
from propense import _core
from propense.columns_read import columns_read

NAMED = {
    "count(*)": ([], []),
    "count(purchase, '30d') >= 1": ([], []),
    "sum(purchase.amount) / count(view)": (["amount"], []),
    "count(*) FILTER (WHERE event = 'buy' AND NOT (gift OR price > 3))": (["gift", "price"], []),
    "distinct(buy.event)": (["event"], []),
    "coalesce(ln(attr(age)), -mean(buy.price)) + 1": (["price"], ["age"]),
    "attr(country) IN ('GB', 'DE') OR attr(\"home town\") LIKE 'L%'": (
        [],
        ["country", "home town"],
    ),
    "attr(joined) IS NULL": ([], ["joined"]),
    "mean(buy.price) FILTER (WHERE category LIKE 'm%' AND abs(due) IN (1, 2))": (
        ["category", "due", "price"],
        [],
    ),
}


@pytest.mark.parametrize("text", NAMED)
def test_the_columns_that_an_expression_reads(text: str) -> None:
    assert _core.columns_named([text]) == NAMED[text]


def test_the_columns_of_several_expressions() -> None:
    texts = ["sum(buy.b) + attr(z)", "sum(buy.a) + sum(buy.b)", "attr(y)"]
    assert _core.columns_named(texts) == (["a", "b"], ["y", "z"])
    with pytest.raises(pp.ExpressionError):
        _core.columns_named(["count(*)", "count("])


def test_kinds_are_those_of_the_log() -> None:
    at = datetime(2024, 1, 1)
    frame = {"user_id": [1], "ts": [at], "event": ["buy"]}
    values = {"price": [1.5], "gift": [True], "due": [at], "category": ["a"], "unread": [1]}
    attributes = {"user_id": [1], "age": [3], "country": ["GB"], "other": ["x"]}
    log = pp.read_events(
        pl.DataFrame(frame | values),
        user="user_id",
        time="ts",
        event="event",
        profiles=pp.read_profiles(pl.DataFrame(attributes), user="user_id"),
    )
    audience = pp.Audience(active_within="9d", where="attr(country) = 'GB'")
    goal = pp.Goal("g", "count(buy) FILTER (WHERE gift) >= 1", horizon="9d", audience=audience)
    features = pp.FeatureSet(
        [
            "mean(buy.price)",
            "count(*) FILTER (WHERE due > '2024-01-01' AND category = 'a')",
            "attr(age)",
        ]
    )
    assert columns_read(log, goal, features).model_dump() == {
        "properties": {"category": "text", "due": "time", "gift": "boolean", "price": "number"},
        "attributes": {"age": "number", "country": "text"},
    }
