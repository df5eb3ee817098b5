"""A server's segments against those of the same events in batch, as they come in and as time passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense.simulator import Simulation

pytest.importorskip("grpc")

RULES = {
    "frequent": "count(buy, '30d') >= 3",
    "spender": "sum(buy.amount, '60d') > 100",
    "lapsed": "recency(open) > 12.5",
    "fading": "decayed_count(open, '9d') < 1.5",
    "both": "in_segment(frequent) AND in_segment(spender)",
    "not_one": "NOT in_segment(frequent) AND NOT in_segment(spender)",
    "office": "hour_now() BETWEEN 9 AND 17 AND weekday_now() <= 5",
    "arithmetic": "count(open, '7d') * 2 > count(open, '30d') + 1",
}
SEGMENTS = [
    *(pp.Segment(name, rule, timezone="Europe/Berlin") for name, rule in RULES.items()),
    pp.Segment("band", "count(buy, '20d') >= 3", stay="count(buy, '20d') >= 1"),
    pp.Segment("least", "count(view, '5d') >= 2", min_stay="8d"),
    pp.Segment("bounded", "count(*) > 0", valid_from="2024-03-01", valid_until="2024-05-01"),
]


@contextmanager
def served(folder: Path, models: Path, at: str) -> Iterator[pp.Client]:
    clock = f"simulated@{at}"
    with (
        pp.serve(folder, models, address="127.0.0.1:0", clock=clock) as server,
        pp.Client(server.address, timeout=60.0) as client,
    ):
        yield client


def compare(
    client: pp.Client,
    frame: pl.DataFrame,
    segments: list[pp.Segment],
    models: dict[str, pp.Model],
    profiles: pp.Profiles | None = None,
) -> int:
    """Compare every segment's members with batch; give how many memberships there are."""
    now = client.clock().now
    batch = pp.segment(pp.read_events(frame, profiles=profiles), segments, models, as_of=now)
    batch = batch.with_columns(pl.col("user_id").cast(pl.String)).sort("user_id")
    held = client.wait_evaluated()
    assert [segment.name for segment in held] == batch.columns[1:]
    for segment in held:
        wanted = batch.filter(pl.col(segment.name))["user_id"].to_list()
        assert client.members(segment.name).to_list() == wanted, (segment.name, now)
        assert segment.members == len(wanted)
    for user in batch["user_id"].sample(3, seed=now.day).to_list():
        row = batch.row(by_predicate=pl.col("user_id") == user, named=True)
        assert client.user_segments(user).names == [name for name in batch.columns[1:] if row[name]]
    return int(batch.drop("user_id").sum().sum_horizontal().item())


def fold(client: pp.Client, *, with_gaps: bool = False) -> dict[str, set[str]]:
    """Fold all transitions, which alternate for each user and segment, into members by segment.

    There is a gap in the numbers only where a user was erased.
    """
    last = client.list_segments().last_transition
    inside: dict[str, set[str]] = {}
    with client.watch_transitions(after=0) as watched:
        while watched.up_to < last:
            before, one = watched.up_to, next(watched)
            assert one.number > before
            assert one.number == before + 1 or with_gaps, one
            members = inside.setdefault(one.segment, set())
            assert (one.user_id in members) == (one.kind == "exit"), one
            (members.add if one.kind == "enter" else members.remove)(one.user_id)
    return inside


@pytest.mark.parametrize("seed", [1, 2])
def test_live_is_batch_as_events_come_and_time_passes(
    random_events: Callable[..., pl.DataFrame], seed: int, tmp_path: Path
) -> None:
    frame = (
        random_events(seed, rows=1_500, users=40)
        .sort("event_time")
        .unique(["user_id", "event_time", "event"], keep="first", maintain_order=True)
    )
    (tmp_path / "models").mkdir()
    rng = np.random.default_rng(seed)
    start = datetime(2024, 2, 1, tzinfo=UTC)
    memberships = 0
    late = frame.sample(fraction=0.1, seed=seed)
    on_time = frame.join(late, on=frame.columns, how="anti", nulls_equal=True)
    sent = on_time.filter(pl.col("event_time") < start.replace(tzinfo=None))
    with served(tmp_path / "store", tmp_path / "models", "2024-02-01") as client:
        client.ingest(sent)
        client.put_segment(SEGMENTS, wait=True)
        memberships += compare(client, sent, SEGMENTS, {})
        for part in late.iter_slices(40):
            hours = int(rng.integers(1, 24 * 25))
            until = client.clock().now + timedelta(hours=hours, microseconds=int(rng.integers(9)))
            client.advance_clock(until=until)
            memberships += compare(client, sent, SEGMENTS, {})
            due = on_time.filter(pl.col("event_time") < until.replace(tzinfo=None))
            fresh = pl.concat(
                [due.join(sent, on=frame.columns, how="anti", nulls_equal=True), part]
            )
            client.ingest(fresh)
            sent = pl.concat([sent, fresh]).unique(maintain_order=True)
            memberships += compare(client, sent, SEGMENTS, {})
        inside = fold(client)
    # The store remembers the clock, the segments, and who is in them.
    with served(tmp_path / "store", tmp_path / "models", "2024-02-01") as client:
        compare(client, sent, SEGMENTS, {})
        assert {name: users for name, users in fold(client).items() if users} == {
            name: users for name, users in inside.items() if users
        }
        for segment in client.list_segments():
            assert inside.get(segment.name, set()) == set(client.members(segment.name))
    assert memberships > 500


@pytest.mark.parametrize("id_type", [pl.String, pl.Int64])
def test_who_has_a_profile_and_no_event_is_known_to_both(
    id_type: type[pl.DataType], tmp_path: Path
) -> None:
    times = pl.Series([datetime(2024, 1, day) for day in (3, 1, 2, 4)])
    frame = pl.DataFrame({"user_id": [12, 4, 4, 9], "event_time": times, "event": ["open"] * 4})
    attributes = pl.DataFrame(
        {"user_id": [1, 4, 7, 12, 88], "country": ["GB", "DE", "GB", "DE", "DE"]}
    )
    frame, attributes = (
        one.with_columns(pl.col("user_id").cast(id_type)) for one in (frame, attributes)
    )
    segments = [
        pp.Segment("quiet", "count(open, '2d') = 0"),
        pp.Segment("never", "tenure(open) IS NULL"),
        pp.Segment("british", "attr(country) = 'GB' AND in_segment(never)"),
        pp.Segment("active", "count(open) >= 1"),
    ]
    known = pp.read_profiles(attributes)
    (tmp_path / "models").mkdir()
    with served(tmp_path / "store", tmp_path / "models", "2024-01-05") as client:
        client.ingest(frame, profiles=attributes)
        client.put_segment(segments, wait=True)
        assert compare(client, frame, segments, {}, known) == 12
        found = pp.segment(pp.read_events(frame, profiles=known), segments)
    everybody = pl.Series("user_id", [1, 4, 7, 9, 12, 88]).cast(id_type)
    assert found["user_id"].to_list() == everybody.sort().to_list()
    assert set(found.filter(pl.col("never"))["user_id"].cast(pl.Int64)) == {1, 7, 88}


def test_live_is_batch_with_models_and_changed_rules(
    sim: Simulation, model: pp.Model, tmp_path: Path
) -> None:
    users = sim.events["user_id"].unique().sort().head(150).to_list()
    frame = sim.events.filter(pl.col("user_id").is_in(users)).drop("event_id", strict=False)
    attributes = sim.profiles.filter(pl.col("user_id").is_in(users))
    known = pp.read_profiles(attributes)
    model.save(tmp_path / "models" / "buys")
    models = {"buys": model}
    now = datetime(2025, 2, 1, tzinfo=UTC)
    cut = float(
        model.score(pp.read_events(frame, profiles=known), as_of=now)["score"].quantile(0.8)
    )  # type: ignore[arg-type]
    segments = [
        pp.Segment("likely", f"score(buys) >= {cut!r}"),
        pp.Segment("top_quiet", "tier(buys) = 'most_likely' AND count(app_open, '2d') = 0"),
        pp.Segment("either", 'in_segment(likely) OR in_segment("buys.least_likely")'),
    ]
    sent = frame.filter(pl.col("ts") < now)
    with served(tmp_path / "store", tmp_path / "models", "2025-02-01") as client:
        client.ingest(sent, profiles=attributes)
        assert client.put_segment(segments, wait=True).changed == ("likely", "top_quiet", "either")
        assert compare(client, sent, segments, models, known) > 150
        changed = pp.Segment("likely", f"score(buys) >= {cut / 2!r}", owner="me")
        put = client.put_segment([changed, segments[1]], wait=True)
        assert put.changed == ("likely",)
        segments[0] = changed
        compare(client, sent, segments, models, known)
        for days in (0.5, 2, 9):
            now += timedelta(days=days)
            client.advance_clock(until=now)
            compare(client, sent, segments, models, known)
            fresh = frame.filter(pl.col("ts").is_between(sent["ts"].max(), now, closed="none"))
            client.ingest(fresh)
            sent = pl.concat([sent, fresh])
            compare(client, sent, segments, models, known)
        with pytest.raises(pp.FailedPreconditionError, match="either"):
            client.delete_segment("likely")
        members = len(client.members("either"))
        assert client.delete_segment("either") == members
        compare(client, sent, segments[:2], models, known)
        other = pp.load_model(tmp_path / "models" / "buys")
        other.tiers = pp.TierPolicy.quantile(most=0.5, least=0.1)
        other.save(tmp_path / "models" / "buys")
        assert [one.outcome for one in client.reload_models()] == ["loaded"]
        models["buys"] = other
        compare(client, sent, segments[:2], models, known)
        client.erase_user(users[0])
        left = sent.filter(pl.col("user_id") != users[0])
        known = pp.read_profiles(attributes.filter(pl.col("user_id") != users[0]))
        compare(client, left, segments[:2], models, known)
        # So that there is a transition after those that are gone.
        client.put_segment(pp.Segment("everyone", "count(*) >= 0"), wait=True)
        inside = fold(client, with_gaps=True)
        for segment in client.list_segments():
            assert inside.get(segment.name, set()) == set(client.members(segment.name))
