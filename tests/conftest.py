"""Fixtures that several directories share: a small simulated log, one trained model, random logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense.simulator import Simulation

FEATURES = [
    "count(*)",
    "count(app_open, '7d')",
    "count(app_open, '30d')",
    "recency(app_open)",
    "recency(*)",
    "tenure(*)",
    "active_days(*, '30d')",
    "gap_mean(app_open)",
    "count(view_item, '30d')",
    "count(purchase)",
    "recency(purchase)",
    "mean(purchase.price)",
    "decayed_count(app_open, '7d')",
    "hour_share(*, 18, 23)",
    "attr(age)",
]


@pytest.fixture(scope="session")
def sim() -> Simulation:
    return pp.simulate(users=1_500, seed=11)


@pytest.fixture(scope="session")
def profiles(sim: Simulation) -> pp.Profiles:
    return pp.read_profiles(sim.profiles)


@pytest.fixture(scope="session")
def log(sim: Simulation, profiles: pp.Profiles) -> pp.EventLog:
    return pp.read_events(sim.events, profiles=profiles)


@pytest.fixture(scope="session")
def goal() -> pp.Goal:
    return pp.Goal("buys_ticket", "count(purchase) >= 1", horizon="30d")


@pytest.fixture(scope="session")
def features() -> pp.FeatureSet:
    return pp.FeatureSet(FEATURES)


@pytest.fixture(scope="session")
def model(log: pp.EventLog, goal: pp.Goal, features: pp.FeatureSet, sim: Simulation) -> pp.Model:
    return pp.train(log, goal, as_of=sim.as_of, features=features)


@pytest.fixture(scope="session")
def model_folder(model: pp.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model.save(tmp_path_factory.mktemp("models") / "buys_ticket")


def random_events(seed: int, rows: int = 3_000, users: int = 60) -> pl.DataFrame:
    """Give events of 200 days from 2024-01-01 with ties, whole duplicates and missing values."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2024-01-01T00:00:00", "us")
    minutes = rng.integers(0, 200 * 24 * 2, rows) * 30
    amount = np.round(rng.lognormal(2, 2, rows), 2) * rng.choice([1, 1, 1, -1], rows)
    frame = pl.DataFrame(
        {
            "user_id": np.floor(users * rng.random(rows) ** 2).astype(np.int64),
            "event_time": start + minutes.astype("timedelta64[m]"),
            "event": rng.choice(["open", "view", "buy"], rows, p=[0.5, 0.3, 0.2]),
            "amount": amount,
            "category": rng.choice(["ale", "bar", "cup", "dot"], rows),
            "flag": rng.random(rows) < 0.5,
            "quantity": rng.integers(0, 5, rows),
        }
    )
    for name, share in (("amount", 0.3), ("category", 0.2), ("flag", 0.3), ("quantity", 0.2)):
        present = pl.Series(rng.random(rows) >= share)
        frame = frame.with_columns(pl.when(present).then(name))
    twice = frame.sample(rows // 20, seed=seed)
    at_one_time = frame.sample(rows // 10, seed=seed + 1).with_columns(
        event_time=pl.lit(start + np.timedelta64(100, "D")).cast(pl.Datetime("us"))
    )
    return pl.concat([frame, twice, at_one_time]).sample(fraction=1.0, shuffle=True, seed=seed)


@pytest.fixture(name="random_events", scope="session")
def random_events_fixture() -> Callable[..., pl.DataFrame]:
    return random_events
