"""Exported LightGBM models give LightGBM's own scores, on any float32 row."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from propense.exceptions import ModelError
from propense.onnx_model.check import check_lightgbm, hostile_rows, run_onnxruntime

lightgbm = pytest.importorskip("lightgbm")
pytest.importorskip("onnx")

from propense.onnx_model.lightgbm_export import from_lightgbm, thresholds  # noqa: E402
from propense.onnx_model.split_rule import round_down, split_rule  # noqa: E402

ROWS, WIDTH = 2_500, 6
Floats = NDArray[np.float64]


def _columns(seed: int = 0) -> Floats:
    """Normal, missing, zero-heavy, code, huge and tiny columns, all different in scale."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(ROWS, WIDTH))
    X[rng.random(ROWS) < 0.2, 1] = np.nan
    X[:, 2] = np.where(rng.random(ROWS) < 0.6, 0.0, rng.poisson(3, ROWS) - 1.0)
    X[:, 3] = rng.integers(0, 40, ROWS)
    X[:, 4] = 1.6e9 + rng.integers(0, 10**8, ROWS)
    X[:, 5] *= 1e-3
    return X


def _target(X: Floats, seed: int = 0) -> Floats:
    noise = np.random.default_rng(seed).normal(size=len(X))
    signal = X[:, 0] + 2 * np.isnan(X[:, 1]) + np.nan_to_num(X[:, 1]) - (X[:, 2] == 0)
    signal += 2 * (X[:, 3] % 3 == 0) + (X[:, 4] - 1.65e9) / 3e7 + 900 * X[:, 5]
    return np.asarray(signal + noise)


def _train(
    rounds: int = 40,
    columns: Floats | None = None,
    target: NDArray[np.bool_] | None = None,
    **parameters: Any,
) -> Any:
    X = (_columns() if columns is None else columns).astype(np.float64)
    categorical = parameters.pop("categorical", [])
    regression = parameters.get("objective") in ("regression", "huber", "poisson")
    y = np.abs(_target(_columns())) if regression else _target(_columns()) > 0.5
    y = y if target is None else target
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "seed": 1, **parameters}
    data = lightgbm.Dataset(X, y.astype(float), categorical_feature=categorical)
    return lightgbm.train(settings, data, rounds)


def _dense() -> Floats:
    return np.nan_to_num(_columns())


def _codes(column: Floats) -> Floats:
    X = _columns()
    X[:, 3] = column
    return X


def _negative_heavy() -> Floats:
    X = _columns()
    X[:, 2] = -X[:, 2]
    return X


def _only_missing_matters() -> Floats:
    X = np.full((ROWS, WIDTH), np.nan)
    noise = np.random.default_rng(8).normal(size=ROWS)
    X[:, 1] = np.where(np.isnan(_columns()[:, 1]), np.nan, noise)
    return X


BAGGED: dict[str, Any] = {"bagging_freq": 1, "bagging_fraction": 0.6}
SHELF: dict[str, Any] = {
    "binary": lambda: [_train()],
    "no_missing_values": lambda: [_train(columns=_dense())],
    "missing_as_zero": lambda: [_train(use_missing=False)],
    "zero_as_missing": lambda: [_train(zero_as_missing=True)],
    "zero_as_missing_negative": lambda: [_train(zero_as_missing=True, columns=_negative_heavy())],
    "missing_only": lambda: [
        _train(columns=_only_missing_matters(), target=np.isnan(_columns()[:, 1]), num_leaves=2)
    ],
    "regression": lambda: [_train(objective="regression")],
    "huber": lambda: [_train(objective="huber")],
    "categories": lambda: [_train(categorical=[3], min_data_per_group=5, cat_smooth=1)],
    "categories_one_hot": lambda: [_train(categorical=[2, 3], max_cat_to_onehot=100)],
    "categories_missing": lambda: [
        _train(
            categorical=[3],
            columns=_codes(np.where(_columns()[:, 3] % 7 == 1, np.nan, _columns()[:, 3])),
        )
    ],
    "categories_zero_as_missing": lambda: [_train(categorical=[2, 3], zero_as_missing=True)],
    "deep": lambda: [_train(10, num_leaves=800, min_data_in_leaf=1)],
    "stumps": lambda: [_train(100, num_leaves=2)],
    "single_leaf": lambda: [_train(3, min_data_in_leaf=ROWS)],
    "several_boosters": lambda: [_train(seed=seed, **BAGGED) for seed in range(5)],
    "random_forest": lambda: [_train(boosting="rf", **BAGGED)],
    "dart": lambda: [_train(boosting="dart")],
    "reloaded": lambda: [lightgbm.Booster(model_str=_train().model_to_string())],
}


@cache
def _shelf(name: str) -> list[Any]:
    return list(SHELF[name]())


@pytest.mark.parametrize("name", SHELF)
def test_scores_equal_lightgbm_on_hostile_rows(name: str) -> None:
    boosters = _shelf(name)
    model = from_lightgbm(boosters, slope=0.9, intercept=-0.3, width=WIDTH).SerializeToString()
    record = check_lightgbm(boosters, 0.9, -0.3, model, _columns(), seed=3)
    assert json.loads(json.dumps(record)) == record
    assert set(record["kinds"]) >= {"real", "nan", "inf", "unseen_codes", "huge", "thresholds"}
    assert record["kinds"]["real"]["rows"] == 2_000
    if name != "single_leaf":
        assert record["kinds"]["thresholds"]["rows"] > 0


@pytest.mark.parametrize("name", SHELF)
def test_every_row_reaches_the_leaf_it_reaches_in_lightgbm(name: str) -> None:
    boosters = _shelf(name)
    X = hostile_rows(_columns(), seed=5, thresholds=thresholds(boosters))
    for booster in boosters[:1]:
        leaves = booster.predict(X, pred_leaf=True).reshape(len(X), -1)
        for tree, info in list(enumerate(booster.dump_model()["tree_info"]))[:8]:
            assert (leaves[:, tree] == _leaves_by_rule(info["tree_structure"], X)).all()


def _leaves_by_rule(node: Any, X: NDArray[np.float32]) -> NDArray[np.int64]:
    if "split_index" not in node:
        return np.full(len(X), node.get("leaf_index", 0))
    rule, x = split_rule(node), X[:, node["split_feature"]]
    left = np.array(rule.left)[np.searchsorted(np.array(rule.bounds, np.float32), x)]
    left = np.where(np.isnan(x), rule.nan_left, left)
    out = np.empty(len(X), np.int64)
    out[left] = _leaves_by_rule(node["left_child"], X[left])
    out[~left] = _leaves_by_rule(node["right_child"], X[~left])
    return out


def test_one_row_equals_many_to_the_bit() -> None:
    boosters = _shelf("several_boosters")
    model = from_lightgbm(boosters, slope=1.1, intercept=0.2, width=WIDTH).SerializeToString()
    X = _columns()[:60].astype(np.float32)
    alone = np.concatenate([run_onnxruntime(model, X[row : row + 1]) for row in range(len(X))])
    assert (alone == run_onnxruntime(model, X)).all()


def test_the_shelf_holds_an_infinite_threshold() -> None:
    [bounds] = thresholds(_shelf("missing_only")).values()
    assert np.isinf(bounds).any()


def test_the_best_iteration_is_what_is_exported() -> None:
    booster = _train()
    booster.best_iteration = 7
    model = from_lightgbm([booster], slope=1.0, intercept=0.0, width=WIDTH).SerializeToString()
    X = _columns().astype(np.float32)
    raw = booster.predict(X, raw_score=True, num_iteration=7)
    assert np.abs(run_onnxruntime(model, X) - 1 / (1 + np.exp(-raw))).max() < 1e-6


@pytest.mark.parametrize("value", [0.1, -0.1, 1e300, -1e300, 1e-46, -1e-46, 16777217.0, np.inf])
def test_round_down_never_goes_up(value: float) -> None:
    down = round_down(value)
    assert down <= value
    with np.errstate(over="ignore"):
        up = float(np.nextafter(np.float32(down), np.float32(np.inf)))
    assert up > value or value == np.inf


def test_the_check_refuses_another_calibration() -> None:
    boosters = [_train()]
    model = from_lightgbm(boosters, slope=1.0, intercept=0.0, width=WIDTH).SerializeToString()
    with pytest.raises(ModelError, match="differs from LightGBM by"):
        check_lightgbm(boosters, 1.0, 0.001, model, _columns())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"linear_tree": True, "columns": _dense()}, "linear leaves"),
        ({"objective": "multiclass", "num_class": 2}, "2 outputs"),
    ],
)
def test_what_cannot_be_exported_is_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        from_lightgbm([_train(5, **parameters)], slope=1.0, intercept=0.0, width=WIDTH)


def test_wrong_width_no_booster_and_infinite_calibration_are_refused() -> None:
    with pytest.raises(ModelError, match="trained on 6 columns; the plan has 7"):
        from_lightgbm([_train(2)], slope=1.0, intercept=0.0, width=7)
    with pytest.raises(ModelError, match="at least one"):
        from_lightgbm([], slope=1.0, intercept=0.0, width=7)
    for slope, intercept in ((np.nan, 0.0), (1.0, np.inf), (1e300, 0.0)):
        with pytest.raises(ModelError, match="not finite"):
            from_lightgbm([_train(2)], slope=slope, intercept=intercept, width=WIDTH)
