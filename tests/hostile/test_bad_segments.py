"""Segments that cannot be: the message names the segment, the place in its rule, and the nearest name."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import propense as pp

LOG = pl.DataFrame(
    {
        "user_id": ["a", "b"],
        "ts": ["2024-01-01", "2024-01-02"],
        "event": ["purchase", "support_contact"],
        "amount": [1.5, None],
        "category": ["ale", None],
        "price": [2.5, None],
    }
)


@pytest.fixture(scope="module")
def small() -> pp.EventLog:
    profiles = pp.read_profiles(pl.DataFrame({"user_id": ["a"], "country": ["GB"], "age": [40]}))
    return pp.read_events(LOG, profiles=profiles)


UNREADABLE = {
    "open bracket": ("count(purchase >= 3", "rule"),
    "no rule": ("count(purchase, '30d') >= 3 AND", "rule"),
    "a statement": ("DROP TABLE users", "rule"),
    "two": ("count(purchase) > 1; count(purchase) > 2", "rule"),
    "unknown function": ("cuont(purchase) > 1", 'did you mean "count"'),
    "window": ("count(purchase, '30 days') > 1", "30 days"),
    "deep": ("(" * 10_000 + "1" + ")" * 10_000, "rule"),
    "score of two": ("score(a, b) > 1", "score"),
}


@pytest.mark.parametrize(("rule", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_rule_that_cannot_be_read_is_refused_at_once(
    rule: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(pp.SegmentError, match=f'segment "bad".*{message}'):
        pp.Segment("bad", rule)
    with pytest.raises(pp.SegmentError, match='segment "bad", stay'):
        pp.Segment("bad", "count(purchase) > 1", stay=rule)
    (tmp_path / "x.toml").write_text(f"name = 'bad'\nrule = '''{rule}'''")
    with pytest.raises(pp.SegmentError, match=r"x\.toml: segment \"bad\""):
        pp.read_segments(tmp_path)


UNFIT = {
    "event": ("count(purchas, '30d') >= 3", "purchas.*purchase"),
    "property": ("sum(purchase.amonut) > 3", "amonut.*amount"),
    "attribute": ("attr(contry) = 'GB'", "contry.*country"),
    "model": ("score(bys) > 0.5", "bys.*buys"),
    "tier's model": ("tier(bys) = 'most_likely'", "bys.*buys"),
    "tier": ("tier(buys) = 'mostly_likely'", "mostly_likely.*most_likely"),
    "segment": ("in_segment(vpi)", "vpi.*vip"),
    "tier's segment": ('in_segment("buys.most_likly")', "buys.most_likly.*buys.most_likely"),
    "text with number": ("attr(country) > 3", "country"),
    "number with text": ("count(purchase) = 'three'", "three"),
    "no condition": ("count(purchase)", "condition"),
    "a score alone": ("score(buys)", "condition"),
    "sum of a text": ("sum(purchase.category) > 1", "category"),
}


@pytest.mark.parametrize(("rule", "message"), UNFIT.values(), ids=UNFIT)
def test_a_rule_that_does_not_fit_names_the_nearest(
    rule: str, message: str, small: pp.EventLog, model: pp.Model
) -> None:
    vip = pp.Segment("vip", "count(purchase) > 1")
    for bad in (pp.Segment("bad", rule), pp.Segment("bad", "count(*) > 1", stay=rule)):
        with pytest.raises(pp.SegmentError, match=f'(?s)segment "bad".*{message}'):
            pp.segment(small, [vip, bad], {"buys": model})


def test_a_circle_is_refused_with_its_path(small: pp.EventLog) -> None:
    ring = [
        pp.Segment("a", "in_segment(b)"),
        pp.Segment("b", "count(purchase) > 1 OR in_segment(c)"),
        pp.Segment("c", "NOT in_segment(a)"),
    ]
    with pytest.raises(pp.SegmentError, match="a → b → c → a"):
        pp.segment(small, ring)
    with pytest.raises(pp.SegmentError, match="a → a"):
        pp.segment(small, pp.Segment("a", "count(*) > 1", stay="in_segment(a)"))


def test_names_that_clash_are_refused(small: pp.EventLog) -> None:
    twice = [pp.Segment("a", "count(*) > 1"), pp.Segment("a", "count(*) > 2")]
    with pytest.raises(pp.SegmentError, match='two segments are named "a"'):
        pp.segment(small, twice)
    with pytest.raises(pp.SegmentError, match="named 'user_id' like the user column"):
        pp.segment(small, pp.Segment("user_id", "count(*) > 1"))
    with pytest.raises(pp.SegmentError, match="nothing to evaluate"):
        pp.segment(small, [])


def test_words_of_segments_are_for_segments_only(small: pp.EventLog) -> None:
    for text in ("score(buys)", "tier(buys) = 'most_likely'", "in_segment(a)", "hour_now() > 3"):
        with pytest.raises(pp.ExpressionError, match="segment"):
            pp.FeatureSet([text])
        goal = pp.Goal("g", text, horizon="7d")
        with pytest.raises(pp.PropenseError, match="segment"):
            pp.export_training(small, goal, features=["count(*)"], as_of="2024-01-02")


def test_models_that_are_not_there_are_named(small: pp.EventLog, tmp_path: Path) -> None:
    any_one = pp.Segment("a", "count(*) > 1")
    with pytest.raises(pp.ModelError, match="absent"):
        pp.segment(small, any_one, {"buys": tmp_path / "absent"})
    with pytest.raises(pp.ModelError, match="absent"):
        pp.segment(small, any_one, tmp_path / "absent")
