"""From an event log to intent: who is likely to reach a goal, in tiers, calibrated and checked.

>>> import propense as pp
>>> sim = pp.simulate(users=500, seed=1)
>>> log = pp.read_events(sim.events, time="ts")
>>> goal = pp.Goal("buys", "count(purchase) >= 1", horizon="30d")
>>> frame = pp.compute_features(log, ["count(purchase, '30d')"], as_of="2025-01-01")
>>> frame.columns
['user_id', 'purchase_count_30d']
"""

from __future__ import annotations

import os

# ONNX Runtime reads this when its library loads; nothing of a user's data or machine leaves it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from propense.audit import Audit, AuditPolicy, audit
from propense.events import EventLog, Profiles, read_events, read_profiles
from propense.exceptions import (
    AccessError,
    DataError,
    DeadlineError,
    DeliveryError,
    ExpressionError,
    FailedPreconditionError,
    FairnessError,
    GoalError,
    InvalidRequestError,
    ModelError,
    NotFoundError,
    OutputError,
    OverloadedError,
    PlanError,
    PropenseError,
    PropenseWarning,
    SegmentError,
    ServiceError,
    TrainingError,
    TransitionsGoneError,
    UnavailableError,
)
from propense.features import FeatureSet, compute_features
from propense.goal import Audience, Goal, load_goal
from propense.model import Model, load_model
from propense.progress import progress_shown
from propense.report import Report
from propense.saved_log import open_log, verify_log
from propense.segments import Segment, Transition, read_segments, segment
from propense.server import Server, ServerTLS, serve
from propense.simulator import simulate
from propense.tiers import TierPolicy
from propense.training import export_training, train

if TYPE_CHECKING:
    from propense.client import TLS, Client

__version__ = version("propense")

__all__ = [
    "TLS",
    "AccessError",
    "Audience",
    "Audit",
    "AuditPolicy",
    "Client",
    "DataError",
    "DeadlineError",
    "DeliveryError",
    "EventLog",
    "ExpressionError",
    "FailedPreconditionError",
    "FairnessError",
    "FeatureSet",
    "Goal",
    "GoalError",
    "InvalidRequestError",
    "Model",
    "ModelError",
    "NotFoundError",
    "OutputError",
    "OverloadedError",
    "PlanError",
    "Profiles",
    "PropenseError",
    "PropenseWarning",
    "Report",
    "Segment",
    "SegmentError",
    "Server",
    "ServerTLS",
    "ServiceError",
    "TierPolicy",
    "TrainingError",
    "Transition",
    "TransitionsGoneError",
    "UnavailableError",
    "audit",
    "compute_features",
    "export_training",
    "load_goal",
    "load_model",
    "open_log",
    "progress_shown",
    "read_events",
    "read_profiles",
    "read_segments",
    "segment",
    "serve",
    "simulate",
    "train",
    "verify_log",
]


def __getattr__(name: str) -> Any:
    """Import the client when it is first asked for: gRPC takes longer to load than all the rest."""
    if name in ("Client", "TLS"):
        from propense import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
