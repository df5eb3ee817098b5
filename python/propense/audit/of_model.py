"""An audit of a model on a log: scores, outcomes and features at an as_of, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense import _core
from propense.audit.audit import audit
from propense.audit.groups import Edges
from propense.audit.policy import AuditPolicy
from propense.audit.proxies import SAMPLE_USERS
from propense.audit.result import Audit
from propense.events import EventLog, Profiles
from propense.features import compute_matrix, matrix_columns, members, user_frame
from propense.instants import DAY_US, Instant, to_us
from propense.sources import Source
from propense.training.rows import Question

if TYPE_CHECKING:
    from propense.model import Model


def audit_model(
    model: Model,
    log: EventLog,
    profiles: Profiles | Source,
    protected: Sequence[str] | Mapping[str, Edges],
    as_of: Instant | None,
    policy: AuditPolicy | None,
) -> Audit:
    """Score the audience and audit it; see :meth:`propense.Model.audit`."""
    log = model.suited(log)
    timezone = model.features.timezone
    as_of_us = log.span_us[1] + 1 if as_of is None else to_us(as_of, timezone)
    scores = model.score(log, as_of=as_of)
    users = members(log, model.goal.audience.condition, timezone, as_of_us, strict=False)
    outcomes = None  # a log whose last event is on the horizon's last day holds all of it
    if as_of_us + model.goal.horizon_us <= log.span_us[1] + DAY_US:
        reached = Question(log, model.goal, timezone).labels(users, as_of_us)
        outcomes = user_frame(log, users).with_columns(pl.Series("reached", reached))
    if not protected and not isinstance(profiles, Profiles):
        protected = log.protected
    if not protected and not (isinstance(profiles, Profiles) and profiles.protected):
        protected = tuple(model.training.get("protected", ()))
    features = (model.features, sampled_features(model, log, users, as_of_us))
    found = audit(scores, profiles, protected, outcomes=outcomes, features=features, policy=policy)
    return replace(found, model_digest=model.digest)


def sampled_features(
    model: Model, log: EventLog, users: NDArray[np.uint32], as_of_us: int
) -> pl.DataFrame:
    """Give the features of at most 6,000 users drawn at random, for the proxy check."""
    if len(users) > SAMPLE_USERS:
        users = np.sort(np.random.default_rng(0).choice(users, SAMPLE_USERS, replace=False))
    plan = _core.Plan.compile(model.features.spec, log.core, strict=False, before_us=as_of_us)
    matrix = compute_matrix(log, plan, users, as_of_us)
    return user_frame(log, users).hstack(matrix_columns(matrix, model.features.names))
