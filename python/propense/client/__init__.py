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
from propense.client.explanation import Contribution, Standing, UserExplanation
from propense.client.score_stream import ScoreStream
from propense.client.segment_answers import (
    AdvancedClock,
    Backfill,
    Clock,
    LiveSegment,
    LiveSegments,
    Overlap,
    PutSegments,
    UserSegment,
    UserSegments,
)
from propense.client.transition_stream import TransitionStream
from propense.receipt import Receipt

__all__ = [
    "TLS",
    "Acknowledgement",
    "AdvancedClock",
    "Backfill",
    "Client",
    "Clock",
    "Contribution",
    "LiveSegment",
    "LiveSegments",
    "ModelScore",
    "Overlap",
    "PutSegments",
    "Receipt",
    "ReloadedModel",
    "ScoreStream",
    "ServedModel",
    "Standing",
    "TransitionStream",
    "User",
    "UserExplanation",
    "UserExport",
    "UserScores",
    "UserSegment",
    "UserSegments",
]
