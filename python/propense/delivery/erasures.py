"""Users who were erased: what waits for them in the queue goes, save the news of it."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable

from propense.delivery.ledger import Ledger
from propense.delivery.source import TransitionSource
from propense.segments.transition import Transition

_SWEEP_USERS, _SWEEP_S = 500, 60.0
_ALL = 1 << 62
"""More than any number."""


class Erasures:
    """Has the ledger of one destination forget users, by transitions that tell and by looking.

    What is under way at that moment cannot be called back. It is remembered here: it is no message,
    for that would be an event of somebody whom the store has forgotten, and it is not tried again.
    """

    def __init__(self, source: TransitionSource) -> None:
        self._source = source
        self._sweep_at, self._swept = 0.0, ""
        self._left = set[int]()

    def hear(
        self, ledger: Ledger, transitions: Iterable[Transition], under_way: Container[int]
    ) -> None:
        """Forget users of whose erasure transitions tell."""
        erased = {one.user_id: one.number for one in transitions if one.cause == "erased"}
        if erased:
            self._left |= ledger.forget(erased, under_way)

    def sweep(self, ledger: Ledger, under_way: Container[int]) -> None:
        """Look, some users at a time, whether those who wait in here are known to the server still.

        Of a user who was erased and was in no segment, no transition tells.
        """
        if time.monotonic() < self._sweep_at:
            return
        users = ledger.users(self._swept, _SWEEP_USERS)
        erased = set(users) - self._source.known(users) if users else set[str]()
        if erased:
            self._left |= ledger.forget(dict.fromkeys(erased, _ALL), under_way)
        ledger.clean()
        self._swept = users[-1] if len(users) == _SWEEP_USERS else ""
        self._sweep_at = time.monotonic() + (0.0 if self._swept else _SWEEP_S)

    def among(self, numbers: Iterable[int]) -> set[int]:
        """Give those of some items under way whose users were erased meanwhile."""
        return self._left & set(numbers)

    def ended(self, ledger: Ledger, numbers: set[int]) -> None:
        """Note that items are dropped."""
        self._left -= numbers
        if numbers:
            ledger.clean()

    def drop_all(self, ledger: Ledger) -> None:
        """Drop all that was under way to erased users, and no longer is."""
        ledger.drop(self._left)
        self.ended(ledger, set(self._left))
