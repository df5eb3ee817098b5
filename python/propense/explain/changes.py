"""Why a score, and with it a tier, is another than it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from propense.events import EventLog
from propense.exceptions import DataError
from propense.explain.asked import Asked, Words
from propense.explain.contributions import OTHERS
from propense.explain.words import REST, change_sentence
from propense.features import user_frame
from propense.instants import Instant, in_words

if TYPE_CHECKING:
    from propense.model import Model


def explain_change(
    model: Model,
    log: EventLog,
    *,
    users: Sequence[Any],
    before: Instant,
    after: Instant | None = None,
    top: int | None = None,
) -> pl.DataFrame:
    """Say which features changed a score between two as_of; see :meth:`propense.Model.explain_change`."""
    if top is not None and (isinstance(top, bool) or not isinstance(top, int) or top < 1):
        raise DataError(f"top is {top!r}; expected a number of features from 1 up, or None for all")
    then, now = (Asked.of(model, log, users, as_of) for as_of in (before, after))
    if then.as_of_us >= now.as_of_us:
        raise DataError(
            f"before ({in_words(then.as_of_us)}) must lie before after ({in_words(now.as_of_us)})"
        )
    (old, old_values), (new, new_values) = then.whole(), now.whole()
    change = new.astype(np.float64) - old
    width = change.shape[1]
    listed = np.argsort(-np.abs(change), axis=1, kind="stable")[:, : min(top or width, width)]
    words = Words(model, now.reads)
    names = pl.Enum([*now.names, OTHERS])
    rows = np.repeat(np.arange(len(now.users), dtype=np.uint32), listed.shape[1])
    columns = listed.ravel()
    frame = _ids(now, rows).with_columns(
        pl.Series("feature", names.categories, names).gather(columns.astype(np.uint32)),
        pl.Series("value_before", old_values[rows, columns]).fill_nan(None),
        pl.Series("value_after", new_values[rows, columns]).fill_nan(None),
        pl.Series("contribution_before", old[rows, columns]),
        pl.Series("contribution_after", new[rows, columns]),
        pl.Series("change", change[rows, columns]),
        pl.Series(
            "words", _said(words, columns, old_values[rows, columns], new_values[rows, columns])
        ),
    )
    if top is None or top >= width:
        return frame
    kept = (np.take_along_axis(part, listed, axis=1).sum(axis=1) for part in (old, new))
    old_rest, new_rest = (
        part.sum(axis=1) - own for part, own in zip((old, new), kept, strict=True)
    )
    all_rows = np.arange(len(now.users), dtype=np.uint32)
    rest = _ids(now, all_rows).with_columns(
        pl.lit(OTHERS, names).alias("feature"),
        pl.lit(None, pl.Float32).alias("value_before"),
        pl.lit(None, pl.Float32).alias("value_after"),
        pl.Series("contribution_before", old_rest, pl.Float32),
        pl.Series("contribution_after", new_rest, pl.Float32),
        pl.Series(
            "change", change.sum(axis=1) - np.take_along_axis(change, listed, axis=1).sum(axis=1)
        ),
        pl.lit(REST).alias("words"),
    )
    order = np.argsort(np.concatenate([rows, all_rows]), kind="stable").astype(np.uint32)
    return pl.concat([frame, rest])[order]


def _ids(asked: Asked, rows: Any) -> pl.DataFrame:
    users: pl.DataFrame = user_frame(asked.log, asked.users)[rows]
    return users


def _said(words: Words, columns: Any, before: Any, after: Any) -> list[str]:
    """Say each value now, and what it was before."""
    said = []
    for column, old, new in zip(columns, before, after, strict=True):
        said.append(change_sentence(words.phrases[column], float(old), float(new)))
    return said
