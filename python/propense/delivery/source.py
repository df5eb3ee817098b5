"""Where transitions come from, and what deliveries ask of the server besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from propense.exceptions import ServiceError
from propense.segments.transition import Transition


class TransitionsGoneError(ServiceError, LookupError):
    """The transitions asked for are no longer kept."""


@dataclass(frozen=True)
class Page:
    """The next transitions of some segments.

    Attributes
    ----------
    transitions
        Ascending by number.
    up_to
        All that there is up to this number is in here: read on after it.
    """

    transitions: Sequence[Transition]
    up_to: int


@dataclass(frozen=True)
class Message:
    """A delivered enter, which is an event of the user.

    Attributes
    ----------
    user_id, segment, destination, channel
        Who was told of what, where and by which means.
    number
        The transition's.
    time_us
        When it was delivered, microseconds since 1970 by the server's clock.
    """

    user_id: str
    segment: str
    destination: str
    channel: str
    number: int
    time_us: int


class TransitionSource(Protocol):
    """A server as deliveries see it; used from many threads at a time.

    Every method raises :class:`propense.ServiceError` if the server cannot answer now.
    """

    def read(self, segments: Sequence[str], after: int, limit: int, wait_s: float) -> Page:
        """Give transitions of these segments with larger numbers.

        Waits up to ``wait_s`` seconds if there are none yet; ``up_to`` may then still have grown.
        About ``limit`` at most.

        Raises
        ------
        TransitionsGoneError
            Some after that number are no longer kept.
        """

    def newest(self) -> int:
        """Give the number of the last transition of any segment; 0 if there is none."""

    def now_us(self) -> int:
        """Give the server's now, microseconds since 1970; it may be a simulated one."""

    def segments_of(self, user_id: str, segments: Sequence[str]) -> frozenset[str]:
        """Give which of these segments the user is in now; none for a user who is not known."""

    def record(self, messages: Sequence[Message]) -> None:
        """Write messages as events; written again, they count once.

        When this returns, rules that count messages see them.
        """
