"""Where transitions come from, and what deliveries ask of the server besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from propense.delivery.messages import Message
from propense.segments.transition import Transition


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


class TransitionSource(Protocol):
    """A server as deliveries see it; used from many threads at a time.

    Every method raises :class:`propense.PropenseError` if the server cannot answer now.
    """

    def read(self, segments: Sequence[str], after: int, limit: int, wait_s: float) -> Page:
        """Give transitions of these segments with larger numbers.

        Waits up to ``wait_s`` seconds if there are none yet; ``up_to`` may then still have grown.
        About ``limit`` at most.

        Raises
        ------
        TransitionsGoneError
            Some after that number are no longer kept (``first`` says which are), or the number is
            beyond the last one.
        """

    def newest(self) -> int:
        """Give the number of the last transition of any segment; 0 if there is none."""

    def segment_names(self) -> frozenset[str]:
        """Give the names of all segments that there are, models' tiers included."""

    def now_us(self) -> int:
        """Give the server's now, microseconds since 1970; it may be a simulated one."""

    def segments_of(self, user_id: str, segments: Sequence[str]) -> frozenset[str]:
        """Give which of these segments the user is in now; none for a user who is not known."""

    def models_of(self, segments: Sequence[str]) -> dict[str, str | None]:
        """Give the models that these segments read, directly or not, by name.

        With the digest of the version that is served; None of one that is not.
        """

    def known(self, user_ids: Sequence[str]) -> set[str]:
        """Give those of these users of whom the store knows anything: not those who were erased."""

    def record(self, messages: Sequence[Message]) -> None:
        """Write messages as events; written again, they count once.

        When this returns, rules that count messages see them.
        """
