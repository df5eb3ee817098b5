"""Whom several destinations may be about to contact at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterable


class Claims:
    """Users of whom one destination is between asking whether it may contact them and having done it.

    Until the message is an event, rules do not count it: another destination that asked meanwhile
    would contact the same user once more than the rules allow. Never waits: who does not get a user
    tries again a little later.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: dict[str, str] = {}

    def claim(self, destination: str, user_id: str) -> bool:
        """Claim a user; give whether nobody had, this destination included."""
        with self._lock:
            if user_id in self._users:
                return False
            self._users[user_id] = destination
            return True

    def release(self, destination: str, user_ids: Iterable[str]) -> None:
        """Let others have users."""
        with self._lock:
            for user_id in user_ids:
                if self._users.get(user_id) == destination:
                    del self._users[user_id]
