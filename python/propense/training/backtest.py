"""Trying a model out on past dates, as training does before it ships one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from propense.backtest import Backtest, PastCut
from propense.cuts import backtest_us, periods_before
from propense.features import FeatureSet
from propense.progress import progress_hidden, track
from propense.training.rows import Question, TrainingRows

ROWS = 10_000
"""Users and dates that each run before the newest learns from."""

MEASURED_ROWS = 20_000
"""Users of each of those dates that it is measured on."""

Scorer = Callable[[int, TrainingRows], NDArray[np.floating] | None]
"""Gives the scores of rows as of a date, from a model that knows nothing later; None if none can be."""


def past_cuts(
    question: Question, features: FeatureSet, instants: Sequence[int], scorer: Scorer, seed: int
) -> list[PastCut]:
    """Score the audience, or a random share of it, at each past date."""
    if not instants:
        return []
    cuts = []
    with track("trying the model on past dates", len(instants)) as report, progress_hidden():
        for done, instant in enumerate(instants, start=1):
            rows = question.rows(features, [instant], max_rows=MEASURED_ROWS, seed=seed)
            scores = scorer(instant, rows) if len(rows) else None
            if scores is not None:
                cuts.append(past_cut(question, rows, scores))
            report(done)
    return cuts


def past_cut(question: Question, rows: TrainingRows, scores: NDArray[np.floating]) -> PastCut:
    """Put together what was predicted for the rows of one date and what became of them."""
    (as_of_us,) = rows.as_of_us
    return PastCut(
        as_of_us=as_of_us,
        audience=len(question.audience(as_of_us)),
        scores=np.asarray(scores, dtype=np.float32),
        labels=rows.label,
        by_rule=question.labels(rows.users, as_of_us - question.goal.horizon_us),
    )


def retrained(
    question: Question, features: FeatureSet, cut_us: int, newest: PastCut | None, seed: int
) -> Backtest:
    """Train anew for each past date on what was known then, the newest unless it was done already.

    Dates with too few users on one side to learn from are left out.
    """
    from propense.training.train import enough, fit_rows, predict

    first_us, horizon_us = question.log.span_us[0], question.goal.horizon_us

    def scorer(instant: int, rows: TrainingRows) -> NDArray[np.floating] | None:
        dates = periods_before(first_us, instant, horizon_us)
        past = question.rows(features, dates, max_rows=ROWS, seed=seed)
        if not enough(past):
            return None
        return predict(fit_rows(past, seed, "training"), rows.matrix)

    done = () if newest is None else (newest,)
    instants = backtest_us(first_us, cut_us, horizon_us)
    missing = [at for at in instants if all(at != cut.as_of_us for cut in done)]
    return Backtest((*past_cuts(question, features, missing, scorer, seed), *done), retrained=True)
