"""Turns an ONNX model of any trainer into the canonical one: ``features`` in, ``score`` out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from propense.exceptions import ModelError
from propense.onnx_model.check import raw_output
from propense.onnx_model.foreign_graph import Output, cut_at, feature_input, find_output
from propense.onnx_model.foreign_reader import read_foreign

if TYPE_CHECKING:
    import onnx

Kind: TypeAlias = Literal["probability", "value"]

PROBABILITY_MARGIN = 2.0**-23
"""How far probabilities are kept from 0 and 1 before their logit is taken; exact in float32."""

_PROBE_ROWS = 64


@dataclass(frozen=True)
class Canonical:
    """A model with input ``features`` float32 [N, width] and output ``score`` float32 [N].

    ``kind`` says whether the score is a probability as it stands or a value to be calibrated;
    ``source`` names the exporter and the operators.
    """

    model: onnx.ModelProto
    kind: Kind
    source: str


def canonical(
    source: bytes | str | Path,
    *,
    width: int,
    positive_class: int | str | None = None,
    output: str | None = None,
) -> Canonical:
    """Give the canonical form of an ONNX file or its bytes.

    Label outputs and ZipMap are dropped, the column of the positive class is taken, and a
    regressor's output is left as it is. Unused nodes and initializers are gone.

    Parameters
    ----------
    source : bytes, str or Path
        The file's content or its path.
    width : int
        The number of feature columns.
    positive_class : int or str, optional
        The class whose probability is the score; by default 1, as the last of two classes. Where
        the graph does not tell its classes they are numbered from 0.
    output : str, optional
        The output that holds the score, where several could.

    Raises
    ------
    ModelError
        If the model is refused by :func:`read_foreign`, has another input than float or double
        [N, width], several possible outputs, classes with none chosen, or does not run.
    """
    from onnx import TensorProto, helper

    given = read_foreign(source)
    entry = feature_input(given.graph, width=width)
    found = find_output(given.graph, output=output)
    model = cut_at(given, found.tensor, entry=entry.name, width=width)
    probe = _probe_rows(width)
    raw = raw_output(model.SerializeToString(), probe)
    column, kind = _score_column(raw, found, positive_class)
    graph, tensor = model.graph, model.graph.output[0].name
    if column is not None:
        graph.initializer.append(helper.make_tensor("column", TensorProto.INT64, [1], [column]))
        graph.node.append(helper.make_node("Gather", [tensor, "column"], ["chosen"], axis=1))
        tensor = "chosen"
    if raw.dtype == np.float64:
        graph.node.append(helper.make_node("Cast", [tensor], ["narrow"], to=TensorProto.FLOAT))
        tensor = "narrow"
    graph.initializer.append(helper.make_tensor("rows", TensorProto.INT64, [1], [-1]))
    graph.node.append(helper.make_node("Reshape", [tensor, "rows"], ["score"]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"]))
    _verify(model, probe)
    operators = ", ".join(sorted({node.op_type for node in given.graph.node}))
    maker = f"{given.producer_name} {given.producer_version}".strip() or "unknown exporter"
    maker = maker.splitlines()[0]  # CatBoost adds pages about its build
    return Canonical(model, kind, f"{maker} ({operators})")


def with_calibration(
    model: onnx.ModelProto, kind: Kind, *, slope: float, intercept: float
) -> onnx.ModelProto:
    """Give a copy of a canonical model whose score is ``sigmoid(slope * x + intercept)``.

    For a value, x is the score. For a probability p it is its logit, p being kept
    ``PROBABILITY_MARGIN`` from 0 and 1; NaN stays NaN.

    Raises
    ------
    ModelError
        If slope or intercept is not finite, or the intercept is beyond ±80.
    """
    import onnx
    from onnx import TensorProto, helper

    if not math.isfinite(slope) or not abs(intercept) <= 80:
        raise ModelError(
            f"Calibration has slope {slope} and intercept {intercept}; expected finite numbers and "
            "an intercept within ±80. Check the scores and labels it was fitted on."
        )
    calibrated = onnx.ModelProto()
    calibrated.CopyFrom(model)
    graph = calibrated.graph
    for node in graph.node:
        node.output[:] = ["uncalibrated" if name == "score" else name for name in node.output]

    def number(name: str, value: float) -> None:
        graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, [], [value]))

    number("slope", slope)
    if kind == "value":
        number("intercept", intercept)
        steps = [
            ("Mul", ["uncalibrated", "slope"], "scaled"),
            ("Add", ["scaled", "intercept"], "logit"),
            ("Sigmoid", ["logit"], "score"),
        ]
    else:
        # 1 / (1 + ((1-p)/p)^slope * exp(-intercept)): the same without Log, whose last bit changes
        # in ONNX Runtime with the number of rows.
        number("least", PROBABILITY_MARGIN)
        number("most", 1.0 - PROBABILITY_MARGIN)
        number("one", 1.0)
        number("factor", math.exp(-intercept))
        steps = [
            ("Max", ["uncalibrated", "least"], "raised"),
            ("Min", ["raised", "most"], "kept"),
            ("Sub", ["one", "kept"], "against"),
            ("Div", ["against", "kept"], "odds_against"),
            ("Pow", ["odds_against", "slope"], "power"),
            ("Mul", ["power", "factor"], "calibrated_odds_against"),
            ("Add", ["one", "calibrated_odds_against"], "whole"),
            ("Reciprocal", ["whole"], "score"),
        ]
    graph.node.extend(helper.make_node(kind_, list(ins), [out]) for kind_, ins, out in steps)
    onnx.checker.check_model(calibrated)
    return calibrated


def _probe_rows(width: int) -> NDArray[np.float32]:
    """Give rows of widely different size, so that what is no probability leaves [0, 1]."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(_PROBE_ROWS, width)) * 10.0 ** rng.integers(-2, 6, (_PROBE_ROWS, 1))
    rows[0] = 0.0
    return rows.astype(np.float32)


def _score_column(
    raw: NDArray[Any], found: Output, positive_class: int | str | None
) -> tuple[int | None, Kind]:
    """Give the column to take (None: there is but one) and what it holds, by the probe's answer."""
    place = f"The answer of the ONNX model (tensor {found.tensor!r})"
    if raw.dtype not in (np.float32, np.float64) or raw.ndim > 2 or len(raw) != _PROBE_ROWS:
        raise ModelError(
            f"{place} is {raw.dtype} {list(raw.shape)} for {_PROBE_ROWS} rows; expected float "
            "[N], [N, 1] or a column for each class."
        )
    finite = raw[np.isfinite(raw).reshape(len(raw), -1).all(axis=1)]
    if not len(finite):
        raise ModelError(f"{place} is not finite for any check row, none of which has a NaN.")
    inside = bool(((finite >= -1e-6) & (finite <= 1 + 1e-6)).all())
    columns = raw.shape[1] if raw.ndim == 2 else 1
    if columns == 1:
        if positive_class not in (None, 1, *found.classes[-1:]):
            raise ModelError(f"{place} has one column; class {positive_class!r} cannot be chosen.")
        return None, "probability" if found.classifier and inside else "value"
    shares = inside and bool(np.abs(finite.sum(axis=1) - 1).max() <= 1e-3)
    if not shares and not found.classifier:
        raise ModelError(
            f"{place} has {columns} columns that are no probabilities; expected one value a row."
        )
    column = _class_column(found.classes, columns, positive_class)
    return column, "probability" if shares else "value"


def _class_column(
    classes: tuple[int | str, ...], columns: int, positive_class: int | str | None
) -> int:
    known = classes if len(classes) == columns else tuple(range(columns))
    if positive_class is None and columns == 2 and str(known[1]).lower() in ("1", "true"):
        return 1
    if positive_class is None or positive_class not in known:
        chosen = "none is chosen" if positive_class is None else f"{positive_class!r} is not one"
        raise ModelError(
            f"The ONNX model has the classes {list(known)} and {chosen}. "
            "Name the one to score with positive_class=."
        )
    return known.index(positive_class)


def _verify(model: onnx.ModelProto, probe: NDArray[np.float32]) -> None:
    """Run the standard checker, and the model on many rows and on one."""
    import onnx

    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"The ONNX model is not valid: {error}. Export it again.") from error
    for rows in (probe, probe[:1]):
        scores = raw_output(model.SerializeToString(), rows)
        if scores.shape != (len(rows),):
            raise ModelError(f"The ONNX model gives {scores.shape} for {len(rows)} rows.")
