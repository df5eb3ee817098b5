"""Segments that a destination names and that are not there: flagged, for they may be put later."""

from __future__ import annotations

import logging
import time

from propense.delivery.destination import Destination
from propense.delivery.ledger import Ledger
from propense.delivery.log_lines import say
from propense.delivery.source import TransitionSource
from propense.goal_types import nearest

LOOK_S = 5.0
"""How often it is looked whether they are there."""


def no_segment(name: str, near: str | None) -> str:
    """Say that a segment is not there, and which may have been meant."""
    return f"no segment {name!r}" + (f" (did you mean {near!r}?)" if near else "")


class NamedSegments:
    """Keeps in the ledger which of a destination's segments are not there, and warns of each once."""

    def __init__(self, destination: Destination, source: TransitionSource, ledger: Ledger) -> None:
        self._destination, self._source, self._ledger = destination, source, ledger
        self._names = {*destination.segments, *filter(None, [destination.only_if])}
        self._missing: dict[str, str | None] | None = None
        self._look_at = 0.0

    def look(self) -> None:
        """Look, now and then, which are not there."""
        if time.monotonic() < self._look_at:
            return
        known = self._source.segment_names()
        self._look_at = time.monotonic() + LOOK_S
        missing = {name: nearest(name, known) for name in sorted(self._names - known)}
        if missing == self._missing:
            return
        self._ledger.note_missing(missing)
        for name, near in missing.items():
            if name not in (self._missing or {}):
                holds_all = name == self._destination.only_if
                lacking = "every enter is held" if holds_all else "nothing of it is delivered"
                problem = f"{no_segment(name, near)}; until there is one, {lacking}"
                say(logging.WARNING, "segment_missing", self._destination.name, problem)
        self._missing = missing
