"""ONNX models of other trainers keep their scores when brought into canonical form."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnx")

from propense.exceptions import ModelError
from propense.onnx_model.check import run_onnxruntime
from propense.onnx_model.foreign import Canonical, canonical, with_calibration

WIDTH = 5
_RNG = np.random.default_rng(4)
X = _RNG.normal(size=(600, WIDTH)).astype(np.float32)
SIGNAL = X[:, 0] + X[:, 1] * X[:, 2] + 0.3 * _RNG.normal(size=600)
Y = (SIGNAL > 0).astype(int)
Made = tuple[bytes, NDArray[Any], str]


def _sklearn(estimator: Any, target: Any, **options: Any) -> Made:
    skl2onnx = pytest.importorskip("skl2onnx")
    estimator.fit(X, target)
    with warnings.catch_warnings():  # as errors, numpy's deprecations stop protobuf
        warnings.simplefilter("ignore")
        model = skl2onnx.to_onnx(estimator, X[:1], options=options or None)
    if hasattr(estimator, "predict_proba"):
        return model.SerializeToString(), estimator.predict_proba(X)[:, -1], "probability"
    return model.SerializeToString(), estimator.predict(X), "value"


def _logistic(**options: Any) -> Made:
    linear = pytest.importorskip("sklearn.linear_model")
    return _sklearn(linear.LogisticRegression(), Y, **options)


def _pipeline() -> Made:
    linear = pytest.importorskip("sklearn.linear_model")
    pipeline = pytest.importorskip("sklearn.pipeline")
    scaler = pytest.importorskip("sklearn.preprocessing").StandardScaler()
    return _sklearn(pipeline.make_pipeline(scaler, linear.LogisticRegression()), Y, zipmap=True)


def _forest(**options: Any) -> Made:
    ensemble = pytest.importorskip("sklearn.ensemble")
    return _sklearn(ensemble.RandomForestClassifier(20, random_state=0), Y, **options)


def _histogram(**options: Any) -> Made:
    ensemble = pytest.importorskip("sklearn.ensemble")
    return _sklearn(ensemble.HistGradientBoostingClassifier(max_iter=20), Y, **options)


def _boosted_regressor() -> Made:
    ensemble = pytest.importorskip("sklearn.ensemble")
    return _sklearn(ensemble.GradientBoostingRegressor(n_estimators=20), SIGNAL)


def _linear_regressor() -> Made:
    return _sklearn(pytest.importorskip("sklearn.linear_model").Ridge(), SIGNAL)


def _typed() -> list[tuple[str, Any]]:
    types = pytest.importorskip("onnxmltools.convert.common.data_types")
    return [("input", types.FloatTensorType([None, WIDTH]))]


def _xgboost(*, regressor: bool) -> Made:
    xgboost = pytest.importorskip("xgboost")
    tools = pytest.importorskip("onnxmltools")
    if regressor:
        model = xgboost.XGBRegressor(n_estimators=20, n_jobs=1).fit(X, SIGNAL)
    else:
        model = xgboost.XGBClassifier(n_estimators=20, n_jobs=1).fit(X, Y)
    data = tools.convert_xgboost(model, initial_types=_typed()).SerializeToString()
    if regressor:
        return data, model.predict(X), "value"
    return data, model.predict_proba(X)[:, 1], "probability"


def _lightgbm(*, zipmap: bool) -> Made:
    lightgbm = pytest.importorskip("lightgbm")
    tools = pytest.importorskip("onnxmltools")
    model = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1).fit(X, Y)
    data = tools.convert_lightgbm(model, initial_types=_typed(), zipmap=zipmap)
    proba = model.predict_proba(X)[:, 1]
    return data.SerializeToString(), proba, "probability"


def _catboost(folder: Path, target: Any, *, regressor: bool = False) -> Made:
    catboost = pytest.importorskip("catboost")
    maker = catboost.CatBoostRegressor if regressor else catboost.CatBoostClassifier
    model = maker(iterations=20, verbose=0, allow_writing_files=False, thread_count=1)
    model.fit(X, target).save_model(str(folder / "cat.onnx"), format="onnx")
    data = (folder / "cat.onnx").read_bytes()
    if regressor:
        return data, model.predict(X), "value"
    return data, model.predict_proba(X)[:, 1], "probability"


SHELF: dict[str, Callable[[Path], Made]] = {
    "logistic": lambda _: _logistic(zipmap=False),
    "logistic_zipmap": lambda _: _logistic(zipmap=True),
    "pipeline_zipmap": lambda _: _pipeline(),
    "forest": lambda _: _forest(zipmap=False),
    "forest_zipmap": lambda _: _forest(zipmap=True),
    "histogram": lambda _: _histogram(zipmap=False),
    "histogram_zipmap": lambda _: _histogram(zipmap=True),
    "boosted_regressor": lambda _: _boosted_regressor(),
    "linear_regressor": lambda _: _linear_regressor(),
    "xgboost_classifier": lambda _: _xgboost(regressor=False),
    "xgboost_regressor": lambda _: _xgboost(regressor=True),
    "lightgbm": lambda _: _lightgbm(zipmap=False),
    "lightgbm_zipmap": lambda _: _lightgbm(zipmap=True),
    "catboost_classifier": lambda folder: _catboost(folder, Y),
    "catboost_regressor": lambda folder: _catboost(folder, SIGNAL, regressor=True),
}


def _scores(taken: Canonical) -> NDArray[np.float32]:
    return run_onnxruntime(taken.model.SerializeToString(), X)


def _logistic_of(z: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(1 / (1 + np.exp(-np.asarray(z, np.float64))))


@pytest.mark.parametrize("name", SHELF)
def test_canonical_and_calibrated_scores_equal_the_trainers_own(name: str, tmp_path: Path) -> None:
    data, expected, kind = SHELF[name](tmp_path)
    taken = canonical(data, width=WIDTH)
    graph = taken.model.graph
    assert taken.kind == kind
    assert [item.name for item in graph.input] == ["features"]
    assert [item.name for item in graph.output] == ["score"]
    assert not {node.op_type for node in graph.node} & {"ZipMap"}
    assert np.abs(_scores(taken) - expected).max() < 2e-6

    model = with_calibration(taken.model, taken.kind, slope=0.7, intercept=-1.1)
    got = run_onnxruntime(model.SerializeToString(), X)
    kept = np.clip(np.asarray(expected, np.float64), 2.0**-23, 1 - 2.0**-23)
    value = expected if kind == "value" else np.log(kept / (1 - kept))
    assert np.abs(got - _logistic_of(0.7 * value - 1.1)).max() < 2e-6
    alone = [run_onnxruntime(model.SerializeToString(), X[row : row + 1])[0] for row in range(40)]
    if "Scaler" not in taken.source and "Linear" not in taken.source:
        assert (np.array(alone) == got[:40]).all()


def test_calibration_of_certain_probabilities_stays_finite_and_ordered() -> None:
    taken = canonical(_identity_sigmoid(), width=1)
    certain = np.array([[-1e4], [-20.0], [-1.0], [0.0], [1.0], [20.0], [1e4]], np.float32)
    for slope, intercept in ((1.0, 0.0), (0.2, 5.0), (30.0, -80.0), (8.0, 80.0)):
        model = with_calibration(taken.model, "probability", slope=slope, intercept=intercept)
        got = run_onnxruntime(model.SerializeToString(), certain)
        p = np.clip(_logistic_of(np.clip(certain[:, 0], -50, 50)), 2.0**-23, 1 - 2.0**-23)
        expected = _logistic_of(slope * np.log(p / (1 - p)) + intercept)
        assert np.abs(got - expected).max() < 2e-6
        assert (np.diff(got) >= 0).all()


def _identity_sigmoid() -> bytes:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Sigmoid", ["score"], ["features"])],
        "names that collide with the canonical ones",
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def test_double_models_are_narrowed() -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    linear = pytest.importorskip("sklearn.linear_model")
    estimator = linear.LogisticRegression().fit(X, Y)
    data = skl2onnx.to_onnx(estimator, X[:1].astype(float), options={"zipmap": False})
    assert data.graph.input[0].type.tensor_type.elem_type == 11
    taken = canonical(data.SerializeToString(), width=WIDTH)
    assert np.abs(_scores(taken) - estimator.predict_proba(X)[:, 1]).max() < 1e-6


def test_the_named_class_is_the_one_scored(tmp_path: Path) -> None:
    three = np.where(SIGNAL > 0.5, "gold", np.where(SIGNAL > -0.5, "dull", "tin"))
    linear = pytest.importorskip("sklearn.linear_model")
    data, _, _ = _sklearn(linear.LogisticRegression(), three, zipmap=False)
    with pytest.raises(ModelError, match=r"\['dull', 'gold', 'tin'\] and none is chosen"):
        canonical(data, width=WIDTH)
    with pytest.raises(ModelError, match="'silver' is not one"):
        canonical(data, width=WIDTH, positive_class="silver")
    expected = linear.LogisticRegression().fit(X, three).predict_proba(X)
    for column, name in enumerate(("dull", "gold", "tin")):
        taken = canonical(data, width=WIDTH, positive_class=name)
        assert taken.kind == "probability"
        assert np.abs(_scores(taken) - expected[:, column]).max() < 1e-6

    names = np.where(Y == 1, "buys", "idle")
    data, idle, _ = _catboost(tmp_path, names)
    with pytest.raises(ModelError, match="none is chosen"):
        canonical(data, width=WIDTH)
    scores = _scores(canonical(data, width=WIDTH, positive_class="buys"))
    assert np.abs(scores - (1 - idle)).max() < 2e-6


def test_classes_1_and_2_have_no_default() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    data, expected, _ = _sklearn(linear.LogisticRegression(), Y + 1, zipmap=True)
    with pytest.raises(ModelError, match=r"classes \[1, 2\] and none is chosen"):
        canonical(data, width=WIDTH)
    assert np.abs(_scores(canonical(data, width=WIDTH, positive_class=2)) - expected).max() < 1e-6


def test_a_column_for_each_class_is_chosen_by_name() -> None:
    data, expected, _ = _logistic(zipmap="columns")
    with pytest.raises(ModelError, match="Name it with output="):
        canonical(data, width=WIDTH)
    taken = canonical(data, width=WIDTH, output="i1")
    assert taken.kind == "probability"
    assert np.abs(_scores(taken) - expected).max() < 1e-6


def test_raw_scores_of_a_classifier_are_a_value() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    data, _, _ = _sklearn(linear.LogisticRegression(), Y, zipmap=False, raw_scores=True)
    taken = canonical(data, width=WIDTH)
    raw = linear.LogisticRegression().fit(X, Y).decision_function(X)
    assert taken.kind == "value"
    assert np.abs(_scores(taken) - raw).max() < 1e-5


def test_a_path_is_read_and_what_is_unused_is_gone(tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    model = onnx.load_model_from_string(_identity_sigmoid())
    model.graph.initializer.append(helper.make_tensor("unused", 1, [3], [1.0, 2.0, 3.0]))
    model.graph.node.append(helper.make_node("Neg", ["unused"], ["dead"]))
    path = tmp_path / "mine.onnx"
    path.write_bytes(model.SerializeToString())
    taken = canonical(path, width=1)
    assert {node.op_type for node in taken.model.graph.node} == {"Sigmoid", "Reshape"}
    assert [item.name for item in taken.model.graph.initializer] == ["rows"]
