"""How deliveries stand, told to whoever shows it, every few seconds."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from propense.delivery.control import DestinationState, destination_states
from propense.exceptions import PropenseError

REPORT_S = 2.0
"""How often."""


class Reporter(threading.Thread):
    """Reads the file of the deliveries, whatever those who deliver are waiting for.

    Parameters
    ----------
    folder
        Of the store.
    names
        The destinations that are delivered to; the file may hold others.
    report
        Gets each of them, every ``REPORT_S`` seconds.
    """

    def __init__(
        self, folder: Path, names: Collection[str], report: Callable[[DestinationState], None]
    ) -> None:
        super().__init__(name="report deliveries", daemon=True)
        self._folder, self._names, self._report = folder, names, report
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask it to end."""
        self._stopping.set()

    def run(self) -> None:
        """Report until told to stop."""
        while not self._stopping.wait(REPORT_S):
            try:
                states = destination_states(self._folder)
            except (PropenseError, sqlite3.Error):
                # Those who deliver meet the same and say so; here the last numbers stay.
                continue
            for state in states:
                if state.name in self._names:
                    self._report(state)
