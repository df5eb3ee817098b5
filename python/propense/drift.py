"""Drift: how far the spread of a number has moved from what it was at training.

The measure is the population stability index, ``Σ (now − then) · ln(now / then)`` over the bins of a
number: N. Siddiqi, Credit Risk Scorecards (2006), whose reading of it (below 0.1 stable, from 0.25 a
shift) is kept. Few users differ by chance alone: over B bins that have not moved the index of samples
of n and m users is about χ² with B − 1 degrees of freedom, times 1/n + 1/m (B. Yurdakul and
J. Naranjo, Statistical properties of the population stability index, Journal of Risk Model Validation
14(4), 2020). What lies below the 99 % quantile of that is read as stable, however large.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.exceptions import ModelError

COLUMNS = {"of": pl.String, "name": pl.String, "upper": pl.Float32, "share": pl.Float64}
"""Of the reference: ``of`` is ``score`` or ``feature``; a bin ends at ``upper``, in; NaN is missing."""

BINS = 10
STABLE_BELOW, SHIFTED_FROM = 0.1, 0.25
_Z99 = 2.326348
SAMPLE = 20_000
"""Users whose features are looked at; more make the shares no better."""


def described(of: str, names: Sequence[str], matrix: NDArray[np.float32]) -> pl.DataFrame:
    """Describe the spread of each column of a matrix by its own tenths.

    Parameters
    ----------
    of
        ``score`` or ``feature``.
    names
        One a column.
    matrix
        Float32 of shape (n, len(names)), n at least 1; NaN is missing and has a bin of its own.
    """
    parts = []
    for name, column in zip(names, matrix.T, strict=True):
        upper = _tenths(column)
        parts.append(
            pl.DataFrame(
                {"of": of, "name": name, "upper": np.append(upper, np.float32(np.nan))},
                schema_overrides={"upper": pl.Float32},
            ).with_columns(pl.Series("share", _shares(column, upper)))
        )
    return pl.concat([pl.DataFrame(schema=COLUMNS), *parts])


def moved(
    reference: pl.DataFrame,
    of: str,
    names: Sequence[str],
    matrix: NDArray[np.float32],
    users_then: int,
) -> pl.DataFrame:
    """Compare each column of a matrix with its spread at training.

    Parameters
    ----------
    reference
        The spread at training, by :func:`described`.
    of, names, matrix
        As in :func:`described`, now.
    users_then
        How many users the reference was made of.

    Returns
    -------
    polars.DataFrame
        One row a column, the most moved first: ``name``, ``stability`` (the index, 0 or more),
        ``chance`` (what chance alone exceeds once in a hundred), ``reading`` (``stable``, ``moved`` or
        ``shifted``), ``missing_then``, ``missing_now`` (shares).

    Raises
    ------
    ModelError
        The reference lacks a column.
    """
    rows = []
    known = reference.filter(of=of).partition_by("name", as_dict=True, maintain_order=True)
    for name, column in zip(names, matrix.T, strict=True):
        if (name,) not in known:
            raise ModelError(f"the model's reference says nothing of the {of} {name!r}")
        bins = known[(name,)]
        then, upper = bins["share"].to_numpy(), bins["upper"].to_numpy()[:-1]
        now = _shares(column, upper)
        index = stability(then, now, len(column))
        bins_in_use = int(((then > 0) | (now > 0)).sum())
        chance = by_chance(bins_in_use, users_then, len(column))
        word = reading(index, chance)
        rows.append((name, index, chance, word, float(then[-1]), float(now[-1])))
    columns = ("name", "stability", "chance", "reading", "missing_then", "missing_now")
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    return frame.sort("stability", descending=True, maintain_order=True)


def stability(then: NDArray[np.float64], now: NDArray[np.float64], users: int) -> float:
    """Give the population stability index of two spreads over the same bins.

    A bin that is empty on one side counts as half a user of those seen now, as its logarithm would
    be infinite.
    """
    least = 0.5 / max(users, 1)
    then, now = np.maximum(then, least), np.maximum(now, least)
    return float(np.sum((now - then) * np.log(now / then)))


def by_chance(bins: int, then: int, now: int) -> float:
    """Give the index that chance alone exceeds once in a hundred, for so many bins and users.

    The quantile of χ² is that of E. B. Wilson and M. M. Hilferty (1931), within 1 % of the exact one.
    """
    freedom = bins - 1
    if freedom < 1:
        return 0.0
    spread = 2 / (9 * freedom)
    quantile: float = freedom * (1 - spread + _Z99 * spread**0.5) ** 3
    return quantile * (1 / max(then, 1) + 1 / max(now, 1))


def looked_at(users: int) -> int:
    """Give how many of so many users evenly spaced ones are, at most 20,000: every k-th."""
    return -(-users // -(-users // SAMPLE))


def reading(index: float, chance: float) -> str:
    """Give the index in a word, next to what chance alone may do."""
    if index < STABLE_BELOW or index <= chance:
        return "stable"
    return "moved" if index < SHIFTED_FROM else "shifted"


def _tenths(column: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the upper ends of up to ten bins; the last is infinite."""
    present = column[~np.isnan(column)]
    if not len(present):
        return np.asarray([np.inf], np.float32)
    levels = np.arange(1, BINS) / BINS
    cuts = np.unique(np.quantile(present, levels, method="inverted_cdf"))
    inner = cuts[cuts < present.max()]
    return np.append(inner, np.inf).astype(np.float32)


def _shares(column: NDArray[np.float32], upper: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give the share of a column in each bin, the missing last."""
    missing = np.isnan(column)
    places = np.where(missing, len(upper), np.searchsorted(upper, column, side="left"))
    counts = np.bincount(places, minlength=len(upper) + 1)
    return counts / max(len(column), 1)
