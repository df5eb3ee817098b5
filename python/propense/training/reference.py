"""What later logs are compared with: the spread of features and scores over the audience at training."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense import _core
from propense.drift import SAMPLE, described
from propense.features import FeatureSet, compute_matrix
from propense.training.rows import Question


def reference(
    question: Question, features: FeatureSet, as_of_us: int, scores: NDArray[np.float32]
) -> pl.DataFrame:
    """Describe the audience at the as_of by its scores, and by the features of up to 20,000 of it.

    Parameters
    ----------
    question, features
        Who is in the audience, and what the model reads of them.
    as_of_us
        When.
    scores
        Of the whole audience, float32 of shape (n,).
    """
    users = question.audience(as_of_us)
    sample = users[:: -(-len(users) // SAMPLE)]
    plan = _core.Plan.compile(features.spec, question.log.core, strict=True, before_us=as_of_us)
    matrix = compute_matrix(question.log, plan, sample, as_of_us)
    return pl.concat(
        [
            described("score", ["score"], scores[:, np.newaxis]),
            described("feature", features.names, matrix),
        ]
    )
