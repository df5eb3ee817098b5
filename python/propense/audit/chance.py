"""How often chance alone shows a group like this one: exact tails, and a correction for many groups."""

from __future__ import annotations

import math
from collections.abc import Sequence


def lower_tail(hits: int, drawn: int, all_hits: int, everyone: int) -> float:
    """Give the probability of so few hits in a group that was drawn at random.

    Parameters
    ----------
    hits, drawn
        Hits in the group, and its size.
    all_hits, everyone
        Hits among everyone, the group included, and how many everyone is.

    Returns
    -------
    float
        P(X ≤ hits) for X hypergeometric (Fisher's exact test, one tail); 1 where the group has at
        least its share of the hits.
    """
    if hits * everyone >= drawn * all_hits:
        return 1.0
    term = math.exp(
        _log_choose(all_hits, hits)
        + _log_choose(everyone - all_hits, drawn - hits)
        - _log_choose(everyone, drawn)
    )
    total, rest = term, everyone - all_hits
    # Below the mean each further term is smaller by a factor that itself falls, so the sum ends soon.
    for count in range(hits, 0, -1):
        term *= count * (rest - drawn + count) / ((all_hits - count + 1) * (drawn - count + 1))
        total += term
        if term <= total * 1e-17:
            break
    return min(1.0, total)


def two_sided(z: float) -> float:
    """Give the probability that a standard normal is at least this far from 0."""
    return math.erfc(abs(z) / math.sqrt(2.0))


def holm(chances: Sequence[float]) -> list[float]:
    """Correct probabilities for their number (Holm 1979, doi:10.2307/4615733).

    Whatever is then at most α is wrong in at most a share α of all families in which nothing is the
    matter, however the tests depend on each other.
    """
    order = sorted(range(len(chances)), key=lambda place: chances[place])
    corrected, highest = [1.0] * len(chances), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(chances) - rank) * chances[place]))
        corrected[place] = highest
    return corrected


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
