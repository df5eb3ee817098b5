"""A LightGBM split as a step function over float32, so that its branches can be kept exactly.

LightGBM compares in double precision; the matrix that reaches an ONNX model is float32. Every split
it can make (numerical, zero as missing, category set) is constant on intervals of the float32 line,
so it is written down as interval ends and the side each interval takes, plus the side of NaN.

Source: ``Tree::NumericalDecision`` and ``Tree::CategoricalDecision`` in LightGBM's ``tree.h``, and
its dense prediction path, which replaces every value of magnitude at most 1e-35 by zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from propense.exceptions import ModelError

_ZERO = float(np.float32(1e-35))
"""LightGBM's ``kZeroThreshold``: values up to this magnitude are zero to it."""

_DUMPED_INFINITY = 1e300
"""What LightGBM's JSON dump writes for an infinite threshold."""


@dataclass(frozen=True)
class SplitRule:
    """The side a float32 value takes at a split.

    Value ``x`` goes left if ``left[i]`` for the first ``i`` with ``x <= bounds[i]``, else if
    ``left[-1]``; NaN if ``nan_left``. ``bounds`` ascends strictly, holds float32 values and is
    never empty.
    """

    bounds: tuple[float, ...]
    left: tuple[bool, ...]
    nan_left: bool


def split_rule(node: Mapping[str, Any]) -> SplitRule:
    """Give the step function of one split node of ``Booster.dump_model()``.

    Raises
    ------
    ModelError
        If the split is of a type that LightGBM is not known to make.
    """
    decision, missing = node["decision_type"], node["missing_type"]
    if decision == "==":
        return _categorical([int(code) for code in str(node["threshold"]).split("||")])
    if decision != "<=" or missing not in ("None", "Zero", "NaN"):
        raise ModelError(
            f"LightGBM split {node['split_index']} has decision {decision!r} with missing type "
            f"{missing!r}; expected '<=' or '==' with None, Zero or NaN. Retrain without it."
        )
    threshold = float(node["threshold"])
    if abs(threshold) >= _DUMPED_INFINITY:
        threshold = math.copysign(math.inf, threshold)
    return _numerical(threshold, str(missing), bool(node["default_left"]))


def round_down(value: float) -> float:
    """Give the largest float32 that is at most ``value``.

    Rounding to the nearest could go up, past a float32 that belongs on the other side.
    """
    with np.errstate(over="ignore"):
        nearest = np.float32(value)
    if float(nearest) > value:
        nearest = np.nextafter(nearest, np.float32(-np.inf))
    return float(nearest)


def _below(value: float) -> float:
    """Give the largest float32 that is less than ``value``."""
    return round_down(math.nextafter(value, -math.inf))


def _numerical(threshold: float, missing: str, default_left: bool) -> SplitRule:
    zero_left = default_left if missing == "Zero" else threshold >= 0.0
    bound, negative = round_down(threshold), _below(-_ZERO)
    steps = [
        (min(bound, negative), True),
        (negative, False),
        (_ZERO, zero_left),
        (max(bound, _ZERO), True),
        (math.inf, False),
    ]
    return _rule(steps, nan_left=default_left if missing == "NaN" else zero_left)


def _categorical(codes: list[int]) -> SplitRule:
    # LightGBM truncates towards zero, so 2.7 is code 2 and everything in (-1, 1) is code 0.
    steps: list[tuple[float, bool]] = []
    for code in sorted(codes):
        before = -1.0 if code == 0 else _below(code)
        steps += [(before, False), (_below(code + 1), True)]
    return _rule([*steps, (math.inf, False)], nan_left=False)


def _rule(steps: list[tuple[float, bool]], *, nan_left: bool) -> SplitRule:
    """Drop empty intervals and merge neighbours on the same side; the last step ends at +inf."""
    kept: list[tuple[float, bool]] = []
    for bound, left in steps:
        if kept and bound <= kept[-1][0]:
            continue
        if kept and kept[-1][1] == left:
            kept.pop()
        kept.append((bound, left))
    sides = tuple(left for _, left in kept)
    if len(kept) == 1:  # every number on one side: only NaN can take the other
        return SplitRule((math.inf,), (sides[0], not sides[0]), nan_left)
    return SplitRule(tuple(bound for bound, _ in kept[:-1]), sides, nan_left)
