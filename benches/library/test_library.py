"""The calls that people make, timed by pytest-benchmark; run by ``make bench-library``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import propense as pp
from propense.bench.declared import texts
from propense.bench.forests import ForestSize
from propense.bench.fusion_model import cached_model
from propense.bench.generator import AS_OF, LogSize, cached_events

SIZE = LogSize(events=200_000, users=4_000)
CACHE = Path("benches/runs/cache")


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return pl.read_parquet(cached_events(SIZE, CACHE))


@pytest.fixture(scope="module")
def log(table: pl.DataFrame) -> pp.EventLog:
    return pp.read_events(table)


@pytest.fixture(scope="module")
def model() -> pp.Model:
    return pp.load_model(cached_model(ForestSize(100, 31), CACHE))


@pytest.fixture(scope="module")
def trained(log: pp.EventLog) -> pp.Model:
    """A model as training makes it, with past dates for its report."""
    folder = CACHE / "trained-v1"
    if not folder.exists():
        goal = pp.Goal("buys", "count(purchase) >= 1", horizon="30d")
        pp.train(log, goal, as_of=AS_OF).save(folder)
    return pp.load_model(folder)


def test_read_events(benchmark: BenchmarkFixture, table: pl.DataFrame) -> None:
    assert benchmark(pp.read_events, table).n_events == SIZE.events


def test_compute_features(benchmark: BenchmarkFixture, log: pp.EventLog) -> None:
    features = pp.FeatureSet(texts())
    frame = benchmark(pp.compute_features, log, features, as_of=AS_OF)
    assert frame.width == 199


def test_one_feature(benchmark: BenchmarkFixture, log: pp.EventLog) -> None:
    frame = benchmark(pp.compute_features, log, ["count(purchase, '30d')"], as_of=AS_OF)
    assert frame.width == 2


def test_score(benchmark: BenchmarkFixture, log: pp.EventLog, model: pp.Model) -> None:
    scores = benchmark(model.score, log, as_of=AS_OF)
    assert scores["score"].is_between(0, 1).all()


def test_score_one_row(benchmark: BenchmarkFixture, model: pp.Model) -> None:
    row = np.ones((1, len(model.features)), np.float32)
    assert benchmark(model.score_matrix, row).shape == (1,)


def test_explain_1000_users(benchmark: BenchmarkFixture, log: pp.EventLog) -> None:
    model = pp.load_model(cached_model(ForestSize(500, 31), CACHE))
    users = model.score(log, as_of=AS_OF)["user_id"].sample(1_000, seed=1).to_list()
    frame = benchmark(model.explain, log, users=users, as_of=AS_OF)
    assert frame["user_id"].n_unique() == 1_000


def test_report(benchmark: BenchmarkFixture, trained: pp.Model, tmp_path: Path) -> None:
    benchmark(lambda: trained.report().save(tmp_path / "report.html"))


def test_load_model(benchmark: BenchmarkFixture, model: pp.Model, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "model")
    assert len(benchmark(pp.load_model, folder).features) == len(model.features)
