"""Every error that propense raises, on one page.

All of them derive from :class:`PropenseError`, so ``except pp.PropenseError`` catches whatever the
library itself finds wrong. The message names the place (file, column, row or expression), what was
expected and what to do.
"""

from __future__ import annotations


class PropenseError(Exception):
    """Base of all errors raised by propense."""


class DataError(PropenseError, ValueError):
    """An event log, profile table or frame is not what was expected."""


class ExpressionError(PropenseError, ValueError):
    """A feature, goal or audience expression cannot be parsed or does not fit the log."""


class GoalError(PropenseError, ValueError):
    """A goal or goal file is not valid."""


class TrainingError(PropenseError, RuntimeError):
    """The log does not allow the training that was asked for."""


class ModelError(PropenseError, RuntimeError):
    """A model or model directory cannot be used."""


class OutputError(PropenseError, OSError):
    """A result cannot be written where it was asked to go."""


class PropenseWarning(UserWarning):
    """Something was left out or assumed that the caller should know of."""
