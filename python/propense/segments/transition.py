"""A transition: one user enters or leaves one segment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

TransitionKind: TypeAlias = Literal["enter", "exit"]
Cause: TypeAlias = Literal["event", "time", "rule_change", "model_change", "erased"]


@dataclass(frozen=True, slots=True)
class Transition:
    """One user enters or leaves one segment; of the two, enter and exit alternate, enter first.

    Attributes
    ----------
    number
        1, 2, 3, … without a gap, over all users and segments of a store.
    user_id, segment
        Who, and what.
    kind
        ``enter`` or ``exit``.
    time
        The instant at which membership changed if time caused it; else the server's clock when it
        was evaluated. UTC.
    cause
        ``event`` (an event or attribute of the user came in), ``time`` (it passed), ``rule_change``
        (a segment was put or deleted), ``model_change`` or ``erased`` (the user was).
    """

    number: int
    user_id: str
    segment: str
    kind: TransitionKind
    time: datetime
    cause: Cause
