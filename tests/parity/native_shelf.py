"""The shelf: small models of every trainer, exported to ONNX and made canonical."""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propense.onnx_model.foreign import canonical, with_calibration
from propense.onnx_model.lightgbm_export import from_lightgbm

WIDTH = 6
_ROWS = 500
_RNG = np.random.default_rng(7)
X = _RNG.normal(size=(_ROWS, WIDTH)).astype(np.float32)
X[:, 4] = _RNG.integers(0, 40, _ROWS)  # codes of a category
X[:, 5] = np.round(X[:, 5])
HOLES = np.where(_RNG.random(X.shape) < 0.2, np.float32(np.nan), X)
ZEROS = np.where(_RNG.random(X.shape) < 0.2, np.float32(0), X)
SIGNAL = X[:, 0] + X[:, 1] * X[:, 2] + 0.4 * (X[:, 4] % 3) + 0.3 * _RNG.normal(size=_ROWS)
TWO = (np.median(SIGNAL) < SIGNAL).astype(int)
THREE = np.digitize(SIGNAL, np.quantile(SIGNAL, [0.3, 0.7]))
COUNTS = _RNG.poisson(np.exp(SIGNAL / 3))

Make = Callable[[], bytes]


@dataclass(frozen=True)
class Entry:
    """A model to be made: the export of a trainer, and which class of it is scored."""

    make: Make
    positive_class: int | None = None
    own: bool = False  # made canonical by our own converter already

    def model(self) -> bytes:
        """Give the canonical model; a value is scored through a calibration, as when deployed."""
        if self.own:
            return self.make()
        taken = canonical(self.make(), width=WIDTH, positive_class=self.positive_class)
        if taken.kind == "probability":
            return bytes(taken.model.SerializeToString())
        scored = with_calibration(taken.model, taken.kind, slope=0.25, intercept=-0.3)
        return bytes(scored.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")  # as errors, numpy's deprecations stop protobuf
        yield


def _ours(rows: NDArray[Any], target: NDArray[Any], **params: Any) -> bytes:
    import lightgbm

    rounds, categories = params.pop("rounds", 15), params.pop("categories", "auto")
    settings = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, **params}
    data = lightgbm.Dataset(rows, target, categorical_feature=categories, params=settings)
    booster = lightgbm.train(settings, data, rounds)
    model = from_lightgbm([booster], slope=0.9, intercept=-0.2, width=WIDTH)
    return bytes(model.SerializeToString())


def _typed() -> Any:
    from onnxmltools.convert.common.data_types import FloatTensorType

    return [("input", FloatTensorType([None, WIDTH]))]


def _lightgbm(kind: str, rows: NDArray[Any], target: NDArray[Any], **params: Any) -> bytes:
    import lightgbm
    import onnxmltools

    split, categories = params.pop("split", None), params.pop("categories", "auto")
    settings = {"n_estimators": 12, "verbose": -1, "n_jobs": 1, "min_child_samples": 5, **params}
    maker = lightgbm.LGBMClassifier if kind == "classifier" else lightgbm.LGBMRegressor
    with _quiet():
        model = maker(**settings).fit(rows, target, categorical_feature=categories)
        exported = onnxmltools.convert_lightgbm(
            model, initial_types=_typed(), zipmap=False, split=split
        )
    return bytes(exported.SerializeToString())


def _xgboost(maker: str, rows: NDArray[Any], target: NDArray[Any], **params: Any) -> bytes:
    import onnxmltools
    import xgboost

    settings = {"n_estimators": 12, "n_jobs": 1, "max_depth": 4, **params}
    with _quiet():
        model = getattr(xgboost, maker)(**settings).fit(rows, target)
        exported = onnxmltools.convert_xgboost(model, initial_types=_typed())
    return bytes(exported.SerializeToString())


def _catboost(kind: str, rows: NDArray[Any], target: NDArray[Any], **params: Any) -> bytes:
    import catboost

    settings = {"iterations": 12, "depth": 4, "verbose": 0, "thread_count": 1, **params}
    maker = catboost.CatBoostClassifier if kind == "classifier" else catboost.CatBoostRegressor
    model = maker(allow_writing_files=False, **settings).fit(rows, target)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cat.onnx"
        model.save_model(str(path), format="onnx")
        return path.read_bytes()


def _sklearn(estimator: Any, rows: NDArray[Any], target: NDArray[Any], **options: Any) -> bytes:
    import skl2onnx
    import threadpoolctl

    if hasattr(estimator, "predict_proba"):
        options = {"zipmap": False, **options}
    with _quiet(), threadpoolctl.threadpool_limits(1):  # idle OpenMP threads spin
        estimator.fit(rows, target)
        exported = skl2onnx.to_onnx(
            estimator, rows[:1], options={id(estimator): options} if options else None
        )
    return bytes(exported.SerializeToString())


def _ensemble(name: str, **params: Any) -> Any:
    import sklearn.ensemble

    return getattr(sklearn.ensemble, name)(random_state=0, **params)


def _tree(name: str, **params: Any) -> Any:
    import sklearn.tree

    return getattr(sklearn.tree, name)(random_state=0, **params)


def _pipeline(step: str, rows: NDArray[Any]) -> bytes:
    import sklearn.impute
    import sklearn.pipeline
    import sklearn.preprocessing

    steps = {
        "scale": sklearn.preprocessing.StandardScaler,
        "impute": sklearn.impute.SimpleImputer,
    }
    last = _ensemble("RandomForestClassifier", n_estimators=8, max_depth=6)
    return _sklearn(sklearn.pipeline.make_pipeline(steps[step](), last), rows, TWO)


def _own_entries() -> dict[str, Entry]:
    binary, holes = {"objective": "binary"}, HOLES
    deep = {**binary, "num_leaves": 200, "min_data_in_leaf": 1, "rounds": 8}
    makes: dict[str, Make] = {
        "ours_binary_small": lambda: _ours(X, TWO, **binary, num_leaves=7),
        "ours_binary_31": lambda: _ours(X, TWO, **binary, rounds=60),
        "ours_binary_64": lambda: _ours(X, TWO, **binary, num_leaves=64, min_data_in_leaf=2),
        "ours_binary_deep": lambda: _ours(X, TWO, **deep),
        "ours_binary_holes": lambda: _ours(holes, TWO, **binary),
        "ours_binary_zeros": lambda: _ours(ZEROS, TWO, **binary, zero_as_missing=True),
        "ours_binary_no_missing": lambda: _ours(holes, TWO, **binary, use_missing=False),
        "ours_binary_categories": lambda: _ours(holes, TWO, **binary, categories=[4, 5]),
        "ours_regression": lambda: _ours(X, SIGNAL, objective="regression"),
        "ours_poisson_holes": lambda: _ours(holes, COUNTS, objective="poisson"),
    }
    return {name: Entry(make, own=True) for name, make in makes.items()}


def _boosted_entries() -> dict[str, Entry]:
    classes, counts = "classifier", {"objective": "poisson"}
    return {
        "lightgbm_binary": Entry(lambda: _lightgbm(classes, X, TWO)),
        "lightgbm_binary_holes": Entry(lambda: _lightgbm(classes, HOLES, TWO, num_leaves=64)),
        "lightgbm_binary_categories": Entry(lambda: _lightgbm(classes, X, TWO, categories=[4, 5])),
        "lightgbm_multiclass_0": Entry(lambda: _lightgbm(classes, X, THREE), 0),
        "lightgbm_multiclass_2": Entry(lambda: _lightgbm(classes, HOLES, THREE), 2),
        "lightgbm_regression": Entry(lambda: _lightgbm("regressor", HOLES, SIGNAL)),
        "lightgbm_regression_split": Entry(lambda: _lightgbm("regressor", X, SIGNAL, split=4)),
        "lightgbm_poisson": Entry(lambda: _lightgbm("regressor", X, COUNTS, **counts)),
        "xgboost_binary": Entry(lambda: _xgboost("XGBClassifier", X, TWO)),
        "xgboost_binary_deep": Entry(lambda: _xgboost("XGBClassifier", X, TWO, max_depth=12)),
        "xgboost_binary_holes": Entry(lambda: _xgboost("XGBClassifier", HOLES, TWO, max_depth=6)),
        "xgboost_multiclass_1": Entry(lambda: _xgboost("XGBClassifier", HOLES, THREE), 1),
        "xgboost_forest": Entry(lambda: _xgboost("XGBRFClassifier", X, TWO)),
        "xgboost_regression": Entry(lambda: _xgboost("XGBRegressor", HOLES, SIGNAL)),
        "xgboost_poisson": Entry(
            lambda: _xgboost("XGBRegressor", X, COUNTS, objective="count:poisson")
        ),
        "catboost_binary": Entry(lambda: _catboost(classes, X, TWO)),
        "catboost_binary_holes": Entry(lambda: _catboost(classes, HOLES, TWO, depth=6)),
        "catboost_binary_depth_8": Entry(lambda: _catboost(classes, X, TWO, depth=8)),
        "catboost_multiclass_2": Entry(lambda: _catboost(classes, X, THREE), 2),
        "catboost_regression": Entry(lambda: _catboost("regressor", HOLES, SIGNAL)),
        "catboost_poisson": Entry(
            lambda: _catboost("regressor", X, COUNTS, loss_function="Poisson")
        ),
    }


def _sklearn_entries() -> dict[str, Entry]:
    def entry(name: str, rows: NDArray[Any], target: NDArray[Any], **params: Any) -> Entry:
        chosen = 1 if len(np.unique(target)) == 3 else None
        options = {"raw_scores": True} if params.pop("raw", False) else {}
        return Entry(lambda: _sklearn(_ensemble(name, **params), rows, target, **options), chosen)

    few, boosted = {"n_estimators": 8}, "GradientBoostingClassifier"
    bag, hist = "BaggingClassifier", "HistGradientBoosting"
    stump = _tree("DecisionTreeClassifier", max_depth=3)
    return {
        "tree": Entry(lambda: _sklearn(_tree("DecisionTreeClassifier"), X, TWO)),
        "tree_regressor": Entry(lambda: _sklearn(_tree("DecisionTreeRegressor"), X, SIGNAL)),
        "forest": entry("RandomForestClassifier", X, TWO, **few, max_depth=6),
        "forest_deep": entry("RandomForestClassifier", X, TWO, **few),
        "forest_multiclass": entry("RandomForestClassifier", X, THREE, **few),
        "forest_regressor": entry("RandomForestRegressor", X, SIGNAL, **few),
        "extra_trees": entry("ExtraTreesClassifier", X, TWO, **few, max_depth=8),
        "extra_trees_regressor": entry("ExtraTreesRegressor", X, SIGNAL, **few),
        "boosted": entry(boosted, X, TWO, n_estimators=12),
        "boosted_exponential": entry(boosted, X, TWO, **few, loss="exponential"),
        "boosted_raw": entry(boosted, X, TWO, **few, raw=True),
        "boosted_multiclass": entry(boosted, X, THREE, **few),
        "boosted_regressor": entry("GradientBoostingRegressor", X, SIGNAL, **few, max_depth=6),
        "histogram": entry(f"{hist}Classifier", HOLES, TWO, max_iter=12),
        "histogram_multiclass": entry(f"{hist}Classifier", HOLES, THREE, max_iter=8),
        "histogram_regressor": entry(f"{hist}Regressor", HOLES, SIGNAL, max_iter=12),
        "histogram_poisson": entry(f"{hist}Regressor", HOLES, COUNTS, max_iter=8, loss="poisson"),
        "bagging": entry(bag, X, TWO, estimator=stump, n_estimators=4),
        "adaboost": entry("AdaBoostClassifier", X, TWO, estimator=stump, n_estimators=4),
        "pipeline_scale": Entry(lambda: _pipeline("scale", X)),
        "pipeline_impute": Entry(lambda: _pipeline("impute", HOLES)),
    }


SHELF: dict[str, Entry] = {**_own_entries(), **_boosted_entries(), **_sklearn_entries()}
"""The models by name: who trained it, what for, and what is special about it."""
