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


class SegmentError(PropenseError, ValueError):
    """A segment or segment file is not valid, or its rule does not fit what it is about."""


class DeliveryError(PropenseError, ValueError):
    """A destination is not valid, or what is kept of deliveries cannot be used."""


class TrainingError(PropenseError, RuntimeError):
    """The log does not allow the training that was asked for."""


class ModelError(PropenseError, RuntimeError):
    """A model or model directory cannot be used."""


class FairnessError(PropenseError, RuntimeError):
    """An audit's verdict does not allow what was asked."""


class PlanError(PropenseError, ValueError):
    """A target, level, cost, budget, value or uplift is not one that can be planned with."""


class OutputError(PropenseError, OSError):
    """A result cannot be written where it was asked to go."""


class ServiceError(PropenseError, RuntimeError):
    """A server refused a call, could not be reached, or did not answer in time.

    Attributes
    ----------
    code
        Canonical gRPC status, such as ``"NOT_FOUND"``.
    reason
        What happened, for programs, such as ``"USER_UNKNOWN"``; None if the server gave none.
    field
        Path of the field at fault, such as ``"events[3].user_id"``; None if no field is.
    retry_after
        Seconds after which the same call may succeed; None if waiting is not known to help.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "UNKNOWN",
        reason: str | None = None,
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.field = field
        self.retry_after = retry_after


class InvalidRequestError(ServiceError, ValueError):
    """What was sent is malformed; ``field`` says where."""


class NotFoundError(ServiceError, LookupError):
    """The user or model that was named is not there."""


class FailedPreconditionError(ServiceError):
    """What was sent does not fit what the server holds, such as a property of another kind."""


class AccessError(ServiceError, PermissionError):
    """The token is missing or wrong, or does not allow the call."""


class OverloadedError(ServiceError):
    """The server is busy or out of space; nothing was taken. See ``retry_after``."""


class UnavailableError(ServiceError, ConnectionError):
    """The server cannot be reached, or is stopping; what was sent may or may not be there."""


class DeadlineError(ServiceError, TimeoutError):
    """The server did not answer in time; what was sent may or may not be there."""


class TransitionsGoneError(ServiceError, LookupError):
    """The transitions asked for are no longer kept, or there are not so many.

    Attributes
    ----------
    first
        Number of the first transition that is still kept; None if there are not so many.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "OUT_OF_RANGE",
        reason: str | None = None,
        first: int | None = None,
    ) -> None:
        super().__init__(message, code=code, reason=reason)
        self.first = first


class PropenseWarning(UserWarning):
    """Something was left out or assumed that the caller should know of."""
