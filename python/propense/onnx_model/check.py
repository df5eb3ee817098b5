"""Compares an ONNX model with its origin on real rows and on rows made to tell them apart."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from propense.exceptions import ModelError
from propense.onnx_model.lightgbm_export import thresholds as lightgbm_thresholds

if TYPE_CHECKING:
    import lightgbm

Matrix: TypeAlias = NDArray[np.float32]

TOLERANCE = 1e-6
"""How far a score may lie from the one it stands for."""

_REAL_ROWS = 2_000
_BASE_ROWS = 50
_MOST_THRESHOLDS = 4_000
_BATCH_ROWS = 65_536
_ZERO = 1e-35  # what LightGBM takes for zero; 1e-40 is denormal


def hostile_rows(
    X: NDArray[Any], *, seed: int, thresholds: Mapping[int, NDArray[Any]] | None = None
) -> Matrix:
    """Give the rows of all kinds of :func:`hostile_kinds`, one kind after another."""
    return np.concatenate(list(hostile_kinds(X, seed=seed, thresholds=thresholds).values()))


def hostile_kinds(
    X: NDArray[Any], *, seed: int, thresholds: Mapping[int, NDArray[Any]] | None = None
) -> dict[str, Matrix]:
    """Give check rows by kind, each made from real rows by overwriting columns.

    Parameters
    ----------
    X : array [N, width]
        Real rows, N at least 1; NaN is missing.
    seed : int
        Chooses the rows; the same seed gives the same bits.
    thresholds : mapping of column to float32 array, optional
        Where trees split; each gives a row on it and one a float32 to either side. At most 4,000
        are taken, by the seed.

    Returns
    -------
    dict of str to float32 array [n, width]
        ``real``, ``nan``, ``inf``, ``unseen_codes``, ``huge``, ``zeros`` and ``thresholds``.

    Raises
    ------
    ModelError
        If ``X`` has no rows or columns.
    """
    if X.ndim != 2 or 0 in X.shape:
        raise ModelError(f"Check rows need real rows; got an array of shape {X.shape}.")
    rng = np.random.default_rng(seed)
    real = X[rng.permutation(len(X))[:_REAL_ROWS]].astype(np.float32)
    most = float(np.finfo(np.float32).max)
    codes = _code_columns(real)
    every = np.arange(real.shape[1])
    beyond = float(np.nanmax(real[:, codes], initial=0)) + 1
    unseen = [beyond, -1.0, -0.5, 0.5, 2.7, 1e6, 2.0**31, 1e10]
    return {
        "real": real,
        "nan": _overwritten(real, every, [np.nan], rng),
        "inf": _overwritten(real, every, [np.inf, -np.inf], rng),
        "unseen_codes": _overwritten(real, codes, unseen, rng),
        "huge": _overwritten(real, every, [1e30, -1e30, most, -most], rng),
        "zeros": _overwritten(real, every, [0.0, -0.0, 1e-40, -1e-40, _ZERO, -_ZERO], rng),
        "thresholds": _around(real, thresholds or {}, rng),
    }


def run_onnxruntime(model_bytes: bytes, X: NDArray[Any]) -> NDArray[np.float32]:
    """Give the scores, float32 [N], that plain ONNX Runtime computes on one thread.

    Raises
    ------
    ModelError
        If ONNX Runtime cannot load or run the model, or it gives another number of scores.
    """
    scores = raw_output(model_bytes, X).reshape(-1)
    if len(scores) != len(X):
        raise ModelError(f"The model gave {len(scores)} scores for {len(X)} rows.")
    return scores.astype(np.float32, copy=False)


def raw_output(model_bytes: bytes, X: NDArray[Any]) -> NDArray[Any]:
    """Give the first output of a model of one float32 input, in the shape and dtype it has.

    Raises
    ------
    ModelError
        If ONNX Runtime cannot load or run the model.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when the library loads
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    rows = np.ascontiguousarray(X, np.float32)
    try:
        session = onnxruntime.InferenceSession(
            model_bytes, options, providers=["CPUExecutionProvider"]
        )
        name = session.get_inputs()[0].name
        parts = [
            np.asarray(session.run(None, {name: rows[start : start + _BATCH_ROWS]})[0])
            for start in range(0, max(len(rows), 1), _BATCH_ROWS)
        ]
        return np.concatenate(parts)
    except Exception as error:  # its exceptions share no public base
        raise ModelError(f"ONNX Runtime cannot run the model: {error}") from error


def compare(
    expected: NDArray[np.float64], got: NDArray[Any], *, tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Give ``rows``, ``max_abs_difference``, ``worst_row`` and ``within_tolerance``.

    NaN equals NaN; NaN on one side only is an infinite difference. No rows: difference 0, row -1.

    Raises
    ------
    ModelError
        If the two differ in shape.
    """
    if expected.shape != got.shape:
        raise ModelError(f"Expected scores of shape {expected.shape}; got {got.shape}.")
    if expected.size == 0:
        return {"rows": 0, "max_abs_difference": 0.0, "worst_row": -1, "within_tolerance": True}
    wrong = got.astype(np.float64)
    same = (expected == wrong) | (np.isnan(expected) & np.isnan(wrong))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(expected - wrong))
    difference = np.where(np.isnan(difference), np.inf, difference)
    worst = int(difference.argmax())
    return {
        "rows": len(difference),
        "max_abs_difference": float(difference[worst]),
        "worst_row": worst,
        "within_tolerance": bool(difference[worst] <= tolerance),
    }


def check_lightgbm(
    boosters: Sequence[lightgbm.Booster],
    slope: float,
    intercept: float,
    model_bytes: bytes,
    X: NDArray[Any],
    *,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> dict[str, Any]:
    """Give the record of an exported model compared with LightGBM, by kind of row.

    Returns
    -------
    dict
        ``tolerance`` and, under ``kinds``, what :func:`compare` gives for each kind of
        :func:`hostile_kinds`; JSON-serialisable.

    Raises
    ------
    ModelError
        If any kind differs by more than ``tolerance``.
    """
    kinds: dict[str, dict[str, Any]] = {}
    checks = hostile_kinds(X, seed=seed, thresholds=lightgbm_thresholds(boosters))
    for kind, rows in checks.items():
        if not len(rows):
            kinds[kind] = compare(np.empty(0), np.empty(0))
            continue
        raw = np.mean([booster.predict(rows, raw_score=True) for booster in boosters], axis=0)
        expected = _sigmoid(slope * raw + intercept)
        kinds[kind] = compare(expected, run_onnxruntime(model_bytes, rows), tolerance=tolerance)
    failed = {kind: record for kind, record in kinds.items() if not record["within_tolerance"]}
    if failed:
        kind, record = max(failed.items(), key=lambda item: item[1]["max_abs_difference"])
        raise ModelError(
            f"The ONNX model differs from LightGBM by {record['max_abs_difference']:.3g} on "
            f"{kind} rows; at most {tolerance:g} is accepted. Use other training parameters."
        )
    return {"tolerance": tolerance, "kinds": kinds}


def _sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-logit)), np.float64)


def _code_columns(real: Matrix) -> NDArray[np.intp]:
    """Give the columns that hold small whole numbers only, or all columns if there are none."""
    known = np.isfinite(real)
    whole = ~known | ((real == np.round(real)) & (np.abs(real) <= 1_000))
    columns = np.flatnonzero(whole.all(axis=0) & known.any(axis=0))
    return columns if len(columns) else np.arange(real.shape[1])


def _overwritten(
    real: Matrix, columns: NDArray[np.intp], values: Sequence[float], rng: np.random.Generator
) -> Matrix:
    """Put each value into every column at once, into each alone, and all values in at random."""
    blocks = []
    for value in values:
        together, alone = real[:_BASE_ROWS].copy(), real[rng.integers(len(real), size=len(columns))]
        together[:, columns] = value
        alone[np.arange(len(columns)), columns] = value
        blocks += [together, alone]
    mixed = real[rng.integers(len(real), size=4 * _BASE_ROWS)]
    drawn = rng.choice(np.array(values, np.float32), (len(mixed), len(columns)))
    hit = rng.random(drawn.shape) < 0.3
    mixed[:, columns] = np.where(hit, drawn, mixed[:, columns])
    return np.concatenate([*blocks, mixed])


def _around(
    real: Matrix, thresholds: Mapping[int, NDArray[Any]], rng: np.random.Generator
) -> Matrix:
    """Give rows with one column on a threshold, one float32 below it and one above."""
    pairs = [(column, value) for column in thresholds for value in thresholds[column]]
    chosen = [pairs[place] for place in rng.permutation(len(pairs))[:_MOST_THRESHOLDS]]
    rows = np.repeat(real[rng.integers(len(real), size=len(chosen))], 3, axis=0)
    for place, (column, value) in enumerate(chosen):
        on = np.float32(value)
        below, above = np.nextafter(on, np.float32(-np.inf)), np.nextafter(on, np.float32(np.inf))
        rows[3 * place : 3 * place + 3, column] = (below, on, above)
    return rows
