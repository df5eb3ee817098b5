"""From a log and a goal to a model: LightGBM, calibrated, exported to ONNX, checked, cut into tiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from propense.cuts import Cuts, choose_cuts
from propense.events import EventLog
from propense.exceptions import TrainingError
from propense.features import FeatureSet
from propense.goal import Goal
from propense.instants import Instant, in_words
from propense.model import Model
from propense.progress import track
from propense.tiers import TierPolicy
from propense.training.backtest import past_cut, retrained
from propense.training.extra import require_train_extra
from propense.training.fallback import train_bands
from propense.training.finish import Candidate, TestPeriod, finish
from propense.training.metrics import evaluate
from propense.training.rows import Question, TrainingRows, resolve_features

if TYPE_CHECKING:
    from propense.training.lightgbm_fit import Fit

MAX_ROWS = 150_000
"""Training rows at most; beyond, a random share of users is learnt from."""
MIN_EACH_CLASS = 20
"""Users, not rows: one who reaches a goal on several overlapping dates tells little more by each."""
PRELIMINARY_BELOW = 500
"""With fewer users of either kind than this a model is called preliminary."""
CHECK_ROWS = 2_000
"""Real rows that the ONNX file is compared on; hostile ones are made from them."""


def train(
    log: EventLog,
    goal: Goal,
    *,
    as_of: Instant | None = None,
    features: FeatureSet | Sequence[str] | None = None,
    tiers: TierPolicy | None = None,
    timezone: str = "UTC",
    seed: int = 0,
    fallback: bool = False,
) -> Model:
    """Train a model: LightGBM, calibrated, exported to ONNX and checked against it.

    Several as_of dates train (:func:`propense.cuts.choose_cuts`). The newest whose horizon has passed
    is the test: a held-out run learns from older ones whose label windows end before it, and its
    quality is what ``metrics`` says. Up to four older dates are tried out in the same way
    (:func:`propense.cuts.backtest_us`), on fewer rows; forecasts take their intervals from that. The
    model that ships is then fitted on every date. Scores are calibrated on users the trees did not
    see. Over 150,000 rows a random share of users is learnt from.

    Parameters
    ----------
    log
        The events, with profiles if expressions name attributes.
    goal
        What is to be learnt.
    as_of
        Nothing at or after this instant is seen; left out: just after the last event. A date is its
        first instant in the features' time zone. Not beyond the log's last day, for what then
        happened is not known.
    features
        A feature set, or texts; left out: :meth:`FeatureSet.auto` over the events before ``as_of``.
    tiers
        How scores are cut; left out: :meth:`TierPolicy.quantile`. Shares are of the audience at the
        as_of.
    timezone
        IANA time zone of days and hours, where ``features`` does not bring one.
    seed
        Equal logs, goals and seeds give equal models.
    fallback
        Whether, where fewer than 20 users reached the goal or fewer than 20 did not, to give a
        ``preliminary`` model of smoothed rates by recency and frequency, with a warning, instead of
        refusing. ``features`` are then not used.

    Raises
    ------
    ExpressionError
        The goal, the audience or a feature does not fit the log.
    TrainingError
        The log is too short for the horizon, ends before the as_of, or has fewer than 20 users who
        reached the goal or fewer than 20 who did not; nobody is in the audience one horizon before
        the as_of; or the extra ``train`` is not installed.
    ModelError
        The ONNX file does not give LightGBM's scores, or no cut-off suits the tier policy.
    """
    require_train_extra()
    if isinstance(features, FeatureSet):
        timezone = features.timezone
    question = Question(log, goal, timezone)
    cut_us = question.cut_us(as_of)
    cuts = choose_cuts(log.span_us[0], cut_us, goal.horizon_us)
    chosen = resolve_features(question, features, cut_us)
    instants = sorted({*cuts.as_of_us, *cuts.held_out_us})
    rows = question.rows(
        chosen, instants, max_rows=MAX_ROWS * len(instants) // len(cuts.as_of_us), seed=seed
    )
    shipped = rows.of(cuts.as_of_us)
    check_measurable(shipped, goal, cuts)
    if fallback and not enough(shipped):
        return train_bands(question, cuts, cut_us, tiers or TierPolicy.quantile())
    check_classes(shipped, goal, cut_us)
    test, metrics = hold_out(rows, cuts, seed)
    newest = None if test is None else past_cut(question, rows.of([cuts.test_us]), test.scores)
    past = retrained(question, chosen, cut_us, newest, seed)
    fit = fit_rows(shipped, seed, "training")
    if test is None:
        test = TestPeriod.of(shipped, cuts.test_us, fit.out_of_fold)
        metrics = evaluate(test.labels, test.scores) | {"kind": "out_of_fold"}
    candidate = Candidate(
        engine="lightgbm",
        goal=goal,
        features=chosen,
        as_of_us=cut_us,
        training=described(shipped, cuts, chosen)
        | {"protected": list(log.protected), "gain": gain(fit, chosen)},
        calibration={
            "method": "linear on the logit, fitted on users the trees did not see",
            "slope": fit.slope,
            "intercept": fit.intercept,
        },
        metrics=metrics | {"as_of": in_words(cuts.test_us)},
        test=test,
        backtest=past,
    )
    onnx, checks = export(fit, shipped.matrix)
    return finish(candidate, question, onnx, checks, shipped.matrix, tiers or TierPolicy.quantile())


def hold_out(rows: TrainingRows, cuts: Cuts, seed: int) -> tuple[TestPeriod | None, dict[str, Any]]:
    """Fit on the dates before the test and measure on it; nothing if the log is too short for that."""
    if not cuts.held_out_us:
        return None, {}
    past, test = rows.of(cuts.held_out_us), rows.of([cuts.test_us])
    if not enough(past) or test.label.all() or not test.label.any():
        return None, {}
    fit = fit_rows(past, seed, "training the held-out run")
    scores = predict(fit, test.matrix)
    period = TestPeriod(scores.astype(np.float32), test.label)
    return period, evaluate(test.label, scores) | {"kind": "held_out"}


def fit_rows(rows: TrainingRows, seed: int, description: str) -> Fit:
    """Fit the default trainer."""
    from propense.training import lightgbm_fit

    with track(description, lightgbm_fit.ROUNDS) as report:
        return lightgbm_fit.fit(
            rows.matrix,
            rows.label,
            rows.users,
            rows.period,
            seed=seed,
            progress=lambda done, _total: report(done),
        )


def predict(fit: Fit, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give the fit's calibrated probabilities by LightGBM itself; float64 of shape (n,)."""
    raw = np.mean([booster.predict(matrix, raw_score=True) for booster in fit.boosters], axis=0)
    probability: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-(fit.slope * raw + fit.intercept)))
    return probability


def enough(rows: TrainingRows) -> bool:
    """Say whether there are at least 20 users of either kind to learn from."""
    return min(rows.users_of_each) >= MIN_EACH_CLASS


def check_classes(rows: TrainingRows, goal: Goal, cut_us: int) -> None:
    """Refuse to learn from fewer than 20 users of either kind."""
    if enough(rows):
        return
    reached, did_not = rows.users_of_each
    who = "reached the goal" if reached < MIN_EACH_CLASS else "did not reach the goal"
    # Rates need somebody who reached it, too.
    rates = ", or ask for preliminary rates by recency and frequency (fallback=True, --fallback)"
    raise TrainingError(
        f"goal {goal.name!r}: of {len(np.unique(rows.users)):,} users before {in_words(cut_us)} only "
        f"{min(reached, did_not)} {who} ({goal.when} within {goal.horizon}); at least "
        f"{MIN_EACH_CLASS} are needed. Use a longer log, another horizon or a wider goal"
        f"{rates if reached else ''}"
    )


def check_measurable(rows: TrainingRows, goal: Goal, cuts: Cuts) -> None:
    """Refuse an audience that is empty on the date that quality is measured on."""
    if (rows.period == rows.as_of_us.index(cuts.test_us)).any():
        return
    raise TrainingError(
        f"goal {goal.name!r}: nobody is in the audience at {in_words(cuts.test_us)}, the newest date "
        f"whose horizon of {goal.horizon} has passed, so that there is nobody to measure quality on. "
        "Widen the audience, or choose another as_of"
    )


def described(rows: TrainingRows, cuts: Cuts, features: FeatureSet) -> dict[str, Any]:
    """Say in the manifest what was learnt from."""
    periods = [
        {
            "as_of": in_words(instant),
            "rows": int((rows.period == place).sum()),
            "positives": int(rows.label[rows.period == place].sum()),
        }
        for place, instant in enumerate(rows.as_of_us)
    ]
    few = min(rows.users_of_each) < PRELIMINARY_BELOW
    return {
        "rows": len(rows),
        "positives": int(rows.label.sum()),
        "features": len(features),
        "periods": periods,
        "held_out_run": [in_words(instant) for instant in cuts.held_out_us],
        "standing": "preliminary" if few else "full",
    }


def gain(fit: Fit, features: FeatureSet) -> dict[str, float]:
    """Give each feature's share of what the splits gained, of those that some split reads."""
    gains = sum(booster.feature_importance("gain") for booster in fit.boosters)
    total = float(np.sum(gains)) or 1.0
    known = zip(features.names, np.asarray(gains).tolist(), strict=True)
    return {name: value / total for name, value in known if value > 0}


def export(fit: Fit, matrix: NDArray[np.float32]) -> tuple[bytes, dict[str, Any]]:
    """Give the ONNX file and how far its scores are from LightGBM's."""
    from propense.onnx_model.check import check_lightgbm
    from propense.onnx_model.lightgbm_export import from_lightgbm

    model = from_lightgbm(
        fit.boosters, slope=fit.slope, intercept=fit.intercept, width=matrix.shape[1]
    )
    onnx: bytes = model.SerializeToString(deterministic=True)
    sample = matrix[np.linspace(0, len(matrix) - 1, min(CHECK_ROWS, len(matrix))).astype(int)]
    checks = check_lightgbm(fit.boosters, fit.slope, fit.intercept, onnx, sample)
    return onnx, {"against": "LightGBM, in plain ONNX Runtime", **checks}
