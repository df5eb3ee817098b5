"""Whether two contenders gave the same answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from propense.bench.contender import Answer


@dataclass(frozen=True)
class Tolerance:
    """How far numbers may differ: ``absolute + relative × |expected|``.

    At most ``share`` of the rows may have a number beyond it: a score can lie on a split's threshold,
    where the last bit of a feature decides.
    """

    relative: float = 1e-5
    absolute: float = 1e-5
    share: float = 0.0
    of: Mapping[str, float] = field(default_factory=dict)
    """Other absolute tolerances, by name of the array."""


def disagreement(expected: Answer, got: Answer, tolerance: Tolerance) -> str | None:
    """Say where two answers differ, or give None.

    Arrays must have the same names and shapes; NaN equals NaN only; what is not floating point must
    be equal.
    """
    if expected.keys() != got.keys():
        return f"it gives {', '.join(got)}; expected {', '.join(expected)}"
    for name, want in expected.items():
        have = got[name]
        if have.shape != want.shape:
            return f"{name} has shape {have.shape}; expected {want.shape}"
        if want.dtype.kind != "f":
            wrong = have != want
        else:
            wide, other = want.astype(np.float64), have.astype(np.float64)
            wrong = ~np.isclose(
                other,
                wide,
                rtol=tolerance.relative,
                atol=tolerance.of.get(name, tolerance.absolute),
                equal_nan=True,
            )
        rows = wrong.reshape(len(wrong), -1).any(axis=1) if len(wrong) else wrong
        if rows.mean() > tolerance.share if len(rows) else False:
            at = np.argwhere(wrong)[0]
            place = tuple(int(i) for i in at)
            return (
                f"{name}{list(place)} is {have[place]}, expected {want[place]}; "
                f"{int(rows.sum()):,} of {len(rows):,} rows differ"
            )
    return None
