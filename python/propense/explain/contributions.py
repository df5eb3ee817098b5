"""What each feature contributed to each user's score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.events import EventLog
from propense.exceptions import DataError
from propense.explain.asked import Asked, Words
from propense.explain.words import REST, STARTS
from propense.features import user_frame
from propense.instants import Instant

if TYPE_CHECKING:
    from propense.model import Model

BASE = "(base)"
"""The row that says where every user starts: the mean logit at training."""
OTHERS = "(others)"
"""The row that sums up the features that are not listed."""


def explain(
    model: Model,
    log: EventLog,
    *,
    users: Sequence[Any] | None = None,
    as_of: Instant | None = None,
    top: int | None = None,
) -> pl.DataFrame:
    """Say what each feature contributed; see :meth:`propense.Model.explain`."""
    if top is not None and (isinstance(top, bool) or not isinstance(top, int) or top < 1):
        raise DataError(f"top is {top!r}; expected a number of features from 1 up, or None for all")
    asked = Asked.of(model, log, users, as_of)
    kinds = pl.Enum([BASE, *asked.names, OTHERS])
    words = Words(model, asked.reads)
    frames = []
    for places, contributions, values in asked.parts():
        if top is None:
            frames.append(_all(asked, places, contributions, values, kinds))
        else:
            frames.append(_few(asked, places, contributions, values, kinds, words, top))
    if frames:
        return pl.concat(frames)
    none = np.empty((0, len(asked.reads)), np.float32)
    return _few(asked, asked.users, none, none, kinds, words, top or 1).drop(
        "" if top else "words", strict=False
    )


def _all(
    asked: Asked,
    places: NDArray[np.uint32],
    contributions: NDArray[np.float32],
    values: NDArray[np.float32],
    kinds: pl.Enum,
) -> pl.DataFrame:
    """Give the base and every feature of each user, in the features' order."""
    count, width = contributions.shape
    rows = width + 1
    codes = np.tile(np.arange(rows, dtype=np.uint32), count)
    known = np.full((count, rows), np.nan, np.float32)
    known[:, 1:] = values
    moved = np.full((count, rows), asked.base, np.float32)
    moved[:, 1:] = contributions
    return _frame(asked, places, rows, codes, known.ravel(), moved.ravel(), kinds)


def _few(
    asked: Asked,
    places: NDArray[np.uint32],
    contributions: NDArray[np.float32],
    values: NDArray[np.float32],
    kinds: pl.Enum,
    words: Words,
    top: int,
) -> pl.DataFrame:
    """Give the base, the features that moved the score most, largest first, and the sum of the others."""
    count, width = contributions.shape
    top = min(top, width)
    listed = (
        np.argpartition(-np.abs(contributions), top - 1, axis=1)[:, :top] if top else _none(count)
    )
    sizes = np.abs(np.take_along_axis(contributions, listed, axis=1))
    listed = np.take_along_axis(listed, np.argsort(-sizes, axis=1, kind="stable"), axis=1)
    moved = np.take_along_axis(contributions, listed, axis=1)
    shown = np.take_along_axis(values, listed, axis=1)
    others = contributions.sum(axis=1, dtype=np.float64) - moved.sum(axis=1, dtype=np.float64)
    rows = top + 2
    codes = np.zeros((count, rows), np.uint32)
    codes[:, 1:-1], codes[:, -1] = listed + 1, width + 1
    known = np.full((count, rows), np.nan, np.float32)
    known[:, 1:-1] = shown
    contribution = np.empty((count, rows), np.float32)
    contribution[:, 0], contribution[:, 1:-1], contribution[:, -1] = asked.base, moved, others
    said = np.empty((count, rows), object)
    said[:, 0], said[:, -1] = STARTS, REST
    said[:, 1:-1] = np.array(words.each(listed.ravel(), shown.ravel()), object).reshape(count, top)
    frame = _frame(asked, places, rows, codes.ravel(), known.ravel(), contribution.ravel(), kinds)
    return frame.with_columns(pl.Series("words", said.ravel().tolist(), pl.String))


def _none(count: int) -> NDArray[np.intp]:
    return np.empty((count, 0), np.intp)


def _frame(
    asked: Asked,
    places: NDArray[np.uint32],
    rows: int,
    codes: NDArray[np.uint32],
    values: NDArray[np.float32],
    contributions: NDArray[np.float32],
    kinds: pl.Enum,
) -> pl.DataFrame:
    ids = user_frame(asked.log, places)
    repeated = ids[np.repeat(np.arange(len(places), dtype=np.uint32), rows)]
    names = pl.Series("feature", kinds.categories, kinds)
    return repeated.with_columns(
        names.gather(codes),
        pl.Series("value", values).fill_nan(None),
        pl.Series("contribution", contributions),
    )
