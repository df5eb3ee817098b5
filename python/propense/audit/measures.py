"""What happened to each group: counts, rates, and intervals by the bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from propense.audit.groups import Grouping

Floats = NDArray[np.float64]

DRAWS = 2_000
"""Bootstrap draws behind each interval."""
_SCORE_BINS = 20


@dataclass(frozen=True)
class People:
    """Everyone scored, one entry a user: bool, float64, and bool or None where it is not known yet."""

    selected: NDArray[np.bool_]
    score: Floats
    reached: NDArray[np.bool_] | None

    def __len__(self) -> int:
        """Count them."""
        return len(self.selected)


@dataclass(frozen=True)
class Counts:
    """Sums over users, each of the same shape, such as (groups,) or (groups, draws).

    Attributes
    ----------
    people, selected, expected
        Users, users chosen, and the sum of scores.
    variance
        The sum of p (1 − p) over the scores p: the variance of how many reach the goal.
    reached, both
        Users who reached the goal, and of whom chosen; 0 where outcomes are not known.
    """

    people: Floats
    selected: Floats
    expected: Floats
    variance: Floats
    reached: Floats
    both: Floats

    def rates(self) -> dict[str, Floats]:
        """Give selection rate, base rate, precision, recall and calibration; NaN where undefined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "selection_rate": self.selected / self.people,
                "base_rate": self.reached / self.people,
                "precision": self.both / self.selected,
                "recall": self.both / self.reached,
                "calibration": self.reached / self.expected,
            }


def count(people: People, grouping: Grouping) -> Counts:
    """Sum each group's users; shape (groups,). Users whose group is missing are in none."""
    known = grouping.codes >= 0
    codes = grouping.codes[known]

    def summed(values: NDArray[np.generic]) -> Floats:
        weights = values[known].astype(np.float64)
        sums = np.zeros(len(grouping.names))
        np.add.at(sums, codes, weights)
        return sums

    reached = np.zeros(len(people), dtype=bool) if people.reached is None else people.reached
    return Counts(
        people=summed(np.ones(len(people))),
        selected=summed(people.selected),
        expected=summed(people.score),
        variance=summed(people.score * (1.0 - people.score)),
        reached=summed(reached),
        both=summed(reached & people.selected),
    )


def draw(people: People, grouping: Grouping, seed: int) -> Counts:
    """Draw each group's users anew, with replacement, 2,000 times; shape (groups, draws).

    Users are alike if they are chosen or not and, where outcomes are known, reach the goal or not and
    have a score in the same twentieth of the audience, so a draw is one multinomial over such cells,
    whatever the group's size.
    """
    rng = np.random.default_rng(seed)
    cells = people.selected * 2
    if people.reached is not None:
        edges = np.quantile(people.score, np.arange(1, _SCORE_BINS) / _SCORE_BINS)
        cells = cells + people.reached + 4 * np.searchsorted(edges, people.score, side="right")
    shape = (len(grouping.names), DRAWS)
    drawn = Counts(*(np.zeros(shape) for _ in range(6)))
    for group in range(len(grouping.names)):
        inside = grouping.codes == group
        kinds, places, sizes = np.unique(cells[inside], return_inverse=True, return_counts=True)
        total = int(inside.sum())
        times = rng.multinomial(total, sizes / total, size=DRAWS).astype(np.float64)
        score = people.score[inside]
        mean = np.bincount(places, weights=score) / sizes
        spread = np.bincount(places, weights=score * (1.0 - score)) / sizes
        chosen, reaching = kinds % 4 >= 2, kinds % 2 == 1
        drawn.people[group] = total
        drawn.selected[group] = times @ chosen
        drawn.expected[group] = times @ mean
        drawn.variance[group] = times @ spread
        drawn.reached[group] = times @ reaching
        drawn.both[group] = times @ (chosen & reaching)
    return drawn


def interval(draws: Floats, confidence: float) -> tuple[float | None, float | None]:
    """Give the percentile interval of one group's draws; None where nothing could be drawn."""
    finite = draws[np.isfinite(draws)]
    if not len(finite):
        return None, None
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(finite, [tail, 1.0 - tail])
    return float(low), float(high)
