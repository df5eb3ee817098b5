"""Which as_of dates train, and which one tests."""

from __future__ import annotations

from dataclasses import dataclass

from propense.exceptions import TrainingError
from propense.instants import DAY_US, in_words

MAX_PERIODS = 6
STEP_DAYS = 30
MIN_HISTORY_DAYS = 30
MAX_BACKTESTS = 5
WANTED_BACKTESTS = 3


@dataclass(frozen=True)
class Cuts:
    """As_of dates in microseconds, ascending; each label window ``[as_of, as_of + horizon)``."""

    as_of_us: tuple[int, ...]
    """Of the model that ships: every label window ends at or before the cut."""

    held_out_us: tuple[int, ...]
    """Of the held-out run: every label window ends at or before the test; may be empty."""

    @property
    def test_us(self) -> int:
        """The as_of of the test period: the newest whose label window is complete."""
        return self.as_of_us[-1]


def choose_cuts(first_us: int, cut_us: int, horizon_us: int) -> Cuts:
    """Choose the as_of dates for a model that may learn from everything before ``cut_us``.

    The newest is one horizon before the cut. Up to five older ones follow at steps of 30 days, as
    long as 30 days of history remain before each; the newest is kept whatever its history, if there
    is any. The test period is the newest; the held-out run trains on dates chosen
    by the same rule as if the test's as_of were the cut, so no label window reaches into the test.

    Parameters
    ----------
    first_us
        Time of the first event.
    cut_us
        Nothing at or after it is seen.
    horizon_us
        The goal's horizon.

    Raises
    ------
    TrainingError
        The log is too short for one as_of with history before it and a full horizon after it.
    """
    as_of_us = periods_before(first_us, cut_us, horizon_us)
    if not as_of_us:
        raise TrainingError(
            f"the log begins {in_words(first_us)}; a horizon of {horizon_us / DAY_US:g} days before "
            f"{in_words(cut_us)} leaves no history to learn from. Use a later as_of, a longer log or "
            "a shorter horizon"
        )
    return Cuts(as_of_us, periods_before(first_us, as_of_us[-1], horizon_us))


def backtest_us(first_us: int, cut_us: int, horizon_us: int) -> tuple[int, ...]:
    """Choose the past as_of dates on which a model is tried out, each as if it were today.

    The newest is one horizon before the cut: the test period. Up to four older ones follow a horizon
    apart, or 30 days if that is more, so that no outcome counts twice. Where that leaves fewer than
    three they move closer together, down to a quarter of a horizon; their outcomes then overlap. Each
    has a horizon and 30 days of history before it to learn from, the newest whatever there is.

    Returns
    -------
    tuple of int
        Ascending, in microseconds; empty if there is nothing to learn from before the newest.
    """
    newest_us = cut_us - horizon_us
    if newest_us - horizon_us <= first_us:
        return ()
    room_us = max(0, newest_us - horizon_us - first_us - MIN_HISTORY_DAYS * DAY_US)
    apart_us = max(horizon_us, STEP_DAYS * DAY_US)
    if room_us // apart_us + 1 < WANTED_BACKTESTS:
        apart_us = max(room_us // (WANTED_BACKTESTS - 1), horizon_us // 4, 1)
    count = min(MAX_BACKTESTS, room_us // apart_us + 1)
    return tuple(newest_us - place * apart_us for place in range(count - 1, -1, -1))


def periods_before(first_us: int, cut_us: int, horizon_us: int) -> tuple[int, ...]:
    """Give the dates that a model may learn from at a cut, ascending; see :func:`choose_cuts`."""
    newest_us = cut_us - horizon_us
    if newest_us <= first_us:
        return ()
    spare_us = max(0, newest_us - first_us - MIN_HISTORY_DAYS * DAY_US)
    steps = min(MAX_PERIODS - 1, spare_us // (STEP_DAYS * DAY_US))
    return tuple(newest_us - step * STEP_DAYS * DAY_US for step in range(steps, -1, -1))
