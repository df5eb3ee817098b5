"""Trees scored natively give ONNX Runtime's scores, for the exports of every trainer."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

for needed in ("catboost", "lightgbm", "onnx", "onnxmltools", "skl2onnx", "xgboost"):
    pytest.importorskip(needed)

from native_shelf import HOLES, SHELF, WIDTH, X  # noqa: E402

from propense import _core  # noqa: E402
from propense.onnx_model.check import hostile_kinds  # noqa: E402
from propense.runtime import initialise  # noqa: E402

initialise()

FALLS_BACK = {
    "adaboost": "ArgMax",  # joins what each tree thinks most likely, not its probabilities
}
BATCHES = (1, 2, 63, 64, 65, 1_000)


@cache
def _model(name: str) -> bytes:
    return SHELF[name].model()


def _thresholds(model: bytes) -> dict[int, NDArray[np.float32]]:
    """Give, per feature, what the trees compare it with."""
    import onnx
    from onnx import helper

    found: dict[int, set[float]] = {}
    for node in onnx.load_model_from_string(model).graph.node:
        if not node.op_type.startswith("TreeEnsemble"):
            continue
        lists = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        modes, features = lists["nodes_modes"], lists["nodes_featureids"]
        for mode, feature, value in zip(modes, features, lists["nodes_values"], strict=True):
            if mode != b"LEAF":
                found.setdefault(feature, set()).add(value)
    most = float(np.finfo(np.float32).max)  # has no float above it; rows of kind "huge" are on it
    return {
        feature: np.array(sorted(value for value in values if abs(value) < most), np.float32)
        for feature, values in found.items()
    }


def _rows(model: bytes) -> NDArray[np.float32]:
    """Give real rows, hostile ones and every threshold with the floats to either side of it."""
    kinds = hostile_kinds(np.concatenate([X, HOLES]), seed=3, thresholds=_thresholds(model))
    rng = np.random.default_rng(5)
    odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 1e-45, 3.4e38, -3.4e38, 12.5, -1.0]
    mixed = np.where(rng.random((400, WIDTH)) < 0.5, rng.choice(odd, (400, WIDTH)), X[:400])
    return np.concatenate([*kinds.values(), mixed.astype(np.float32)])


@pytest.mark.parametrize("name", [name for name in SHELF if name not in FALLS_BACK])
def test_native_scores_are_those_of_onnx_runtime(name: str) -> None:
    model = _model(name)
    native, other = _core.OnnxModel(model, WIDTH), _core.OnnxModel(model, WIDTH, native=False)
    assert native.native, native.engine
    assert not other.native
    rows = _rows(model)
    got, expected = native.score(rows), other.score(rows)
    worst = np.abs(got.astype(np.float64) - expected).max()
    assert worst <= 1e-6, (native.engine, worst)
    assert np.ptp(got) > 0.02


@pytest.mark.parametrize("name", [name for name in SHELF if name not in FALLS_BACK])
def test_a_row_has_the_same_bits_in_every_batch(name: str) -> None:
    model = _model(name)
    native = _core.OnnxModel(model, WIDTH)
    rows = _rows(model)[-1_300:]
    whole = native.score(rows).view(np.uint32)
    for size in BATCHES:
        starts = range(0, len(rows) if size > 1 else 200, size)
        parts = [native.score(rows[start : start + size]).view(np.uint32) for start in starts]
        got = np.concatenate(parts)
        assert (got == whole[: len(got)]).all(), size


@pytest.mark.parametrize("name", FALLS_BACK)
def test_what_is_not_known_to_be_exact_says_why(name: str) -> None:
    model = _core.OnnxModel(_model(name), WIDTH)
    assert not model.native
    assert FALLS_BACK[name] in model.engine
    assert np.isfinite(model.score(X)).all()


def test_the_shelf_is_large_and_nearly_all_of_it_native() -> None:
    assert len(SHELF) >= 40
    assert len(SHELF) - len(FALLS_BACK) >= 36
