"""The default trainer: cross-fitted LightGBM trees, calibrated on what they did not see."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from propense.exceptions import TrainingError

if TYPE_CHECKING:
    import lightgbm

FOLDS = 5
ROUNDS = 120  # a fold, so that the ensemble stays within 600 trees
PATIENCE = 30
MAX_ROWS = 150_000
MIN_EACH_CLASS = 20
MIN_SLOPE = 0.05

PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.04,
    "num_leaves": 15,
    "min_data_in_leaf": 50,
    "lambda_l2": 10.0,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 127,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Fit:
    """Trees and the calibration of their mean raw score.

    The score of a row is ``1 / (1 + exp(-(slope * z + intercept)))`` with ``z`` the mean of the
    boosters' raw scores. ``out_of_fold`` holds, for each training row, the calibrated probability
    from trees that saw no row of its user: float64, shape ``[n]``.
    """

    boosters: list[lightgbm.Booster]
    slope: float
    intercept: float
    out_of_fold: NDArray[np.float64]


def fit(
    X: NDArray[np.float32],
    y: NDArray[Any],
    user: NDArray[np.integer[Any]],
    period: NDArray[np.integer[Any]],
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Fit:
    """Fit an ensemble of one booster a fold, and its calibration on out-of-fold predictions.

    Users are dealt into folds, so that no user is on both sides. Periods of like size weigh the
    same in total. One number of rounds, the best by the mean log loss of the folds, holds for all.
    Over ``MAX_ROWS`` rows a random share of the users is learnt from.

    Parameters
    ----------
    X
        Features, float32, shape ``[n, width]``; NaN is missing.
    y
        Labels, shape ``[n]``, 0 or 1.
    user
        A number per user, shape ``[n]``; equal for all rows of one user.
    period
        The period of the row, shape ``[n]``, 0 the oldest.
    seed
        Equal input and seed give equal boosters, whatever the number of threads.
    progress
        Called with the rounds done and the most there can be.

    Raises
    ------
    TrainingError
        If there are fewer than 20 positive or 20 negative rows or fewer than 5 users.
    """
    import lightgbm

    labels = np.asarray(y, dtype=np.float64)
    positives = int(labels.sum())
    if min(positives, len(labels) - positives) < MIN_EACH_CLASS:
        raise TrainingError(
            f"training: {positives} positives and {len(labels) - positives} negatives; expected at "
            f"least {MIN_EACH_CLASS} of each: use a longer log, another horizon or another goal"
        )
    random = np.random.default_rng(seed)
    fold = _folds(labels, user, random)
    learnt = np.flatnonzero(fold >= 0)
    weight = _period_weights(period)
    data = lightgbm.Dataset(
        X[learnt], labels[learnt], weight=weight[learnt], params=_parameters(seed)
    ).construct()
    boosters = _cross_fit(data, fold[learnt], _parameters(seed), progress)
    raw = _unseen_raw_scores(boosters, X, fold)
    slope, intercept = calibrate(raw[learnt], labels[learnt], weight[learnt])
    return Fit(boosters, slope, intercept, _sigmoid(slope * raw + intercept))


def _parameters(seed: int) -> dict[str, Any]:
    # One thread a fold and the folds side by side: trees this small spend more on waiting for each
    # other's threads than on growing, and the number of threads cannot change a bit.
    return PARAMETERS | {"seed": seed, "num_threads": 1}


def _cross_fit(
    data: lightgbm.Dataset,
    fold: NDArray[np.int64],
    parameters: dict[str, Any],
    progress: Callable[[int, int], None] | None,
) -> list[lightgbm.Booster]:
    """Grow one booster a fold on the other folds, all to the round that is best on average.

    Stops once the mean log loss of the folds has not improved for ``PATIENCE`` rounds.
    """
    import lightgbm

    boosters = []
    for k in range(FOLDS):
        seen, unseen = (
            data.subset(np.flatnonzero(rows).tolist(), params=parameters)
            for rows in (fold != k, fold == k)
        )
        booster = lightgbm.Booster(parameters, seen)
        booster.add_valid(unseen, "unseen")
        boosters.append(booster)

    def grow(booster: lightgbm.Booster) -> float:
        booster.update()
        return float(booster.eval_valid()[0][2])

    def hush() -> None:
        # LightGBM keeps its log level by thread and takes it from the parameters it last saw there.
        lightgbm.Dataset(np.zeros((2, 1)), params=parameters).construct()

    best_loss, best_round = np.inf, 0
    with ThreadPoolExecutor(min(FOLDS, os.cpu_count() or 1), initializer=hush) as pool:
        for done in range(1, ROUNDS + 1):
            loss = float(np.mean(list(pool.map(grow, boosters))))
            if loss < best_loss:
                best_loss, best_round = loss, done
            if progress is not None:
                progress(done, ROUNDS)
            if done - best_round >= PATIENCE:
                break
    return [
        lightgbm.Booster(model_str=booster.model_to_string(num_iteration=best_round))
        for booster in boosters
    ]


def calibrate(
    raw: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the slope and intercept on the logit that maximise the weighted likelihood.

    The slope is drawn to 1 by a prior worth one unit of information, and stays at or above
    ``MIN_SLOPE``, so that calibration never turns a ranking round. All arrays are float64 ``[n]``.
    """
    slope, intercept, free = 1.0, 0.0, True
    for _ in range(100):
        p = _sigmoid(slope * raw + intercept)
        error, curvature = weight * (p - y), weight * p * (1 - p) + 1e-12
        gradient = np.array([raw @ error + (slope - 1), error.sum()])
        cross = raw @ curvature
        hessian = np.array([[raw * raw @ curvature + 1, cross], [cross, curvature.sum()]])
        if free:
            step = np.linalg.solve(hessian, gradient)
        else:
            step = np.array([0.0, gradient[1] / hessian[1, 1]])
        # Whole Newton steps may overshoot far from the optimum; one unit of logit never does.
        step = np.clip(step, -1, 1)
        slope, intercept = slope - float(step[0]), intercept - float(step[1])
        if slope < MIN_SLOPE:
            slope, free = MIN_SLOPE, False
        elif float(np.abs(step).max()) < 1e-10:
            break
    return slope, intercept


def _folds(
    y: NDArray[np.float64], user: NDArray[np.integer[Any]], random: np.random.Generator
) -> NDArray[np.int64]:
    """Fold of each row, by user; -1 for the rows of users left out to stay within MAX_ROWS."""
    users, row_user = np.unique(user, return_inverse=True)
    if len(users) < FOLDS:
        raise TrainingError(f"training: {len(users)} users; expected at least {FOLDS}")
    shuffled = random.permutation(len(users))
    rows = np.bincount(row_user)[shuffled]
    kept = shuffled[np.cumsum(rows) <= MAX_ROWS]
    # Dealing users in order of their positives spreads rare positives evenly over the folds.
    by_positives = kept[np.argsort(np.bincount(row_user, weights=y)[kept], kind="stable")]
    fold = np.full(len(users), -1, dtype=np.int64)
    fold[by_positives] = np.arange(len(by_positives)) % FOLDS
    return fold[row_user]


def _period_weights(period: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Row weights of mean 1 by which periods of like size have the same total.

    A row weighs at most twice a row of the largest period: the few users of a log's first weeks
    must not outvote everyone else.
    """
    _, which, counts = np.unique(period, return_inverse=True, return_counts=True)
    weights = (1 / np.maximum(counts, counts.max() / 2))[which]
    normalised: NDArray[np.float64] = weights / weights.mean()
    return normalised


def _unseen_raw_scores(
    boosters: list[lightgbm.Booster],
    X: NDArray[np.float32],
    fold: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Raw score of each row from the booster that held its fold out; the mean for fold -1."""
    raw = np.empty(len(X), dtype=np.float64)
    for k, booster in enumerate(boosters):
        held_out = fold == k
        if held_out.any():
            raw[held_out] = booster.predict(X[held_out], raw_score=True)
    left_out = fold < 0
    if left_out.any():
        every = [booster.predict(X[left_out], raw_score=True) for booster in boosters]
        raw[left_out] = np.mean(every, axis=0)
    return raw


def _sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    p: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(z, -700, 700)))
    return p
