"""How many of a crowd will reach the goal: a point, an interval, and draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from propense.forecast.shift import LARGEST, Floats, NextShift, probability

DRAWS = 20_000
_BINS = 500
_STEPS = 161  # a shift every 0.1


@dataclass(frozen=True)
class Crowd:
    """Users by their log odds: float64 arrays of shape (n,); one entry may stand for several users."""

    logits: Floats
    weight: Floats

    @property
    def users(self) -> float:
        """How many there are."""
        return float(self.weight.sum())

    def at(self, shift: float) -> float:
        """Give the expected number who reach the goal, should the period be shifted by this much."""
        return float(self.weight @ probability(self.logits + shift))

    def thinned(self) -> Crowd:
        """Give much the same crowd in at most 500 entries, alike in log odds."""
        if len(self.logits) <= _BINS:
            return self
        order = np.argsort(self.logits, kind="stable")
        starts = np.linspace(0, len(order), _BINS, endpoint=False).astype(np.int64)
        weight = np.add.reduceat(self.weight[order], starts)
        p = np.add.reduceat((self.weight * probability(self.logits))[order], starts) / weight
        return Crowd(np.log(p) - np.log1p(-p), weight)


@dataclass(frozen=True)
class Count:
    """How many will reach the goal: ``expected``, and the interval ``[low, high]``, both ends in."""

    users: int
    expected: float
    low: int
    high: int


def counted(crowd: Crowd, ahead: NextShift, level: float, draws: Floats) -> Count:
    """Sum up draws by :func:`drawn` of the same crowd."""
    tail = (1 - level) / 2
    if not len(crowd.logits):
        return Count(0, 0.0, 0, 0)
    low = float(np.quantile(draws, tail, method="lower"))
    high = float(np.quantile(draws, 1 - tail, method="higher"))
    return Count(round(crowd.users), crowd.at(ahead.centre), int(low), int(high))


def drawn(crowd: Crowd, ahead: NextShift) -> Floats:
    """Draw how many reach the goal, float64 of shape (20,000,).

    Each draw has a shift of the period, the same in calls with other crowds, and then the chance of
    every user. A sum of unlike chances is drawn as the binomial count with its mean and variance.
    """
    if not len(crowd.logits):
        return np.zeros(DRAWS)
    few = crowd.thinned()
    shifts = ahead.draws(DRAWS)
    grid = np.linspace(-LARGEST, LARGEST, _STEPS)
    chances = probability(few.logits[:, np.newaxis] + grid)
    mean = np.interp(shifts, grid, few.weight @ chances)
    squares = np.interp(shifts, grid, few.weight @ chances**2)
    alike = np.minimum(squares / mean, 1.0)
    trials = np.maximum(np.rint(mean / alike), 1.0)
    counts = np.random.default_rng(1).binomial(
        trials.astype(np.int64), np.minimum(mean / trials, 1.0)
    )
    return counts.astype(np.float64)
