"""Models and rows to race forests on: trained once with a seed, then kept in a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from propense.training.extra import require_train_extra

if TYPE_CHECKING:
    import lightgbm

WIDTH = 200
TRAINING_ROWS = 12_000
ONNX_FILE, LIGHTGBM_FILE, XGBOOST_FILE = "model.onnx", "lightgbm.txt", "xgboost.ubj"
VERSION = 1


@dataclass(frozen=True)
class ForestSize:
    """How large a forest: trees, and leaves a tree."""

    trees: int
    leaves: int


def make_rows(rows: int, *, seed: int) -> NDArray[np.float32]:
    """Give rows like those of features: counts, amounts, shares; a tenth of the values missing.

    Returns
    -------
    float32 array [rows, 200]
        NaN is missing.
    """
    rng = np.random.default_rng(seed)
    matrix = rng.standard_exponential((rows, WIDTH), dtype=np.float32)
    matrix[:, 0::4] = np.floor(matrix[:, 0::4] * 4.0)
    matrix[:, 1::4] = np.round(matrix[:, 1::4] * 60.0, 2)
    matrix[rng.random((rows, WIDTH), dtype=np.float32) < 0.1] = np.nan
    return matrix


def cached_rows(rows: int, folder: Path) -> Path:
    """Give the file of rows, made if it is not there."""
    path = folder / f"rows-v{VERSION}-{rows}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, make_rows(rows, seed=2))
    return path


def cached_forest(size: ForestSize, folder: Path) -> Path:
    """Give the folder of a forest in each trainer's format, trained if it is not there.

    Raises
    ------
    TrainingError
        LightGBM or onnx is not installed.
    """
    place = folder / f"forest-v{VERSION}-{size.trees}x{size.leaves}"
    if not (place / ONNX_FILE).exists():
        place.mkdir(parents=True, exist_ok=True)
        rows = make_rows(TRAINING_ROWS, seed=1)
        labels = _labels(rows)
        booster = trained(rows, labels, size)
        booster.save_model(str(place / LIGHTGBM_FILE))
        _train_xgboost(rows, labels, size, place / XGBOOST_FILE)
        (place / ONNX_FILE).write_bytes(exported(booster, WIDTH))
        (place / "size.json").write_text(json.dumps(leaves_of(booster)))
    return place


def trained(rows: NDArray[Any], labels: NDArray[Any], size: ForestSize) -> lightgbm.Booster:
    """Train a booster whose trees have as many leaves as asked for.

    Raises
    ------
    TrainingError
        LightGBM is not installed.
    """
    require_train_extra("lightgbm", "onnx")
    import lightgbm

    parameters = {
        "objective": "binary",
        "num_leaves": size.leaves,
        "learning_rate": 0.05,
        "min_data_in_leaf": 5,
        "min_sum_hessian_in_leaf": 0.0,
        "feature_fraction": 0.3,
        "max_bin": 255,
        "seed": 1,
        "deterministic": True,
        # Threads that wait for each other spin; beside other work that takes very much longer.
        "num_threads": 1,
        "force_col_wise": True,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(rows, labels)
    return lightgbm.train(parameters, data, num_boost_round=size.trees)


def exported(booster: lightgbm.Booster, width: int) -> bytes:
    """Give the canonical ONNX model of a booster, uncalibrated."""
    from propense.onnx_model.lightgbm_export import from_lightgbm

    content: bytes = from_lightgbm(
        [booster], slope=1.0, intercept=0.0, width=width
    ).SerializeToString()
    return content


def leaves_of(booster: lightgbm.Booster) -> dict[str, float]:
    """Say how many trees there are, and leaves on average."""
    leaves = [tree["num_leaves"] for tree in booster.dump_model()["tree_info"]]
    return {"trees": len(leaves), "leaves": float(np.mean(leaves))}


def _labels(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    rng = np.random.default_rng(3)
    weights = rng.normal(size=WIDTH) * (rng.random(WIDTH) < 0.3)
    scaled = np.nan_to_num(rows) / (np.nanstd(rows, axis=0) + 1e-6)
    raw = np.tanh(scaled) @ weights + rng.normal(size=len(rows))
    return np.asarray(raw > np.quantile(raw, 0.8), np.float64)


def _train_xgboost(rows: NDArray[Any], labels: NDArray[Any], size: ForestSize, path: Path) -> None:
    """Train XGBoost's own forest of the same size, where XGBoost is installed."""
    try:
        import xgboost
    except ImportError:
        return
    parameters = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "max_leaves": size.leaves,
        "max_depth": 0,
        "eta": 0.05,
        "min_child_weight": 0.0,
        "colsample_bytree": 0.3,
        "max_bin": 64,
        "seed": 1,
        "nthread": 1,
    }
    data = xgboost.DMatrix(rows, labels, nthread=1)
    xgboost.train(parameters, data, num_boost_round=size.trees).save_model(path)
