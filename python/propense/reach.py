"""How far a log reaches: what it does not hold has not been seen not to happen."""

from __future__ import annotations

import warnings

from propense.events import EventLog
from propense.exceptions import DataError, PropenseWarning, TrainingError
from propense.goal import Goal
from propense.instants import DAY_US, in_words

STALE_US = 7 * DAY_US
"""Scores this long after the newest event come with a warning, with shorter horizons sooner."""


def covers(log: EventLog, goal: Goal, ends_us: int) -> bool:
    """Say whether a log holds the whole of a horizon that ends at an instant.

    One whose newest event is in the horizon's last day will do, for few logs end at midnight sharp.
    """
    return ends_us <= log.span_us[1] + min(DAY_US, goal.horizon_us)


def require_passed(log: EventLog, goal: Goal, as_of_us: int) -> None:
    """Refuse a horizon that has not passed in a log.

    Raises
    ------
    DataError
        Says until when events are needed.
    """
    ends_us = as_of_us + goal.horizon_us
    if not covers(log, goal, ends_us):
        raise DataError(
            f"the horizon of {goal.horizon} from {in_words(as_of_us)} has not passed: it ends "
            f"{in_words(ends_us)}, and {_only_runs_to(log)}; come back with events up to then, or "
            "name an earlier as_of"
        )


def require_reached(log: EventLog, goal: Goal, cut_us: int) -> None:
    """Refuse to learn from what happened before an instant that a log does not reach.

    Raises
    ------
    TrainingError
        Says until when events are needed.
    """
    if not covers(log, goal, cut_us):
        raise TrainingError(
            f"as_of {in_words(cut_us)} lies beyond the log: who reaches the goal before then is not "
            f"known, as {_only_runs_to(log)}; come back with events up to then, or name an earlier "
            "as_of (left out: just after the last event)"
        )


def warn_if_stale(log: EventLog, goal: Goal, as_of_us: int) -> None:
    """Warn the caller's caller of scores as of an instant long after a log's newest event."""
    if as_of_us - log.span_us[1] > min(STALE_US, goal.horizon_us):
        warnings.warn(
            f"scores as of {in_words(as_of_us)} take the time without events before it for inactivity: "
            f"{_only_runs_to(log)}",
            PropenseWarning,
            stacklevel=3,
        )


def _only_runs_to(log: EventLog) -> str:
    return f"the log only runs to {in_words(log.span_us[1])}"
