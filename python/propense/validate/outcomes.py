"""What became of scored users, by the label's own definition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.exceptions import DataError
from propense.features import user_frame
from propense.instants import in_words
from propense.training.rows import Question


@dataclass(frozen=True)
class Outcomes:
    """Scored users and whether each reached the goal in ``[as_of, as_of + horizon)``."""

    scores: pl.DataFrame
    labels: NDArray[np.bool_]
    unknown: int
    """Scored users who are not in the log's audience at the as_of, and are left out."""


def outcomes(question: Question, scores: pl.DataFrame, as_of_us: int) -> Outcomes:
    """Find out what became of scored users.

    Parameters
    ----------
    question
        The goal and a log that covers the horizon.
    scores
        Users with their scores as of then; ids are taken as the log's type.
    as_of_us
        When they were scored.

    Raises
    ------
    DataError
        The user column is missing, a user has two scores, or none of them is in the audience.
    """
    column = question.log.user_column
    if column.name not in scores.columns:
        raise DataError(f"the scores lack the log's user column {column.name!r}")
    users = question.audience(as_of_us)
    known = user_frame(question.log, users).with_columns(
        pl.Series("reached", question.labels(users, as_of_us))
    )
    try:
        scores = scores.with_columns(pl.col(column.name).cast(column.dtype))
    except pl.exceptions.PolarsError as error:
        raise DataError(f"the ids of the scores are not of the log's type: {error}") from None
    if scores[column.name].is_duplicated().any():
        raise DataError(f"a user has two scores; expected one row for each {column.name!r}")
    joined = scores.join(known, on=column.name, how="inner", maintain_order="left")
    if not joined.height:
        raise DataError(
            f"none of the {scores.height:,} scored users is in the goal's audience as of "
            f"{in_words(as_of_us)}; are these scores of another log or another as_of?"
        )
    labels = joined["reached"].to_numpy()
    return Outcomes(joined.drop("reached"), labels, scores.height - joined.height)
