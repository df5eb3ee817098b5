"""The last steps of every model: check rows, the audience's scores, tiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propense import _core
from propense.backtest import Backtest
from propense.columns_read import columns_read
from propense.exceptions import ModelError, TrainingError
from propense.features import FeatureSet
from propense.forecast.audience import tiers_at_training
from propense.goal import Goal
from propense.instants import in_words
from propense.model import Model
from propense.parts import ModelParts, audience_points
from propense.progress import track
from propense.runtime import initialise
from propense.tiers import TierPolicy, cut_offs
from propense.training.reference import reference
from propense.training.rows import Question, TrainingRows

STORED_CHECK_ROWS = 512
USUAL_ROWS = 20_000
"""Training rows, about, whose medians say what is usual."""


@dataclass(frozen=True)
class TestPeriod:
    """Scores and outcomes of the test period: float32 and bool, shape (m,)."""

    __test__ = False  # not a test case, whatever pytest thinks of its name

    scores: NDArray[np.float32]
    labels: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: TrainingRows, as_of_us: int, scores: NDArray[np.float64]) -> TestPeriod:
        """Take one period's part of the scores of all rows."""
        here = rows.period == rows.as_of_us.index(as_of_us)
        return cls(scores[here].astype(np.float32), rows.label[here])


@dataclass(frozen=True)
class Candidate:
    """What is known of a model before its tiers are cut."""

    engine: str
    goal: Goal
    features: FeatureSet
    as_of_us: int
    training: dict[str, Any]
    calibration: dict[str, Any]
    metrics: dict[str, Any]
    test: TestPeriod
    backtest: Backtest


def finish(
    candidate: Candidate,
    question: Question,
    onnx: bytes,
    checks: dict[str, Any],
    matrix: NDArray[np.float32],
    policy: TierPolicy,
) -> Model:
    """Store check rows, score the audience at the as_of, cut the tiers.

    Parameters
    ----------
    candidate, question
        The model so far, and what was asked.
    onnx
        The canonical ONNX file.
    checks
        What it was compared with.
    matrix
        Real rows, float32 of shape (n, width).
    policy
        How tiers are cut.
    """
    from propense.onnx_model.check import hostile_rows, run_onnxruntime

    real = matrix[:: max(1, len(matrix) // 64)][:64]
    rows = hostile_rows(real, seed=0)
    rows = rows[np.linspace(0, len(rows) - 1, min(STORED_CHECK_ROWS, len(rows))).astype(int)]
    expected = run_onnxruntime(onnx, rows)
    # Some models, such as a plain logistic regression, have no answer where a feature is missing;
    # such a row cannot be compared later.
    answered = np.isfinite(expected)
    if not answered.any():
        raise ModelError(
            "the model gives no finite score for any of its check rows; it must accept missing "
            "features (NaN), for instance by an imputer in front of it"
        )
    initialise()
    core = _core.OnnxModel(onnx, len(candidate.features))
    scores = audience_scores(candidate, question, core)
    test = candidate.test
    cuts = cut_offs(policy, scores, len(scores), test.scores, test.labels)
    # Some foreign models have no answer where a feature is missing: there is no sum of that.
    finite = bool(np.isfinite(scores).all())
    return Model(
        ModelParts(
            onnx=onnx,
            engine=candidate.engine,
            goal=candidate.goal,
            features=candidate.features,
            as_of_us=candidate.as_of_us,
            columns=columns_read(question.log, candidate.goal, candidate.features),
            training=candidate.training
            | {
                "audience": len(scores),
                **({"audience_tiers": tiers_at_training(scores, cuts)} if finite else {}),
                "backtest": candidate.backtest.described(),
                "usual": usual(matrix, candidate.features.names),
            },
            calibration=candidate.calibration,
            tiers=policy,
            cut_offs=cuts,
            metrics=candidate.metrics,
            checks=checks,
            check_rows=rows[answered],
            check_scores=core.score(rows[answered]),
            audience=audience_points(scores),
            test_scores=test.scores,
            test_labels=test.labels,
            backtest=candidate.backtest,
            reference=reference(question, candidate.features, candidate.as_of_us, scores),
        )
    )


def usual(matrix: NDArray[np.float32], names: Sequence[str]) -> dict[str, float | None]:
    """Give the median of each feature over at most 20,000 rows; None where most values are missing.

    A missing value counts as less than any other, as for a feature that begins with the first event.
    """
    rows = matrix[:: max(1, len(matrix) // USUAL_ROWS)]
    ordered = np.sort(np.where(np.isnan(rows), -np.inf, rows), axis=0)
    middle = ordered[(len(ordered) - 1) // 2]
    known = zip(names, middle, strict=True)
    return {name: float(value) if np.isfinite(value) else None for name, value in known}


def audience_scores(
    candidate: Candidate, question: Question, core: _core.OnnxModel
) -> NDArray[np.float32]:
    """Score the audience at the as_of; shares and percentiles are of these scores."""
    spec, as_of_us = candidate.features.spec, candidate.as_of_us
    plan = _core.Plan.compile(spec, question.log.core, strict=True, before_us=as_of_us)
    users = question.audience(as_of_us)
    if len(users) == 0:
        raise TrainingError(
            f"goal {candidate.goal.name!r}: nobody is in the audience at "
            f"{in_words(candidate.as_of_us)}; widen the audience or choose another as_of"
        )
    with track("scoring the audience", len(users)) as report:
        return _core.score_users(
            question.log.core, plan, core, users, as_of_us=as_of_us, report=report
        )
