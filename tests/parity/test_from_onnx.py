"""Models trained elsewhere on the exported frame come back with their own scores."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import propense as pp
from propense.simulator import Simulation

pytest.importorskip("onnx")

TEXTS = ["count(*)", "count(app_open, '30d')", "count(view_item, '30d')", "count(purchase)"]
Trained = tuple[bytes, Callable[[NDArray[Any]], NDArray[Any]]]


@pytest.fixture(scope="module")
def frame(log: pp.EventLog, goal: pp.Goal, sim: Simulation) -> pl.DataFrame:
    return pp.export_training(log, goal, features=TEXTS, as_of=sim.as_of)


def pipeline(x: NDArray[Any], y: NDArray[Any], _: Path) -> Trained:
    linear = pytest.importorskip("sklearn.linear_model")
    pipes = pytest.importorskip("sklearn.pipeline")
    scaling = pytest.importorskip("sklearn.preprocessing")
    model = pipes.make_pipeline(scaling.StandardScaler(), linear.LogisticRegression()).fit(x, y)
    return _converted(model, x), lambda rows: model.predict_proba(rows)[:, 1]


def forest(x: NDArray[Any], y: NDArray[Any], _: Path) -> Trained:
    ensemble = pytest.importorskip("sklearn.ensemble")
    model = ensemble.RandomForestClassifier(15, max_depth=6, random_state=0).fit(x, y)
    return _converted(model, x), lambda rows: model.predict_proba(rows)[:, 1]


def _converted(model: Any, x: NDArray[Any]) -> bytes:
    skl2onnx = pytest.importorskip("skl2onnx")
    with warnings.catch_warnings():  # as errors, numpy's deprecations stop protobuf
        warnings.simplefilter("ignore")
        data: bytes = skl2onnx.to_onnx(model, x[:1]).SerializeToString()
    return data


def xgboost(x: NDArray[Any], y: NDArray[Any], _: Path) -> Trained:
    xgb = pytest.importorskip("xgboost")
    tools = pytest.importorskip("onnxmltools")
    types = pytest.importorskip("onnxmltools.convert.common.data_types")
    model = xgb.XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1).fit(x, y)
    kinds = [("input", types.FloatTensorType([None, x.shape[1]]))]
    data = tools.convert_xgboost(model, initial_types=kinds).SerializeToString()
    return data, lambda rows: model.predict_proba(rows)[:, 1]


def catboost(x: NDArray[Any], y: NDArray[Any], folder: Path) -> Trained:
    cat = pytest.importorskip("catboost")
    model = cat.CatBoostRegressor(
        iterations=20, depth=3, verbose=0, allow_writing_files=False, thread_count=1
    )
    model.fit(x, y.astype(float)).save_model(str(folder / "cat.onnx"), format="onnx")
    return (folder / "cat.onnx").read_bytes(), model.predict


@pytest.mark.parametrize("trainer", [pipeline, forest, xgboost, catboost], ids=lambda f: f.__name__)
def test_a_foreign_model_keeps_its_scores(
    trainer: Callable[[NDArray[Any], NDArray[Any], Path], Trained],
    frame: pl.DataFrame,
    log: pp.EventLog,
    goal: pp.Goal,
    sim: Simulation,
    tmp_path: Path,
) -> None:
    past = frame.filter(pl.col("as_of") < sim.as_of - timedelta(days=60))
    names = pp.FeatureSet(TEXTS).names
    assert frame.columns == ["user_id", "as_of", *names, "label"]
    x, y = past.select(names).to_numpy(order="c"), past["label"].to_numpy().astype(int)
    data, own = trainer(x, y, tmp_path)
    file = tmp_path / "mine.onnx"
    file.write_bytes(data)
    before = sim.as_of - timedelta(days=60)
    given: Any = {"features": TEXTS, "goal": goal, "log": log, "as_of": sim.as_of}
    model = pp.Model.from_onnx(file, **given, trained_before=before)
    scores = model.score(log, as_of=sim.as_of)
    matrix = pp.compute_features(log, TEXTS, as_of=sim.as_of).select(names).to_numpy(order="c")
    expected = np.asarray(own(matrix), np.float64)
    if trainer is catboost:
        # A regressor's value becomes a probability by a logistic calibration.
        slope, intercept = model.calibration["slope"], model.calibration["intercept"]
        assert slope > 0
        expected = 1 / (1 + np.exp(-(slope * expected + intercept)))
    assert np.abs(scores["score"].to_numpy() - expected).max() < 2e-6
    truth = scores.join(sim.truth, on="user_id", how="left", maintain_order="left")
    assert np.corrcoef(truth["score"], truth["probability"])[0, 1] > 0.3
    assert model.metrics["kind"] == "held_out"
    assert model.metrics["auc"]["value"] > 0.6
    # Past dates are those after what it learnt from; not those that a calibration has seen.
    dates = model.backtest["as_of"].to_list()
    assert dates == [
        sim.as_of - timedelta(days=days) for days in ((30,) if trainer is catboost else (60, 30))
    ]

    loaded = pp.load_model(model.save(tmp_path / "m"))
    assert loaded.score(log, as_of=sim.as_of).equals(scores)
    if trainer is catboost:
        # Calibration makes the scores of its date add up to what happened after it.
        learnt = frame.filter(pl.col("as_of") == pl.lit(model.calibration["as_of"]).str.to_date())
        assert learnt.height == model.calibration["rows"]
        calibrated = model.score_matrix(learnt.select(names).to_numpy(order="c"))
        assert calibrated.mean() == pytest.approx(learnt["label"].mean(), rel=0.02)


def test_a_value_is_not_calibrated_on_a_date_with_one_outcome_only(
    frame: pl.DataFrame, goal: pp.Goal, sim: Simulation, tmp_path: Path
) -> None:
    names = pp.FeatureSet(TEXTS).names
    x, y = frame.select(names).to_numpy(order="c"), frame["label"].to_numpy().astype(int)
    data, _ = catboost(x, y, tmp_path)
    # Sales begin with the test's date: before it nobody could reach the goal.
    begin = sim.as_of - timedelta(days=30)
    events = sim.events.filter((pl.col("event") != "purchase") | (pl.col("ts") >= begin))
    log = pp.read_events(events)
    given: Any = {"features": TEXTS, "goal": goal, "log": log, "as_of": sim.as_of}
    model = pp.Model.from_onnx(data, **given, trained_before=begin)
    assert model.metrics["kind"] == "calibrated_on_test"
    assert model.calibration["as_of"] == model.metrics["as_of"]
    expected = model.metrics["expected_positives"]
    assert expected == pytest.approx(model.metrics["positives"], rel=0.02)
    assert pp.Model.from_onnx(data, **given).metrics["kind"] == "may_have_seen"


@pytest.mark.parametrize(
    ("days", "kind"),
    [(None, "may_have_seen"), (29, "may_have_seen"), (30, "held_out"), (61, "held_out")],
)
def test_only_what_is_said_to_be_unseen_is_held_out(
    days: int | None,
    kind: str,
    frame: pl.DataFrame,
    log: pp.EventLog,
    goal: pp.Goal,
    sim: Simulation,
    tmp_path: Path,
) -> None:
    names = pp.FeatureSet(TEXTS).names
    x, y = frame.select(names).to_numpy(order="c"), frame["label"].to_numpy().astype(int)
    data, _ = pipeline(x, y, tmp_path)
    given: Any = {"features": TEXTS, "goal": goal, "log": log, "as_of": sim.as_of}
    before = None if days is None else sim.as_of - timedelta(days=days)
    model = pp.Model.from_onnx(data, **given, trained_before=before)
    test = sim.as_of - timedelta(days=30)
    assert model.metrics["as_of"] == f"{test:%Y-%m-%d}"
    assert model.metrics["kind"] == kind
    said = None if before is None else f"{before:%Y-%m-%d}"
    assert model.training["trained_before"] == said
    past = model.backtest["as_of"].to_list()
    assert past[-1] == test
    assert ("may have learnt from" in repr(model)) == (kind == "may_have_seen")
    if before is not None and kind == "held_out":
        assert min(past) >= before
    else:
        assert len(past) > 2


def test_another_width_is_refused_before_any_work(
    frame: pl.DataFrame, log: pp.EventLog, goal: pp.Goal, tmp_path: Path
) -> None:
    names = pp.FeatureSet(TEXTS).names
    x, y = frame.select(names).to_numpy(order="c"), frame["label"].to_numpy().astype(int)
    data, _ = pipeline(x, y, tmp_path)
    for texts in (TEXTS[:3], [*TEXTS, "recency(*)"]):
        with pytest.raises(pp.ModelError, match=rf"4.*{len(texts)}"):
            pp.Model.from_onnx(data, features=texts, goal=goal, log=log)
    file = tmp_path / "mine.onnx"
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(pp.ModelError, match=r"mine\.onnx"):
        pp.Model.from_onnx(file, features=TEXTS, goal=goal, log=log)
