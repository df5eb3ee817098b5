"""Deliveries in the server's log: a JSON object a line, without personal data."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

LOGGER = logging.getLogger("propense.delivery")


def say(level: int, event: str, destination: str, problem: str) -> None:
    """Log what happened to a destination; ``problem`` holds no personal data."""
    fields = {"destination": destination, "problem": problem}
    LOGGER.log(level, "%s: %s: %s", destination, event, problem, extra={"line": (event, fields)})


class JsonLogLines(logging.Formatter):
    """Writes records as the server writes its lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Give one line."""
        event, fields = getattr(record, "line", (record.name, {"problem": record.getMessage()}))
        time = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None).isoformat() + "Z"
        return json.dumps(
            {"time": time, "level": record.levelname.lower(), "event": event} | fields
        )


def log_to_standard_error() -> None:
    """Have deliveries write to standard error, beside the server."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLogLines())
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    LOGGER.setLevel(logging.INFO)
