"""A client of the gRPC service; see :class:`Client`."""

from __future__ import annotations

from propense.client.answers import (
    Acknowledgement,
    ModelScore,
    ReloadedModel,
    ServedModel,
    User,
    UserExport,
    UserScores,
)
from propense.client.client import Client
from propense.client.connection import TLS
from propense.client.score_stream import ScoreStream
from propense.receipt import Receipt

__all__ = [
    "TLS",
    "Acknowledgement",
    "Client",
    "ModelScore",
    "Receipt",
    "ReloadedModel",
    "ScoreStream",
    "ServedModel",
    "User",
    "UserExport",
    "UserScores",
]
