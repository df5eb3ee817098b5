"""Groups of users by protected attributes: values, bands of numbers, and pairs of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.exceptions import DataError

MISSING = "(missing)"
MOST_GROUPS = 200
NUMBERS_AS_VALUES = 10
"""Numbers with at most so many different values are groups of their own; others are cut in bands."""
_BANDS = 4
_EXACT_BELOW = 2.0**53

Edges = Sequence[float] | None


@dataclass(frozen=True)
class Grouping:
    """Each user's group by one attribute or by a pair.

    Attributes
    ----------
    by
        The attribute, or two joined by ×.
    names
        Names of the groups.
    codes
        Places in ``names``, int64 of shape (users,); −1 where an attribute is missing.
    """

    by: str
    names: list[str]
    codes: NDArray[np.int64]

    @property
    def missing(self) -> int:
        """Users whose group is not known."""
        return int((self.codes < 0).sum())


def grouped(values: pl.Series, edges: Edges) -> Grouping:
    """Group users by one attribute.

    Parameters
    ----------
    values
        The attribute, one value a user; null and NaN are missing.
    edges
        Where bands of a number begin, such as ``[30, 45]``; left out: four bands of about equal
        size where there are more than ten different numbers.

    Raises
    ------
    DataError
        There is one group only or more than 200, or the attribute cannot be grouped.
    """
    name, kind = values.name, values.dtype
    if kind.is_numeric():
        texts = _of_numbers(values.cast(pl.Float64).fill_nan(None), edges)
    elif edges is not None:
        raise DataError(f"protected attribute {name!r} is {kind}; only numbers are cut in bands")
    elif kind in (pl.String, pl.Boolean, pl.Categorical) or isinstance(kind, pl.Enum):
        present = values.cast(pl.String)
        texts = Grouping(name, sorted(present.drop_nulls().unique()), _codes(present))
    else:
        raise DataError(
            f"protected attribute {name!r} is {kind}; expected text, booleans or numbers"
        )
    if len(texts.names) < 2:
        only = f"one group only ({texts.names[0]!r})" if texts.names else "no value"
        raise DataError(
            f"protected attribute {name!r} has {only} among the users scored; there is nothing to "
            "compare"
        )
    if len(texts.names) > MOST_GROUPS:
        raise DataError(
            f"protected attribute {name!r} has {len(texts.names):,} groups; at most {MOST_GROUPS} "
            "are compared: join some of them first"
        )
    return texts


def paired(groupings: Sequence[Grouping]) -> tuple[list[Grouping], list[str]]:
    """Group users by every pair of attributes; only pairs of values that occur are groups.

    The second list names the pairs of attributes that no user has both of.
    """
    pairs, apart = [], []
    for one, other in combinations(groupings, 2):
        by = f"{one.by} × {other.by}"
        known = (one.codes >= 0) & (other.codes >= 0)
        if not known.any():
            apart.append(by)
            continue
        joined = one.codes * len(other.names) + other.codes
        found, places = np.unique(joined[known], return_inverse=True)
        codes = np.full(len(known), -1, dtype=np.int64)
        codes[known] = places
        size = len(other.names)
        names = [f"{one.names[pair // size]} × {other.names[pair % size]}" for pair in found]
        pairs.append(Grouping(by, names, codes))
    return pairs, apart


def wanted(protected: Sequence[str] | Mapping[str, Edges]) -> dict[str, Edges]:
    """Give each protected attribute with the edges of its bands, if any."""
    if isinstance(protected, str):
        protected = [protected]
    if isinstance(protected, Mapping):
        return dict(protected)
    return dict.fromkeys(protected)


def _codes(values: pl.Series) -> NDArray[np.int64]:
    """Give the place of each value among the sorted ones; −1 for null."""
    order = values.drop_nulls().unique().sort()
    ranks = pl.DataFrame({"value": order, "code": pl.Series(range(len(order)), dtype=pl.Int64)})
    joined = values.to_frame("value").join(ranks, on="value", how="left", maintain_order="left")
    return joined["code"].fill_null(-1).to_numpy()


def _of_numbers(values: pl.Series, edges: Edges) -> Grouping:
    present = values.drop_nulls()
    if edges is None and present.n_unique() <= NUMBERS_AS_VALUES:
        names = [_number(value) for value in present.unique().sort()]
        return Grouping(values.name, names, _codes(values))
    cuts = _quartiles(present) if edges is None else _checked(values.name, edges)
    numbers = values.to_numpy()
    codes = np.searchsorted(cuts, numbers, side="right").astype(np.int64)
    codes[np.isnan(numbers)] = -1
    whole = bool((present == present.floor()).all()) and bool((cuts == np.floor(cuts)).all())
    names = _band_names(cuts, whole)
    found, places = np.unique(codes[codes >= 0], return_inverse=True)
    codes[codes >= 0] = places
    return Grouping(values.name, [names[band] for band in found], codes)


def _quartiles(present: pl.Series) -> NDArray[np.float64]:
    shares = np.arange(1, _BANDS) / _BANDS
    cuts: NDArray[np.float64] = np.unique(np.quantile(present.to_numpy(), shares, method="higher"))
    return cuts


def _checked(name: str, edges: Sequence[float]) -> NDArray[np.float64]:
    cuts = np.asarray(edges, dtype=np.float64)
    if not len(cuts) or not np.isfinite(cuts).all() or (np.diff(cuts) <= 0).any():
        raise DataError(f"bands of {name!r}: expected ascending numbers, found {list(edges)}")
    return cuts


def _band_names(cuts: NDArray[np.float64], whole: bool) -> list[str]:
    def between(start: float, end: float) -> str:
        if not whole:
            return f"{_number(start)} to under {_number(end)}"
        return _number(start) if end - 1 == start else f"{_number(start)}–{_number(end - 1)}"

    inner = [between(start, end) for start, end in pairwise(cuts)]
    return [f"under {_number(cuts[0])}", *inner, f"{_number(cuts[-1])} and over"]


def _number(value: float) -> str:
    """Write a number: whole ones with every digit, as years and cohorts need it, others with six."""
    whole = float(value).is_integer() and abs(value) < _EXACT_BELOW
    return f"{value:.0f}" if whole else f"{value:g}"
