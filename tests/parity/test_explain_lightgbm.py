"""Contributions are LightGBM's own, and shap's where it is installed."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from propense import _core
from propense.onnx_model.check import hostile_rows, run_onnxruntime
from propense.onnx_model.lightgbm_export import from_lightgbm
from propense.runtime import initialise

WIDTH = 12


def fitted(
    seed: int, *, leaves: int = 15, rounds: int = 40, boosters: int = 2, **more: Any
) -> tuple[list[lightgbm.Booster], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(4_000, WIDTH)).astype(np.float32)
    X[:, 3] = np.round(X[:, 3] * 2)
    X[:, 4] = rng.integers(0, 20, len(X))
    X[rng.random(X.shape) < 0.1] = np.nan
    X[:, 5] = np.where(rng.random(len(X)) < 0.6, 0.0, X[:, 5])
    logit = np.nan_to_num(X[:, 0] * X[:, 1] + (X[:, 3] > 1) + np.sin(3 * X[:, 2])) - (
        X[:, 4] % 3 == 1
    )
    y = (logit + rng.normal(size=len(X)) > 0).astype(float)
    parameters = {
        "objective": "binary",
        "num_leaves": leaves,
        "min_data_in_leaf": 5,
        "learning_rate": 0.1,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "feature_fraction": 0.5,
        "num_threads": 1,
        "verbosity": -1,
    } | more
    categorical = [4] if more.pop("categories", False) else "auto"
    parameters.pop("categories", None)
    made = [
        lightgbm.train(
            parameters | {"seed": seed + k},
            lightgbm.Dataset(X, y, categorical_feature=categorical, params={"verbosity": -1}),
            rounds,
        )
        for k in range(boosters)
    ]
    return made, X


def compare(
    boosters: list[lightgbm.Booster], rows: NDArray[np.float32], **calibration: float
) -> None:
    slope, intercept = calibration["slope"], calibration["intercept"]
    onnx = from_lightgbm(boosters, slope=slope, intercept=intercept, width=WIDTH)
    initialise()
    core = _core.OnnxModel(onnx.SerializeToString(), WIDTH)
    base, reads = _core.explainer(core)
    found = core.explain(rows)
    own = slope * np.mean(
        [booster.predict(rows, pred_contrib=True) for booster in boosters], axis=0
    )
    assert np.abs(found - own[:, :-1]).max() < 1e-5
    assert abs(base - own[0, -1] - intercept) < 1e-5
    raw = slope * np.mean([booster.predict(rows, raw_score=True) for booster in boosters], axis=0)
    assert np.abs(found.sum(axis=1, dtype=np.float64) + base - raw - intercept).max() < 1e-5
    # A feature counts as read exactly if some tree splits on it.
    splits = np.sum([booster.feature_importance("split") for booster in boosters], axis=0)
    assert reads.tolist() == np.flatnonzero(splits).tolist()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"leaves": 2},
        {"leaves": 4, "rounds": 1, "boosters": 1},
        {"leaves": 100, "rounds": 15},
        {"leaves": 300, "min_data_in_leaf": 1, "rounds": 5},
        {"max_depth": 3},
        {"zero_as_missing": True},
        {"use_missing": False},
        {"categories": True, "max_cat_to_onehot": 2},
        {"boosting": "dart"},
        {"feature_fraction": 1.0, "extra_trees": True, "leaves": 31},
    ],
    ids=str,
)
def test_contributions_are_lightgbm_s(options: dict[str, Any]) -> None:
    boosters, X = fitted(3, **options)
    compare(boosters, X[:700], slope=0.83, intercept=-0.4)


def test_contributions_of_awkward_rows_are_lightgbm_s() -> None:
    boosters, X = fitted(5)
    compare(boosters, hostile_rows(X[:60], seed=0), slope=1.1, intercept=0.2)


def test_a_tree_of_one_leaf_contributes_to_the_base() -> None:
    boosters, X = fitted(7, min_data_in_leaf=10_000, rounds=3)
    compare(boosters, X[:10], slope=1.0, intercept=0.5)


def test_scores_do_not_depend_on_what_explains_them() -> None:
    boosters, X = fitted(11, rounds=5)
    onnx = from_lightgbm(boosters, slope=1.0, intercept=0.0, width=WIDTH)
    with_rows = run_onnxruntime(onnx.SerializeToString(), X[:500])
    forest = onnx.graph.node[0]
    kept = [attribute for attribute in forest.attribute if attribute.name != "nodes_hitrates"]
    assert len(kept) == len(forest.attribute) - 1
    del forest.attribute[:]
    forest.attribute.extend(kept)
    without = run_onnxruntime(onnx.SerializeToString(), X[:500])
    assert with_rows.tobytes() == without.tobytes()


def test_contributions_are_shap_s() -> None:
    shap = pytest.importorskip("shap", reason="the package shap is not installed")
    boosters, X = fitted(13, boosters=1)
    onnx = from_lightgbm(boosters, slope=1.0, intercept=0.0, width=WIDTH)
    initialise()
    core = _core.OnnxModel(onnx.SerializeToString(), WIDTH)
    explainer = shap.TreeExplainer(boosters[0], feature_perturbation="tree_path_dependent")
    # By shap's own trees rather than through LightGBM, whose split of missing values it does not know.
    explainer.model.model_type = "internal"
    rows = np.nan_to_num(X[:300], nan=0.5)
    values = explainer.shap_values(rows, check_additivity=False)
    assert np.abs(np.asarray(values).reshape(300, WIDTH) - core.explain(rows)).max() < 1e-5
