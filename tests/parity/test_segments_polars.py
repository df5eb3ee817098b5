"""Segments of a log against the same rules computed by Polars, or by hand, user by user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense.instants import DAY_US, from_us
from propense.simulator import Simulation

INSTANTS = ["2024-01-01T00:30:00", "2024-02-10", "2024-04-10T09:45:00", "2024-07-20", "2025-01-01"]
RULES = {
    "frequent": "count(buy, '30d') >= 2",
    "spender": "sum(buy.amount, '90d') > 10 AND count(open) > 0",
    "lapsed": "recency(buy) > 30",
    "ale": "count(view, '60d') FILTER (WHERE category = 'ale') BETWEEN 1 AND 2",
    "not_lately": "count(buy, '9d') = 0",
    "both": "in_segment(frequent) AND in_segment(spender)",
    "either": "in_segment(frequent) OR in_segment(spender)",
    "neither": "NOT in_segment(either)",
    "unsure": "recency(buy) > 30 OR recency(buy) <= 30",
}


def by_polars(frame: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    seen = frame.filter(pl.col("event_time") < as_of)
    age = as_of - pl.col("event_time")

    def of(event: str, days: float) -> pl.Expr:
        return (pl.col("event") == event) & (age <= timedelta(days=days))

    ever = 100_000
    last_buy = pl.col("event_time").filter(of("buy", ever)).max()
    ales = (of("view", 60) & (pl.col("category") == "ale").fill_null(False)).sum()
    spent = pl.col("amount").filter(of("buy", 90)).sum()
    rows = seen.group_by("user_id").agg(
        frequent=of("buy", 30).sum() >= 2,
        spender=(spent > 10) & (of("open", ever).sum() > 0),
        lapsed=((as_of - last_buy) > timedelta(days=30)).fill_null(False),
        ale=ales.is_between(1, 2),
        not_lately=of("buy", 9).sum() == 0,
        unsure=of("buy", ever).sum() > 0,
    )
    rows = rows.with_columns(
        both=pl.col("frequent") & pl.col("spender"), either=pl.col("frequent") | pl.col("spender")
    ).with_columns(neither=~pl.col("either"))
    return rows.select("user_id", *sorted(RULES)).sort("user_id")


@pytest.mark.parametrize("as_of", INSTANTS)
@pytest.mark.parametrize("seed", [1, 2])
def test_rules_give_what_polars_gives(
    random_events: Callable[..., pl.DataFrame], seed: int, as_of: str
) -> None:
    frame = random_events(seed)
    segments = [pp.Segment(name, rule) for name, rule in RULES.items()]
    found = pp.segment(pp.read_events(frame), segments, as_of=as_of)
    wanted = by_polars(frame, datetime.fromisoformat(as_of))
    assert found.columns == ["user_id", *sorted(RULES)]
    assert found.equals(wanted)
    if as_of == "2024-04-10T09:45:00":
        # Each rule tells users apart, or it would prove nothing.
        shares = wanted.drop("user_id", "unsure").mean().row(0)
        assert all(0 < share < 1 for share in shares), shares


def test_the_order_of_segments_and_rows_does_not_matter(
    random_events: Callable[..., pl.DataFrame],
) -> None:
    frame = random_events(3)
    segments = [pp.Segment(name, rule) for name, rule in RULES.items()]
    one = pp.segment(pp.read_events(frame), segments, as_of="2024-04-10")
    two = pp.segment(pp.read_events(frame.reverse()), segments[::-1], as_of="2024-04-10")
    assert one.equals(two)


def test_scores_and_tiers_are_the_models(log: pp.EventLog, model: pp.Model) -> None:
    as_of = "2025-02-01"
    scores = model.score(log, as_of=as_of)
    cut = float(scores["score"].median())  # type: ignore[arg-type]
    segments = [
        pp.Segment("likely", f"score(buys) >= {cut!r}"),
        pp.Segment("middle", "tier(buys) = 'moderately_likely'"),
        pp.Segment("top", 'in_segment("buys.most_likely") AND NOT in_segment("likely")'),
        pp.Segment("scored", "score(buys) IS NOT NULL"),
    ]
    found = pp.segment(log, segments, {"buys": model}, as_of=as_of)
    tiers = ["buys.least_likely", "buys.moderately_likely", "buys.most_likely"]
    assert found.columns == ["user_id", *tiers, "likely", "middle", "scored", "top"]
    joined = found.join(scores, on="user_id", how="left", maintain_order="left")
    assert joined["likely"].equals((joined["score"] >= cut).fill_null(False))
    for tier in ("most_likely", "moderately_likely", "least_likely"):
        is_in = (joined["tier"].cast(pl.String) == tier).fill_null(False)
        assert joined[f"buys.{tier}"].equals(is_in, null_equal=True)
        assert 0 < is_in.sum() < joined.height
    assert joined["middle"].equals(joined["buys.moderately_likely"])
    assert joined["scored"].equals(joined["score"].is_not_null())
    assert not joined["top"].any()


def test_outside_a_models_audience_there_is_no_score(
    log: pp.EventLog, features: pp.FeatureSet, goal: pp.Goal, model: pp.Model
) -> None:
    audience = pp.Audience(active_within="14d", where="attr(age) > 30")
    narrow = pp.Goal(goal.name, goal.when, goal.horizon, audience=audience)
    trained = pp.train(log, narrow, as_of="2025-02-01", features=features)
    trained.tiers = pp.TierPolicy.probability(most=0.1, least=0.02)
    segments = [
        pp.Segment("scored", "score(buys) >= 0"),
        pp.Segment("unscored", "score(buys) IS NULL AND tier(buys) IS NULL"),
        pp.Segment("low", "tier(buys) <> 'most_likely'"),
    ]
    found = pp.segment(log, segments, {"buys": trained, "wide": model}, as_of="2025-02-01")
    scores = trained.score(log, as_of="2025-02-01")
    assert 0 < scores.height < found.height
    inside = found["user_id"].is_in(scores["user_id"].to_list())
    assert found["scored"].equals(inside)
    assert found["unscored"].equals(~inside)
    low = scores.filter(pl.col("tier").cast(pl.String) != "most_likely")["user_id"]
    assert found.filter("low")["user_id"].to_list() == low.to_list()
    assert found.filter("buys.most_likely").height == scores.height - low.len()


@pytest.mark.parametrize("timezone", ["UTC", "Asia/Kolkata", "America/New_York"])
@pytest.mark.parametrize(
    "as_of", ["2024-03-10T06:59:59+00:00", "2024-03-10T07:00:00+00:00", "2024-07-07T23:15:00+00:00"]
)
def test_the_clock_on_the_wall_is_the_segments(
    random_events: Callable[..., pl.DataFrame], timezone: str, as_of: str
) -> None:
    local = datetime.fromisoformat(as_of).astimezone(ZoneInfo(timezone))
    hours = [
        pp.Segment(f"h{hour}", f"hour_now() = {hour}", timezone=timezone) for hour in range(24)
    ]
    days = [
        pp.Segment(f"d{day}", f"weekday_now() = {day}", timezone=timezone) for day in range(1, 8)
    ]
    found = pp.segment(pp.read_events(random_events(4)), [*hours, *days], as_of=as_of)
    members = [name for name in found.columns[1:] if found[name].all()]
    assert members == [f"d{local.isoweekday()}", f"h{local.hour}"]
    assert found.drop("user_id", *members).sum().row(0) == (0,) * 29


def test_nobody_is_in_a_segment_that_is_not_valid(
    random_events: Callable[..., pl.DataFrame],
) -> None:
    log = pp.read_events(random_events(5))
    begins = datetime(2024, 3, 1, tzinfo=UTC)
    just = timedelta(microseconds=1)
    bounded = pp.Segment(
        "spring", "count(*) >= 0", valid_from=begins, valid_until="2024-06-01", timezone="UTC"
    )
    others = pp.Segment("not_spring", "NOT in_segment(spring)")
    ends = datetime(2024, 6, 1, tzinfo=UTC)
    for as_of, wanted in [(begins - just, 0), (begins, 1), (ends - just, 1), (ends, 0)]:
        found = pp.segment(log, [bounded, others], as_of=as_of)
        assert found["spring"].mean() == wanted
        assert found["not_spring"].mean() == 1 - wanted


def test_users_with_an_event_before_or_a_profile_are_there() -> None:
    day = datetime(2024, 1, 1)
    frame = pl.DataFrame(
        {"user_id": [1, 2, 3, 4], "ts": [day, day + timedelta(days=9)] * 2, "event": ["a"] * 4}
    )
    profiles = pp.read_profiles(pl.DataFrame({"user_id": [3, 4, 5], "country": ["GB", "DE", "GB"]}))
    log = pp.read_events(frame, profiles=profiles)
    quiet = pp.Segment("quiet", "count(a) = 0")
    british = pp.Segment("british", "attr(country) = 'GB'")
    found = pp.segment(log, [quiet, british], as_of=day + timedelta(days=5))
    assert found.rows() == [
        (1, False, False),
        (3, True, False),
        (4, False, True),
        (5, True, True),
    ]
    assert pp.segment(log, quiet)["user_id"].to_list() == [1, 2, 3, 4, 5]


def test_messages_are_counted_before_there_is_one() -> None:
    times = pl.Series([datetime(2024, 1, day) for day in (1, 2, 3)])
    frame = pl.DataFrame({"user_id": [1, 2, 2], "ts": times, "event": ["a", "a", "b"]})
    cap = "count(message, '7d') FILTER (WHERE channel = 'email' AND segment <> 'vip') < 1"
    segments = [
        pp.Segment("may_mail", cap),
        pp.Segment("known", "count(message) = 0 AND distinct(message.channel, '1d') = 0"),
        pp.Segment("missing", "recency(message) IS NULL AND mean(message.length) IS NULL"),
    ]
    found = pp.segment(pp.read_events(frame), segments)
    assert found.drop("user_id").sum().row(0) == (2, 2, 2)
    channels = {"channel": "email", "segment": "at_risk", "length": 3.0}
    sent = frame.filter(user_id=2).head(1).with_columns(event=pl.lit("message"))
    sent = sent.with_columns(**{name: pl.lit(value) for name, value in channels.items()})
    after = pp.segment(pp.read_events(pl.concat([frame, sent], how="diagonal")), segments)
    assert after.rows() == [(1, True, True, True), (2, False, False, False)]
    with pytest.raises(pp.SegmentError, match="unknown event type .massage"):
        pp.segment(pp.read_events(frame), pp.Segment("x", "count(massage) < 1"))


def by_replay(
    times_us: Sequence[int], as_of_us: int, window_us: int, enter: int, stay: int, min_stay_us: int
) -> bool:
    """Replay one user's events at every instant that could matter, as the definition says."""
    seen = sorted(time for time in times_us if time < as_of_us)
    if not seen:
        return False
    instants = {time + 1 for time in seen} | {time + window_us + 1 for time in seen}
    waiting = sorted({seen[0], as_of_us} | {now for now in instants if seen[0] < now < as_of_us})
    member, since = False, 0
    while waiting:
        now = waiting.pop(0)
        count = sum(now - window_us <= time < now for time in seen)
        before = member
        member = count >= enter or (before and (count >= stay or now < since + min_stay_us))
        if member and not before:
            since = now
            if now + min_stay_us < as_of_us:
                waiting = sorted({*waiting, now + min_stay_us})
    return member


@pytest.mark.parametrize("seed", range(4))
def test_staying_is_what_a_replay_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    users = rng.integers(0, 40, 600)
    hours = rng.integers(0, 24 * 80, 600)
    start_us = 1_700_000_000_000_000
    times_us = start_us + hours * 3_600_000_000
    frame = pl.DataFrame({"user_id": users, "event_time": times_us, "event": ["contact"] * 600})
    log = pp.read_events(frame, time_unit="us")
    rule, weaker = "count(contact, '10d') >= 3", "count(contact, '10d') >= 2"
    segments = [
        pp.Segment("plain", rule),
        pp.Segment("band", rule, stay=weaker),
        pp.Segment("least", rule, min_stay="6d"),
        pp.Segment("whole", rule, stay=weaker, min_stay="6d"),
        pp.Segment("reader", "in_segment(whole) AND NOT in_segment(plain)"),
    ]
    window_us, never = 10 * DAY_US, 10_000
    kept = {"plain": (never, 0), "band": (2, 0), "least": (never, 6), "whole": (2, 6)}
    differ = 0
    for days in rng.uniform(1, 100, 12):
        as_of_us = start_us + int(days * DAY_US)
        found = pp.segment(log, segments, as_of=from_us(as_of_us))
        for row in found.iter_rows(named=True):
            own = times_us[users == row["user_id"]].tolist()
            for name, (stay, days_least) in kept.items():
                wanted = by_replay(own, as_of_us, window_us, 3, stay, days_least * DAY_US)
                assert row[name] == wanted, (row, name, as_of_us)
            assert row["reader"] == (row["whole"] and not row["plain"])
            differ += row["whole"] != row["plain"]
    assert differ > 10


@pytest.mark.filterwarnings("ignore:scores as of")  # of users who have long been silent, too
def test_a_band_around_a_score_is_what_a_replay_gives(sim: Simulation) -> None:
    texts = ["count(app_open, '7d')", "count(view_item, '30d')", "count(purchase)"]
    windows_us = [0, 7 * DAY_US, 30 * DAY_US, 20 * DAY_US]
    audience = pp.Audience(active_within="20d")
    goal = pp.Goal("buys", "count(purchase) >= 1", horizon="30d", audience=audience)
    events = sim.events
    model = pp.train(pp.read_events(events), goal, as_of=sim.as_of, features=pp.FeatureSet(texts))
    sizes = events.group_by("user_id").len().filter(pl.col("len").is_between(10, 25))
    few = events.filter(pl.col("user_id").is_in(sizes["user_id"].sort().head(12).to_list()))
    log = pp.read_events(few)
    times_us = few["ts"].dt.epoch("us")
    instants = sorted({time + window + 1 for time in times_us for window in windows_us})
    by_instant = {}
    for now in instants:
        scores = model.score(log, as_of=from_us(now))
        by_instant[now] = dict(zip(scores["user_id"], scores["score"], strict=True))
    everything = sorted(score for scores in by_instant.values() for score in scores.values())
    high, low = everything[int(0.9 * len(everything))], everything[int(0.4 * len(everything))]
    segments = [
        pp.Segment("held", f"score(buys) >= {high!r}", stay=f"score(buys) >= {low!r}"),
        pp.Segment("above", f"score(buys) >= {high!r}"),
    ]
    held_only = 0
    member = dict.fromkeys(few["user_id"], False)
    checked = set(instants[:: len(instants) // 25])
    for now in instants:
        scores = by_instant[now]
        for user, was in member.items():
            score = scores.get(user, float("-inf"))
            member[user] = score >= high or (was and score >= low)
        if now in checked:
            found = pp.segment(log, segments, {"buys": model}, as_of=from_us(now))
            for row in found.iter_rows(named=True):
                assert row["held"] == member[row["user_id"]], (row, now)
                held_only += row["held"] and not row["above"]
    assert held_only > 5
