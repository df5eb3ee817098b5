"""What takes deliveries, and what it says of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from propense.segments.transition import Transition

Result: TypeAlias = Literal["delivered", "failed", "refused"]


@dataclass(frozen=True)
class Item:
    """A transition on its way to one destination.

    Attributes
    ----------
    transition
        What is to be delivered.
    attempts
        How often it has failed.
    """

    transition: Transition
    attempts: int = 0

    @property
    def number(self) -> int:
        """The transition's number."""
        return self.transition.number


@dataclass(frozen=True)
class Outcome:
    """What became of one item.

    Attributes
    ----------
    result
        ``delivered``; ``failed``: try again later; ``refused``: no use in trying again.
    error
        What went wrong, without personal data.
    retry_after_s
        How long the receiver asked to be left alone.
    pause
        Why nothing more is to be sent to this destination until someone resumes it.
    """

    result: Result
    error: str = ""
    retry_after_s: float | None = None
    pause: str | None = None


DELIVERED = Outcome("delivered")


class SinkUnavailableError(Exception):
    """The destination as a whole cannot take anything now; counts as no item's attempt."""


class Sink(Protocol):
    """One destination's end of the line; used by one thread."""

    batch_items: int
    """Most items of one call, or under way."""

    takes_chains: bool
    """Whether one call may hold several of one user and segment; such a sink never gives ``failed``:
    what goes wrong is either the item's own fault or the destination's."""

    fill_s: float
    """How long to wait for a full batch, from when the first of it came."""

    def written(self, numbers: Sequence[int]) -> set[int]:
        """Give those of the numbers that were delivered though no outcome was kept.

        Asked once at the start and after a cut-off delivery, for sinks that can tell.
        """

    def deliver(self, items: Sequence[Item]) -> list[tuple[Item, Outcome]]:
        """Deliver items, ascending by number.

        Returns
        -------
        list of tuple
            What became of items, of earlier calls too; those that are missing are still under way, and
            the next call, of no items perhaps, may tell. What is ``delivered`` is safe where it went.

        Raises
        ------
        SinkUnavailableError
            Nothing, or nothing that would matter if it came twice, was delivered.
        """

    def close(self) -> None:
        """Let go of connections and files; what is under way may be cut off."""
