"""A score by gRPC is the score of a batch run over the same events at the same as_of, to the bit."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense.simulator import Simulation
from serving import Serving, start

NAME = "buys_ticket"


@pytest.fixture(scope="module")
def models(model: pp.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    model.save(folder / NAME)
    return folder


@pytest.fixture(scope="module")
def server(
    models: Path, sim: Simulation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pp.Server]:
    store = tmp_path_factory.mktemp("stores") / "store"
    with pp.serve(store, models, address="127.0.0.1:0") as running:
        with pp.Client(running.address, timeout=60.0) as client:
            taken = client.ingest(sim.events, profiles=sim.profiles)
        assert (taken.accepted, taken.duplicates) == (sim.events.height, 0)
        yield running


@pytest.fixture
def client(server: pp.Server) -> Iterator[pp.Client]:
    with pp.Client(server.address, timeout=60.0) as opened:
        yield opened


def same(served: pl.DataFrame, batch: pl.DataFrame) -> None:
    """Compare two frames of scores, floats by their bits."""
    columns = ["user_id", "score", "percentile", "tier"]
    left, right = (frame.select(columns).sort("user_id") for frame in (served, batch))
    assert left["user_id"].equals(right["user_id"])
    for name in ("score", "percentile"):
        bits = (frame[name].to_numpy().view(np.uint32) for frame in (left, right))
        assert np.array_equal(*bits), name
    assert left["tier"].cast(pl.String).equals(right["tier"].cast(pl.String))


@pytest.mark.parametrize("rows", [1, 2, 7, 64, 1024])
def test_one_and_many_rows_agree_with_python(
    client: pp.Client, model: pp.Model, log: pp.EventLog, sim: Simulation, rows: int
) -> None:
    batch = model.score(log, as_of=sim.as_of)
    asked = batch.sample(rows, seed=rows)
    served = client.batch_score_users(asked["user_id"], models=NAME, as_of=sim.as_of)
    assert served["status"].unique().to_list() == ["scored"]
    assert served["user_id"].equals(asked["user_id"])
    same(served, asked)
    for row in asked.head(20).iter_rows(named=True):
        one = client.score_user(row["user_id"], models=NAME, as_of=sim.as_of)[NAME]
        assert (one.score, one.percentile, one.tier) == (
            row["score"],
            row["percentile"],
            row["tier"],
        )


def test_the_audience_is_the_batch(
    client: pp.Client, model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    for days in (0, 3, 45):
        as_of = sim.as_of - timedelta(days=days)
        batch = model.score(log, as_of=as_of)
        with client.stream_scores(NAME, as_of=as_of, batch_rows=100) as stream:
            frames = list(stream)
        assert max(frame.height for frame in frames) <= 100
        served = pl.concat(frames)
        assert served["user_id"].is_sorted()
        same(served, batch)
        best = client.score_audience(NAME, as_of=as_of, tiers="most_likely")
        same(best, batch.filter(pl.col("tier") == "most_likely"))


def test_events_sent_along_score_as_stored_ones(
    client: pp.Client, model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    batch = model.score(log, as_of=sim.as_of).sample(60, seed=2)
    some = pl.col("user_id").is_in(batch["user_id"].to_list())
    served = client.score_events(
        sim.events.filter(some).sample(fraction=1.0, shuffle=True, seed=1),
        profiles=sim.profiles.filter(some),
        models=NAME,
        as_of=sim.as_of,
    )
    same(served, batch)


def test_features_given_along_are_those_of_the_library(
    client: pp.Client, model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    frame = pp.compute_features(log, model.features, as_of=sim.as_of)
    known = {row["user_id"]: row for row in frame.sample(40, seed=3).iter_rows(named=True)}
    for user, expected in known.items():
        found = client.score_user(user, models=NAME, as_of=sim.as_of, features=True)[NAME].features
        assert found is not None
        assert list(found) == model.features.names
        for name, value in found.items():
            wanted = expected[name]
            assert (math.isnan(value) and math.isnan(wanted)) or value == wanted, name


def test_users_outside_the_audience_are_said_to_be(client: pp.Client, sim: Simulation) -> None:
    before_all = datetime(2000, 1, 1)
    user = sim.events["user_id"][0]
    frame = client.batch_score_users([user, "nobody"], models=NAME, as_of=before_all)
    assert frame["status"].to_list() == ["not_in_audience", "user_unknown"]
    assert client.score_audience(NAME, as_of=before_all).is_empty()


def test_ten_thousand_users_online_and_in_batch_also_after_a_kill(
    models: Path, model: pp.Model, tmp_path: Path
) -> None:
    sim = pp.simulate(users=10_500, seed=23)
    log = pp.read_events(sim.events, profiles=pp.read_profiles(sim.profiles))
    instants = [sim.as_of, sim.as_of - timedelta(days=30)]
    expected = [model.score(log, as_of=as_of) for as_of in instants]
    assert max(frame.height for frame in expected) >= 9_500
    store = tmp_path / "store"
    running = start(store, models)
    try:
        ingest_out_of_order(running, sim, seed=int(os.environ.get("PROPENSE_SEED", "1")))
        check_against(running, instants, expected)
        running.kill()
        running = start(store, models)
        check_against(running, instants, expected)
    finally:
        running.kill()


def ingest_out_of_order(running: Serving, sim: Simulation, seed: int) -> None:
    """Send the events shuffled, every tenth late, every twentieth twice."""
    rng = random.Random(seed)
    events = sim.events.with_row_index("event_id").with_columns(pl.col("event_id").cast(pl.String))
    shuffled = events.sample(fraction=1.0, shuffle=True, seed=rng.randrange(2**32))
    twice = shuffled.sample(fraction=0.05, seed=rng.randrange(2**32))
    with pp.Client(running.address, timeout=60.0) as client:
        client.put_profiles(sim.profiles)
        batches = [*shuffled.iter_slices(40_000), twice]
        rng.shuffle(batches)
        acks = list(client.stream_events(batches))
    receipts = [ack.receipt for ack in acks if ack.receipt is not None]
    assert len(receipts) == len(batches)
    assert sum(receipt.accepted for receipt in receipts) == events.height
    assert sum(receipt.duplicates for receipt in receipts) == twice.height


def check_against(running: Serving, instants: list[datetime], expected: list[pl.DataFrame]) -> None:
    """Compare the whole audience and every user one by one in batches."""
    with pp.Client(running.address, timeout=60.0) as client:
        for as_of, batch in zip(instants, expected, strict=True):
            same(client.score_audience(NAME, as_of=as_of), batch)
            served = client.batch_score_users(batch["user_id"], models=NAME, as_of=as_of)
            same(served, batch)
