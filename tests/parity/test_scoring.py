"""Scores through Rust equal plain ONNX Runtime on the same matrix; one row equals many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import pytest
from numpy.typing import NDArray

import propense as pp
from propense.scorer import Scorer
from propense.simulator import Simulation
from propense.tiers import TIERS


@pytest.fixture(scope="module")
def scores(model: pp.Model, log: pp.EventLog, sim: Simulation) -> pl.DataFrame:
    return model.score(log, as_of=sim.as_of)


@pytest.fixture(scope="module")
def matrix(log: pp.EventLog, features: pp.FeatureSet, sim: Simulation) -> NDArray[np.float32]:
    frame = pp.compute_features(log, features, as_of=sim.as_of)
    return frame.drop("user_id").to_numpy(order="c")


def bits(scores: NDArray[np.float32]) -> list[int]:
    assert scores.dtype == np.float32
    return np.ascontiguousarray(scores).view(np.uint32).tolist()


def test_scores_are_those_of_plain_onnx_runtime(
    model: pp.Model,
    model_folder: Path,
    scores: pl.DataFrame,
    matrix: NDArray[np.float32],
    log: pp.EventLog,
    sim: Simulation,
) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model_folder / "model.onnx"), options)
    assert [(i.name, i.type) for i in session.get_inputs()] == [("features", "tensor(float)")]
    assert [(o.name, o.type) for o in session.get_outputs()] == [("score", "tensor(float)")]
    expected = session.run(None, {"features": matrix})[0]
    assert expected.shape == (len(matrix),)
    assert np.abs(scores["score"].to_numpy() - expected).max() <= 1e-6
    assert np.std(expected) > 0.01
    assert bits(model.score_matrix(matrix)) == bits(scores["score"].to_numpy())


def test_columns_are_typed_and_users_ascend(scores: pl.DataFrame, sim: Simulation) -> None:
    assert scores.schema == {
        "user_id": pl.String,
        "score": pl.Float32,
        "percentile": pl.Float32,
        "tier": pl.Enum(TIERS),
    }
    past = sim.events.filter(pl.col("ts") < sim.as_of)
    assert scores["user_id"].to_list() == past["user_id"].unique().sort().to_list()
    assert scores["score"].is_between(0, 1).all()


@pytest.mark.parametrize("block", [1, 2, 7, 64, 1024])
def test_one_row_equals_many_to_the_bit(
    block: int, model: pp.Model, matrix: NDArray[np.float32]
) -> None:
    rows = matrix[:300] if block < 7 else matrix
    whole = bits(model.score_matrix(rows))
    parts = [
        model.score_matrix(rows[start : start + block]) for start in range(0, len(rows), block)
    ]
    assert bits(np.concatenate(parts)) == whole
    backwards = model.score_matrix(rows[::-1])
    assert bits(backwards) == whole[::-1]


def test_hostile_rows_are_scored_as_onnx_runtime_does(
    model: pp.Model, model_folder: Path, matrix: NDArray[np.float32]
) -> None:
    rows = np.repeat(matrix[:1], 40, axis=0)
    rng = np.random.default_rng(0)
    for value in (np.nan, np.inf, -np.inf, 3e38, -0.0, 1e-40):
        rows[rng.random(rows.shape) < 0.15] = value
    session = onnxruntime.InferenceSession(str(model_folder / "model.onnx"))
    expected = session.run(None, {"features": rows})[0]
    assert np.abs(model.score_matrix(rows) - expected).max() <= 1e-6


def test_no_rows_give_no_scores_and_a_wrong_width_is_refused(model: pp.Model) -> None:
    width = len(model.features)
    assert model.score_matrix(np.empty((0, width), np.float32)).shape == (0,)
    with pytest.raises(pp.ModelError, match=str(width)):
        model.score_matrix(np.zeros((3, width + 1), np.float32))


def test_a_saved_model_gives_the_same_bits(
    model_folder: Path, scores: pl.DataFrame, log: pp.EventLog, sim: Simulation, tmp_path: Path
) -> None:
    loaded = pp.load_model(model_folder)
    again = loaded.score(log, as_of=sim.as_of)
    assert bits(again["score"].to_numpy()) == bits(scores["score"].to_numpy())
    assert again.equals(scores)
    second = loaded.save(tmp_path / "again")
    for file in model_folder.iterdir():
        assert (second / file.name).read_bytes() == file.read_bytes()


POLICIES = [
    pp.TierPolicy.quantile(0.05, 0.5),
    pp.TierPolicy.probability(0.3, 0.1),
    pp.TierPolicy.capacity(50),
    pp.TierPolicy.precision(0.3),
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
def test_retier_needs_no_rescoring(
    policy: pp.TierPolicy,
    model_folder: Path,
    scores: pl.DataFrame,
    log: pp.EventLog,
    sim: Simulation,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    loaded = pp.load_model(model_folder)
    loaded.tiers = policy
    expected = loaded.score(log, as_of=sim.as_of)
    reloaded = pp.load_model(loaded.save(tmp_path / "m"))
    assert reloaded.tiers == policy
    assert reloaded.score(log, as_of=sim.as_of).equals(expected)
    monkeypatch.delattr(Scorer, "score")
    monkeypatch.delattr(Scorer, "score_matrix")
    found = loaded.retier(scores)
    assert found.equals(expected)
    assert not found["tier"].equals(scores["tier"])
    if policy.kind == "capacity":
        assert (found["tier"] == "most_likely").sum() <= 50


def test_capacity_is_of_each_audience_that_is_scored(
    model_folder: Path, scores: pl.DataFrame
) -> None:
    loaded = pp.load_model(model_folder)
    loaded.tiers = pp.TierPolicy.capacity(50)
    larger = pl.concat([scores, scores.with_columns(pl.col("score") * 0.999)])
    for audience in (larger, scores.filter(pl.col("score") < 0.02)):
        taken = loaded.retier(audience).filter(pl.col("tier") == "most_likely")
        assert 30 <= taken.height <= 50
        assert taken["score"].min() > audience["score"].sort(descending=True)[50]


def test_retier_refuses_a_frame_without_scores(model: pp.Model) -> None:
    with pytest.raises(pp.ModelError, match="'score'.*user_id"):
        model.retier(pl.DataFrame({"user_id": [1]}))


def test_default_tiers_are_a_fifth_of_the_audience_at_training(scores: pl.DataFrame) -> None:
    counts = dict(scores["tier"].cast(pl.String).value_counts().iter_rows())
    assert 0.15 * scores.height < counts["most_likely"] <= 0.2 * scores.height
    assert 0.15 * scores.height < counts["least_likely"] <= 0.2 * scores.height
    assert sum(counts.values()) == scores.height
    low = scores.group_by("tier").agg(pl.col("score").min().alias("low"), pl.col("score").max())
    edges = {tier: (first, last) for tier, first, last in low.iter_rows()}
    assert edges["most_likely"][0] > edges["moderately_likely"][1]
    assert edges["moderately_likely"][0] > edges["least_likely"][1]


def test_percentile_is_the_share_at_or_below_at_training(scores: pl.DataFrame) -> None:
    # Scored at the as_of of training, the audience is its own yardstick.
    values = scores["score"].to_numpy()
    expected = [100 * np.mean(values <= value) for value in values]
    np.testing.assert_allclose(scores["percentile"].to_numpy(), expected, rtol=1e-6)
    assert scores["percentile"].max() == 100


def test_left_out_as_of_is_just_after_the_last_event(model: pp.Model, log: pp.EventLog) -> None:
    last = log.last.replace(microsecond=log.last.microsecond)
    expected = model.score(log, as_of=last + (last.resolution))
    assert model.score(log).equals(expected)


@pytest.mark.parametrize(
    "audience",
    [
        pp.Audience(active_within="14d"),
        pp.Audience(where="attr(country) = 'DE' AND count(purchase) > 0"),
        pp.Audience(active_within="60d", where="attr(age) >= 40"),
    ],
    ids=["active", "where", "both"],
)
def test_only_the_audience_is_scored(
    audience: pp.Audience, model: pp.Model, log: pp.EventLog, sim: Simulation, scores: pl.DataFrame
) -> None:
    parts = replace(model._parts, goal=replace(model.goal, audience=audience))
    found = pp.Model(parts).score(log, as_of=sim.as_of)
    past = sim.events.filter(pl.col("ts") < sim.as_of)
    members = past
    if audience.active_within:
        days = int(audience.active_within.removesuffix("d"))
        members = members.filter(pl.col("ts") >= sim.as_of - pl.duration(days=days))
    known = sim.profiles
    if "country" in (audience.where or ""):
        bought = past.filter(pl.col("event") == "purchase")["user_id"].unique()
        known = known.filter(pl.col("country") == "DE", pl.col("user_id").is_in(bought.to_list()))
    elif audience.where:
        known = known.filter(pl.col("age") >= 40)
    expected = members.join(known, on="user_id", how="semi")["user_id"].unique().sort()
    assert 0 < len(expected) < scores.height
    assert found["user_id"].to_list() == expected.to_list()
    same = scores.filter(pl.col("user_id").is_in(expected.to_list()))
    assert found.drop("tier").equals(same.drop("tier"))


def test_a_log_may_lack_events_but_not_properties(model: pp.Model, sim: Simulation) -> None:
    rare = pl.col("event") != "purchase"
    events = sim.events.filter(rare)
    profiles = pp.read_profiles(sim.profiles)
    scored = model.score(pp.read_events(events, profiles=profiles), as_of=sim.as_of)
    assert scored.height > 0
    with pytest.raises(pp.ExpressionError, match="price"):
        model.score(pp.read_events(events.drop("price"), profiles=profiles), as_of=sim.as_of)
    with pytest.raises(pp.ExpressionError, match="age"):
        model.score(pp.read_events(events), as_of=sim.as_of)
