"""A transition as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from propense.segments.transition import Transition


def in_iso(instant: datetime) -> str:
    """Give an instant as ``2026-01-02T03:04:05.678901Z``."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def line(transition: Transition) -> bytes:
    """Give a transition as one line of JSON, with its end."""
    values = {
        "number": transition.number,
        "user_id": transition.user_id,
        "segment": transition.segment,
        "transition": transition.kind,
        "time": in_iso(transition.time),
        "cause": transition.cause,
    }
    return _json(values) + b"\n"


def webhook_body(transition: Transition) -> bytes:
    """Give a transition as the body of a webhook: type, timestamp, data."""
    data = {
        "number": transition.number,
        "user_id": transition.user_id,
        "segment": transition.segment,
        "cause": transition.cause,
    }
    kind = f"segment.{transition.kind}"
    return _json({"type": kind, "timestamp": in_iso(transition.time), "data": data})


def _json(values: dict[str, Any]) -> bytes:
    # Escaped, so that an id cannot break a line or turn the reading order around.
    return json.dumps(values, separators=(",", ":")).encode()
