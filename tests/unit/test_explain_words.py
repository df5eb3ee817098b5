"""Features and values in words."""

from __future__ import annotations

import math

import pytest

import propense as pp
from propense.explain.forms import phrase
from propense.explain.words import Phrase, sentence

NAN = math.nan


@pytest.mark.parametrize(
    ("expression", "value", "said"),
    [
        ("count(visit, '7d')", 4, "4 visits in 7 days"),
        ("count(visit, '1d')", 1, "1 visit in 1 day"),
        ("count(*)", 1204, "1,204 events"),
        ("count(push_opened, '2w')", 3, "3 push opened in 14 days"),
        ("count(\"order placed\", '12h')", 0, "0 order placed in 12 hours"),
        ("count(category, '7d')", 2, "2 categories in 7 days"),
        ("count(search)", 2, "2 searches"),
        ("count(view, '7d') FILTER (WHERE kind = 'film')", 2, "2 views in 7 days with kind = film"),
        ("active_days(app_open, '30d')", 5, "5 days with an app open in 30 days"),
        ("recency(purchase)", 3.25, "last purchase 3.2 days ago"),
        ("recency(purchase)", NAN, "no purchase so far"),
        ("tenure(*)", 412.7, "first event 413 days ago"),
        ("gap_mean(purchase)", NAN, "fewer than two purchases"),
        ("gap_mean(purchase)", 12.34, "12.3 days between purchases"),
        ("decayed_count(search, '7d')", 9.7e-6, "almost 0 searches of late (half-life 7 days)"),
        ("decayed_count(view_item, '7d')", 0.256, "0.26 view items of late (half-life 7 days)"),
        ("hour_share(*, 18, 23)", 0.4, "40 % of events from 18:00 to 23:59"),
        ("weekday_share(*, 6, 7)", 1.0, "100 % of events at the weekend"),
        ("distinct(view.kind, '30d')", 3, "3 different values of view kind in 30 days"),
        ("sum(purchase.price, '90d')", 120.4, "total purchase price 120 in 90 days"),
        ("last(buy.channel_no)", 2, "last buy channel no 2"),
        ("max(buy.\"{price}\")", NAN, "no buy {price} known"),
        ("sum(buy.price)", math.inf, "total buy price ∞"),
        ("attr(age)", 34, "age 34"),
        ("attr(age)", NAN, "age unknown"),
        ("attr(country) = 'GB'", 1, "country is GB: yes"),
        ("recency(buy) / ((tenure(buy) - recency(buy)) / (active_days(buy) - 1))", 2.0,
         "quiet for 2 times the usual gap between buys"),
        ("(tenure(*) - recency(*)) / (active_days(*) - 1)", 7.1, "7.1 days between days with an event"),
        ("active_days(buy) / tenure(buy)", 0.12, "a buy on 12 % of days"),
        ("ln(1 + count(buy))", 1.5, "ln(1 + count(buy)) = 1.5"),
        ("ln(1 + count(buy))", NAN, "ln(1 + count(buy)) = unknown"),
    ],
)  # fmt: skip
def test_a_feature_is_said(expression: str, value: float, said: str) -> None:
    (canonical,) = pp.FeatureSet([expression]).expressions
    assert phrase(canonical).of(value) == said


def test_a_code_is_said_as_its_text() -> None:
    words = phrase("attr(country)", {0: "DE", 1: "GB"})
    assert (words.of(1.0), words.of(NAN), words.short(0.0)) == (
        "country GB",
        "country unknown",
        "DE",
    )
    assert words.of(7.0) == "country another"


def test_what_is_usual_is_said_if_it_is_known_and_another() -> None:
    words = phrase("count(visit, '7d')")
    assert sentence(words, 4, 1, known=True) == "4 visits in 7 days, usually 1"
    assert sentence(words, 1, 1, known=True) == "1 visit in 7 days"
    assert sentence(words, 4, None, known=True) == "4 visits in 7 days, usually none"
    assert sentence(words, 4, None, known=False) == "4 visits in 7 days"


def test_braces_of_names_are_no_places_for_values() -> None:
    for expression in (
        "count(\"a{0}b\", '7d')",
        "count(a) FILTER (WHERE b = '{x}')",
        'abs(count("{}"))',
    ):
        assert "5" in phrase(expression).of(5.0)
    assert Phrase("{{}} = {}").of(2.0) == "{} = 2"


def test_every_automatic_feature_has_words(log: pp.EventLog) -> None:
    unsaid = [
        expression
        for expression in pp.FeatureSet.auto(log).expressions
        if expression in phrase(expression).of(2.0)
    ]
    assert unsaid == []
