"""Transitions delivered to where they are used: webhooks, files, PostgreSQL."""

from __future__ import annotations

from propense.delivery.deliveries import Deliveries
from propense.delivery.destination import (
    Destination,
    JsonLines,
    Parquet,
    PostgreSQL,
    Retry,
    Webhook,
    destination_from,
    read_destinations,
)
from propense.delivery.messages import Message
from propense.delivery.source import Page, TransitionSource
from propense.exceptions import TransitionsGoneError

__all__ = [
    "Deliveries",
    "Destination",
    "JsonLines",
    "Message",
    "Page",
    "Parquet",
    "PostgreSQL",
    "Retry",
    "TransitionSource",
    "TransitionsGoneError",
    "Webhook",
    "destination_from",
    "read_destinations",
]
