"""How good a set of scores was: ranking, probability and calibration metrics with their counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from propense.exceptions import DataError

DECILES = 10

Floats = NDArray[np.float64]


def auc(y: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve.

    Parameters
    ----------
    y
        Labels, shape ``[n]``, 0 or 1.
    score
        Anything that ranks, shape ``[n]``; higher means more likely.

    Returns
    -------
    float
        The chance that a positive outranks a negative, a tie counting one half; NaN when one
        class is absent.

    Raises
    ------
    DataError
        If the arrays are empty, differ in length, hold other labels or a score that is not finite.
    """
    labels, scores = _checked(y, score)
    positives = float(labels.sum())
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    rank_sum = float(_mid_ranks(scores)[labels == 1].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def average_precision(y: ArrayLike, score: ArrayLike) -> float:
    """Average precision: precision at each distinct score, weighted by the recall it adds.

    Parameters
    ----------
    y
        Labels, shape ``[n]``, 0 or 1.
    score
        Anything that ranks, shape ``[n]``; equal scores are taken in together.

    Returns
    -------
    float
        In [0, 1]; NaN when there are no positives.

    Raises
    ------
    DataError
        As for :func:`auc`.
    """
    labels, scores = _checked(y, score)
    if not labels.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(labels[order])[last_of_tie]
    taken = np.arange(1, len(labels) + 1)[last_of_tie]
    return float(np.sum(np.diff(hits, prepend=0.0) * hits / taken) / hits[-1])


def brier(y: ArrayLike, score: ArrayLike) -> float:
    """Mean squared difference between score and label, in [0, 1]; arguments as :func:`log_loss`."""
    labels, scores = _checked(y, score, probability=True)
    return float(np.mean((scores - labels) ** 2))


def log_loss(y: ArrayLike, score: ArrayLike) -> float:
    """Mean negative log-likelihood in nats.

    Parameters
    ----------
    y
        Labels, shape ``[n]``, 0 or 1.
    score
        Probabilities, shape ``[n]``, in [0, 1]; kept one float64 epsilon away from both ends, so
        that a certain and wrong score costs 36 nats instead of infinity.

    Returns
    -------
    float
        Zero or more.

    Raises
    ------
    DataError
        As for :func:`auc`, or if a score lies outside [0, 1].
    """
    labels, scores = _checked(y, score, probability=True)
    epsilon = float(np.finfo(np.float64).eps)
    p = np.clip(scores, epsilon, 1 - epsilon)
    return float(-np.mean(np.where(labels == 1, np.log(p), np.log1p(-p))))


def deciles(y: ArrayLike, score: ArrayLike) -> list[dict[str, Any]]:
    """Calibration and lift of the ten tenths of the audience, the highest scores first.

    Equal scores stay in one tenth (that of their middle rank), so the order of rows changes
    nothing; with many ties the tenths are uneven and empty ones are left out.

    Parameters
    ----------
    y
        Labels, shape ``[n]``, 0 or 1.
    score
        Probabilities, shape ``[n]``, in [0, 1].

    Returns
    -------
    list of dict
        Per tenth: ``decile`` (1 = most likely), ``n``, ``positives``, ``mean_score``, ``rate`` and
        ``lift`` (rate over base rate; None when there are no positives at all).

    Raises
    ------
    DataError
        As for :func:`log_loss`.
    """
    labels, scores = _checked(y, score, probability=True)
    n = len(labels)
    base_rate = float(labels.mean())
    tenth = ((n + 0.5 - _mid_ranks(scores)) * DECILES / n).astype(np.int64)
    rows = []
    for decile in np.unique(tenth):
        inside = tenth == decile
        rate = float(labels[inside].mean())
        rows.append(
            {
                "decile": int(decile) + 1,
                "n": int(inside.sum()),
                "positives": int(labels[inside].sum()),
                "mean_score": float(scores[inside].mean()),
                "rate": rate,
                "lift": rate / base_rate if base_rate > 0 else None,
            }
        )
    return rows


def expected_calibration_error(y: ArrayLike, score: ArrayLike) -> float:
    """Mean over :func:`deciles` of ``|mean score - rate|``, weighted by users; same arguments."""
    rows = deciles(y, score)
    total = sum(row["n"] for row in rows)
    return float(sum(row["n"] * abs(row["mean_score"] - row["rate"]) for row in rows) / total)


def evaluate(y: ArrayLike, score: ArrayLike) -> dict[str, Any]:
    """Return every metric with the counts behind it, ready for JSON.

    Parameters
    ----------
    y
        Labels, shape ``[n]``, 0 or 1.
    score
        Probabilities, shape ``[n]``, in [0, 1].

    Returns
    -------
    dict
        ``n``, ``positives``, ``base_rate``, ``expected_positives`` (the sum of scores);
        ``auc``, ``average_precision``, ``brier``, ``log_loss`` and
        ``expected_calibration_error``, each ``{"value", "n", "positives"}`` with the value None
        where it is undefined; ``deciles`` as by :func:`deciles`.

    Raises
    ------
    DataError
        As for :func:`log_loss`.
    """
    labels, scores = _checked(y, score, probability=True)
    n, positives = len(labels), int(labels.sum())

    def counted(value: float) -> dict[str, Any]:
        return {"value": value if np.isfinite(value) else None, "n": n, "positives": positives}

    return {
        "n": n,
        "positives": positives,
        "base_rate": positives / n,
        "expected_positives": float(scores.sum()),
        "auc": counted(auc(labels, scores)),
        "average_precision": counted(average_precision(labels, scores)),
        "brier": counted(brier(labels, scores)),
        "log_loss": counted(log_loss(labels, scores)),
        "expected_calibration_error": counted(expected_calibration_error(labels, scores)),
        "deciles": deciles(labels, scores),
    }


def _mid_ranks(values: Floats) -> Floats:
    """Ranks from 1 in ascending order; equal values share the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: Floats = last - (counts - 1) / 2
    return middle[group]


def _checked(y: ArrayLike, score: ArrayLike, probability: bool = False) -> tuple[Floats, Floats]:
    labels = np.asarray(y, dtype=np.float64)
    scores = np.asarray(score, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape or len(labels) == 0:
        raise DataError(
            f"metrics: labels of shape {labels.shape} and scores of shape {scores.shape}; "
            "expected two arrays of one dimension, the same length and at least one row"
        )
    if not np.isin(labels, (0.0, 1.0)).all():
        raise DataError("metrics: a label is neither 0 nor 1; pass labels as 0/1 or booleans")
    if not np.isfinite(scores).all():
        raise DataError("metrics: a score is not finite; leave out the users without a score")
    if probability and (scores.min() < 0 or scores.max() > 1):
        raise DataError("metrics: a score lies outside [0, 1]; expected calibrated probabilities")
    return labels, scores
