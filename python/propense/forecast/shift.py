"""How far whole periods have been off, and how far the next may be.

Scores may be right for each user and still add up to too much in a bad season. So every past cut
gives one number, its shift: what must be added to the logit of every score for the sum to become what
happened. Shifts of past cuts are taken as draws from a normal distribution whose mean and spread are
not known; one imaginary cut, off by 20 %, stands for what is known before any is seen. The next shift
then follows Student's t distribution (the conjugate normal-inverse-gamma model: Gelman et al.,
Bayesian Data Analysis, 3rd edition, 3.3). Its tails are heavy where cuts are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propense.backtest import Backtest

PRIOR_CUTS = 1.0
PRIOR_SPREAD = 0.2
"""The imaginary cut: its weight, and by how much it was off on the logit."""

LARGEST = 8.0
"""Shifts are kept within this on the logit: odds three thousand times as high."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NextShift:
    """The shift of a period to come: ``centre + scale · t(freedom)`` on the logit."""

    centre: float
    scale: float
    freedom: float
    cuts: int
    """Past cuts that it rests on."""

    def draws(self, count: int) -> Floats:
        """Draw shifts, float64 of shape (count,); the same for the same call."""
        draws = np.random.default_rng(0).standard_t(self.freedom, count)
        return np.clip(self.centre + self.scale * draws, -LARGEST, LARGEST)


def next_shift(backtest: Backtest | None, horizon_us: int) -> NextShift:
    """Learn from past cuts how far the next period may be off.

    What chance alone does to a cut of so few users is not taken for spread between periods. Cuts whose
    outcomes overlap count as that part of a cut that is new.
    """
    cuts = () if backtest is None else backtest.cuts
    weight = newness(backtest, horizon_us)
    found = [shift(logit(cut.scores), None, float(cut.labels.sum())) for cut in cuts]
    shifts = np.asarray([each for each, _ in found])
    noise = np.asarray([variance for _, variance in found])
    seen = weight * len(cuts)
    total = PRIOR_CUTS + seen
    centre = weight * float(shifts.sum()) / total
    squares = weight * float(((shifts - centre) ** 2 - noise).sum()) + PRIOR_CUTS * centre**2
    spread = (PRIOR_CUTS * PRIOR_SPREAD**2 + max(squares, 0.0)) / total
    variance = spread * (1 + 1 / total) + weight * float(noise.sum()) / total**2
    return NextShift(centre, float(np.sqrt(variance)), total, len(cuts))


def apart(backtest: Backtest | None, inside: Sequence[NDArray[np.bool_]], horizon_us: int) -> float:
    """Learn how far some of the users may be off beside everyone: what to add to the scale of a shift.

    On each past cut they have a shift of their own beyond that of the whole cut. As for whole cuts,
    one imaginary cut on which they were off by 20 % is added, and what chance does is taken out; a cut
    with so few of them that chance decides has little weight. A part that was off to one side on past
    cuts has as much wider an interval, about the same middle: parts still add up to the whole.

    Parameters
    ----------
    backtest, horizon_us
        As in :func:`next_shift`.
    inside
        Who of each cut belongs to them, bool of shape (users of the cut,).
    """
    cuts = () if backtest is None else backtest.cuts
    beyond, noise = [], []
    for cut, here in zip(cuts, inside, strict=True):
        if here.any():
            whole, _ = shift(logit(cut.scores), None, float(cut.labels.sum()))
            reached = float(cut.labels[here].sum())
            own, by_chance = shift(logit(cut.scores[here]) + whole, None, reached)
            beyond.append(own)
            noise.append(by_chance)
    off, chance = np.asarray(beyond), np.asarray(noise)
    weights = newness(backtest, horizon_us) / (1 + chance / PRIOR_SPREAD**2)
    total = PRIOR_CUTS + float(weights.sum())
    centre = float(weights @ off) / total
    squares = float(weights @ ((off - centre) ** 2 - chance))
    spread = (PRIOR_CUTS * (PRIOR_SPREAD**2 + centre**2) + max(squares, 0.0)) / total
    return float(np.sqrt(spread * (1 + 1 / total) + centre**2))


def newness(backtest: Backtest | None, horizon_us: int) -> float:
    """Give the part of a past cut's outcomes that no other cut has: 1 where horizons do not overlap."""
    apart_us = None if backtest is None else backtest.apart_us
    return 1.0 if apart_us is None else min(1.0, apart_us / horizon_us)


def shift(logits: Floats, weight: Floats | None, reached: float) -> tuple[float, float]:
    """Give the shift at which scores add up to what happened, and its variance by chance alone.

    Parameters
    ----------
    logits
        Of the scores, float64 of shape (n,), n at least 1.
    weight
        Users that each stands for, shape (n,); left out: one.
    reached
        Users who reached the goal; none or all count as half a user short of that.
    """
    weights = np.ones(len(logits)) if weight is None else weight
    users = float(weights.sum())
    wanted = min(max(reached, 0.5), max(users - 0.5, 0.5))
    low, high, found = -LARGEST, LARGEST, 0.0
    for _ in range(60):
        p = probability(logits + found)
        over = float(weights @ p) - wanted
        low, high = (low, found) if over > 0 else (found, high)
        step = over / max(float(weights @ (p * (1 - p))), 1e-9)
        # Newton's step, or half the bracket where it would leave that.
        following = found - step if low < found - step < high else (low + high) / 2
        if abs(following - found) < 1e-9:
            break
        found = following
    p = probability(logits + found)
    return found, 1 / max(float(weights @ (p * (1 - p))), 1e-9)


def logit(scores: NDArray[np.floating[Any]]) -> Floats:
    """Give log odds, float64; scores of 0 and 1 are kept a float32 step inside."""
    p = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    odds: Floats = np.log(p) - np.log1p(-p)
    return odds


def probability(logits: Floats) -> Floats:
    """Give probabilities of log odds, float64."""
    p: Floats = 1 / (1 + np.exp(-logits))
    return p
