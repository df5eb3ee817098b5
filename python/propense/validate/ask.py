"""From a model and a newer log to a validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from propense import _core
from propense.drift import SAMPLE, looked_at, moved
from propense.events import EventLog
from propense.exceptions import DataError, ModelError
from propense.features import compute_matrix, members
from propense.instants import DAY_US, Instant, from_us, in_words, to_us
from propense.measured import kind_of
from propense.reach import require_passed
from propense.training.metrics import evaluate
from propense.training.rows import Question
from propense.validate.outcomes import outcomes
from propense.validate.validation import Validation

if TYPE_CHECKING:
    from propense.model import Model


def validate(
    model: Model, log: EventLog, scores: pl.DataFrame | None, as_of: Instant | None
) -> Validation:
    """Compare what was predicted as of a date with what happened; see ``Model.validate``."""
    timezone, known_us = model.features.timezone, model.as_of_us
    as_of_us = known_us if as_of is None else to_us(as_of, timezone)
    if as_of_us < known_us:
        raise DataError(
            f"as_of {in_words(as_of_us)} lies before {in_words(known_us)}, up to when the model has "
            "learnt what happened; it can be validated only from there on"
        )
    require_passed(log, model.goal, as_of_us)
    log = model.suited(log)
    question = Question(log, model.goal, timezone)
    given = model.score(log, as_of=from_us(as_of_us)) if scores is None else scores
    forecast = model.forecast(given)  # also refuses what is no score
    found = outcomes(question, given, as_of_us)
    if found.unknown:
        forecast = model.forecast(found.scores)
    spread = model.drift(log) if model._parts.reference is not None else None
    values = found.scores["score"].cast(pl.Float64).to_numpy()
    return Validation(
        goal=model.goal,
        as_of=from_us(as_of_us),
        ends=from_us(as_of_us + model.goal.horizon_us),
        forecast=forecast,
        labels=found.labels,
        unknown=found.unknown,
        metrics=evaluate(found.labels, values),
        then=model.metrics | {"kind": kind_of(model._parts)},
        drift=spread,
        model_digest=model.digest,
    )


def drift(model: Model, log: EventLog, as_of: Instant | None) -> pl.DataFrame:
    """Compare the audience's scores and features with those at training; see ``Model.drift``."""
    reference = model._parts.reference
    if reference is None:
        raise ModelError("this model says nothing of its features at training; train it again")
    timezone = model.features.timezone
    as_of_us = newest_alike(model, log) if as_of is None else to_us(as_of, timezone)
    log = model.suited(log)
    users = members(log, model.goal.audience.condition, timezone, as_of_us, strict=False)
    if not len(users):
        raise DataError(
            f"nobody is in the goal's audience at {in_words(as_of_us)}; "
            f"the log runs from {in_words(log.span_us[0])} to {in_words(log.span_us[1])}"
        )
    sample = users[:: -(-len(users) // SAMPLE)]
    plan = _core.Plan.compile(model.features.spec, log.core, strict=False, before_us=as_of_us)
    matrix = compute_matrix(log, plan, sample, as_of_us)
    scores = model.score_matrix(matrix)[:, np.newaxis]
    audience = int(model.training.get("audience") or len(model.audience))
    parts = [
        moved(reference, "score", ["score"], scores, audience),
        moved(reference, "feature", model.features.names, matrix, looked_at(audience)),
    ]
    kinds = pl.Series("of", ["score"] + ["feature"] * len(model.features))
    return pl.concat(parts).insert_column(0, kinds)


def newest_alike(model: Model, log: EventLog) -> int:
    """Give the newest instant that the log covers a whole number of weeks after training.

    On another day of the week every recency would seem to have moved, for people live by weeks.
    """
    ended_us = log.span_us[1] + 1
    since_us = ended_us - model.as_of_us
    return ended_us if since_us < 0 else ended_us - since_us % (7 * DAY_US)
