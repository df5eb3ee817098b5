"""How long to wait before another attempt."""

from __future__ import annotations

import random
from collections.abc import Callable

LONGEST_ASKED_S = 3_600.0
"""However long a receiver asks to be left alone, it is tried again after this."""


def full_jitter(
    failures: int,
    first_s: float,
    longest_s: float,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Give the seconds to wait after so many failures, at least one, in a row.

    Anything between 0 and ``first_s`` doubled with every failure, ``longest_s`` at most: receivers
    that failed together are not tried again together.
    """
    doubled = first_s * 2.0 ** min(failures - 1, 60)
    return uniform(0.0, min(longest_s, doubled))


class Pace:
    """When a destination may be tried again as a whole, and with how much.

    After ``patience`` failures with no success between them it is taken to be down: it is then
    asked with one item at a time, at growing intervals, until one goes through.
    """

    def __init__(self, first_s: float, longest_s: float, patience: int = 5) -> None:
        self._first_s, self._longest_s, self._patience = first_s, longest_s, patience
        self._failures = 0
        self._not_before = 0.0

    @property
    def down(self) -> bool:
        """Whether the destination is taken to be down."""
        return self._failures >= self._patience

    def wait_s(self, now: float) -> float:
        """Give the seconds until the next attempt; 0 if it may be now."""
        return max(0.0, self._not_before - now)

    def succeeded(self) -> None:
        """Note that something went through."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """Note that an item did not go through."""
        self._failures += 1
        if self.down:
            beyond = self._failures - self._patience + 1
            self._not_before = now + full_jitter(beyond, self._first_s, self._longest_s)

    def unavailable(self, now: float, asked_s: float | None = None) -> None:
        """Note that nothing can go through now, or that the receiver asked to be left alone."""
        self._failures = max(self._failures + 1, self._patience)
        beyond = self._failures - self._patience + 1
        wait = full_jitter(beyond, self._first_s, self._longest_s)
        asked = min(asked_s or 0.0, LONGEST_ASKED_S)
        self._not_before = now + max(wait, asked)
