"""What a durable write answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Receipt:
    """What a durable write did; it is given only once the write is safe on disk.

    Attributes
    ----------
    sequence
        Place of the last commit in the store's log: a later one has a larger number.
    accepted
        Events that are new in the store, or profiles written.
    duplicates
        Events that the store had already; they changed nothing.
    erased
        Events and profiles of erased users, which were dropped.
    """

    sequence: int
    accepted: int
    duplicates: int
    erased: int

    def __add__(self, other: Receipt) -> Receipt:
        """Sum up two writes."""
        return Receipt(
            max(self.sequence, other.sequence),
            self.accepted + other.accepted,
            self.duplicates + other.duplicates,
            self.erased + other.erased,
        )


NOTHING_WRITTEN = Receipt(0, 0, 0, 0)
