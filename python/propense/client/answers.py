"""What the service answers, as plain values."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from google.protobuf.timestamp_pb2 import Timestamp

from propense._proto import models_pb2, scoring_pb2, types_pb2, users_pb2
from propense.exceptions import NotFoundError, ServiceError
from propense.instants import Instant, from_us, to_us
from propense.receipt import Receipt

_SECOND_US = 1_000_000
EVENT_TIME = pl.Datetime("us", "UTC")
_KINDS: dict[type, pl.DataType] = {str: pl.String(), float: pl.Float64(), bool: pl.Boolean()}
SCORED = scoring_pb2.OUTCOME_SCORED
TIER_NAMES = {
    types_pb2.TIER_MOST_LIKELY: "most_likely",
    types_pb2.TIER_MODERATELY_LIKELY: "moderately_likely",
    types_pb2.TIER_LEAST_LIKELY: "least_likely",
}


@dataclass(frozen=True)
class ModelScore:
    """One user's standing with one model.

    Attributes
    ----------
    model, digest
        The model's name and the SHA-256 of the manifest of the version that answered.
    in_audience
        Whether the model's goal applies to the user; if not, there is no score.
    score, percentile, tier
        As :meth:`propense.Model.score` gives them; a score is a float32's exact value.
    features
        What the model saw, by column name, NaN for missing; None if it was not asked for.
    """

    model: str
    digest: str
    in_audience: bool
    score: float | None
    percentile: float | None
    tier: str | None
    features: dict[str, float] | None = None


@dataclass(frozen=True)
class UserScores:
    """One user's standing with every model asked for, at one instant."""

    user_id: str
    as_of: datetime
    scores: tuple[ModelScore, ...]

    def __getitem__(self, model: str) -> ModelScore:
        """Give the standing with the model of that name."""
        for score in self.scores:
            if score.model == model:
                return score
        known = ", ".join(score.model for score in self.scores)
        raise NotFoundError(f"no model {model!r} in this answer; it has {known or 'none'}")


@dataclass(frozen=True)
class Acknowledgement:
    """What became of one batch of a stream: a receipt if it is safe on disk, else an error.

    Attributes
    ----------
    sequence
        The batch's number, counted from 0 in the order they were given.
    """

    sequence: int
    receipt: Receipt | None
    error: ServiceError | None


@dataclass(frozen=True)
class User:
    """What the store holds of a user: attributes, and the extent of the events."""

    user_id: str
    attributes: dict[str, str | float | bool]
    events: int
    first_event: datetime | None
    last_event: datetime | None


@dataclass(frozen=True)
class UserExport:
    """All that the store holds of a user.

    Attributes
    ----------
    events
        ``event_time``, ``event`` and one column a property, ascending by time; where a property has
        one of the two names already, the event's own column gets a ``_``.
    """

    user_id: str
    attributes: dict[str, str | float | bool]
    events: pl.DataFrame


@dataclass(frozen=True)
class ServedModel:
    """A model as it is served; the fields are those of its manifest."""

    name: str
    digest: str
    goal: str
    when: str
    horizon: str
    direction: str
    audience: tuple[str, ...]
    timezone: str
    trained_as_of: datetime
    features: tuple[str, ...]
    feature_fingerprint: str
    most_likely_from: float
    least_likely_below: float
    metrics: dict[str, Any]


@dataclass(frozen=True)
class ReloadedModel:
    """What became of a model at a reload.

    Attributes
    ----------
    outcome
        ``loaded``, ``unchanged``, ``refused`` (the version served before still is) or ``removed``.
    digest
        Of the version served from now on; None if none is.
    message
        Why it was refused; None otherwise.
    """

    name: str
    outcome: str
    digest: str | None
    message: str | None


def timestamp(instant: Instant | None) -> Timestamp | None:
    """Give an instant as the service takes it; None stays None."""
    return None if instant is None else timestamp_of_us(to_us(instant))


def timestamp_of_us(instant_us: int) -> Timestamp:
    """Give microseconds since 1970 UTC as the service takes them."""
    seconds, micros = divmod(instant_us, _SECOND_US)
    return Timestamp(seconds=seconds, nanos=micros * 1_000)


def us_of(stamp: Timestamp) -> int:
    """Give a timestamp as microseconds since 1970 UTC."""
    return stamp.seconds * _SECOND_US + stamp.nanos // 1_000


def instant_of(stamp: Timestamp) -> datetime:
    """Give a timestamp as a datetime, UTC."""
    return from_us(us_of(stamp))


def model_score(
    version: types_pb2.ModelVersion,
    score: scoring_pb2.Score,
    features: dict[str, float] | None = None,
) -> ModelScore:
    """Give one score; where the user is not in the audience there is none."""
    scored = score.outcome == SCORED
    return ModelScore(
        model=version.name,
        digest=version.digest,
        in_audience=scored,
        score=score.score if scored else None,
        percentile=score.percentile if scored else None,
        tier=TIER_NAMES.get(score.tier) if scored else None,
        features=features if scored else None,
    )


def user_scores(answer: scoring_pb2.ScoreUserResponse, features: bool) -> UserScores:
    """Give one user's scores."""
    scores = []
    for given in answer.scores:
        seen = {one.name: one.value for one in given.features} if features else None
        scores.append(model_score(given.model, given.score, seen))
    return UserScores(answer.user_id, instant_of(answer.as_of), tuple(scores))


def receipt(message: types_pb2.Receipt) -> Receipt:
    """Give a receipt."""
    return Receipt(message.sequence, message.accepted, message.duplicates, message.erased)


def cells(values: Mapping[str, types_pb2.Value]) -> dict[str, str | float | bool]:
    """Give properties or attributes by name; those that are missing are not in it."""
    known = ((name, cell(value)) for name, value in sorted(values.items()))
    return {name: value for name, value in known if value is not None}


def cell(message: types_pb2.Value) -> str | float | bool | None:
    """Give a value, or None for a missing one."""
    kind = message.WhichOneof("kind")
    if kind == "text":
        return message.text
    if kind == "number":
        return message.number
    return message.boolean if kind == "boolean" else None


def user(user_id: str, answer: users_pb2.GetUserResponse) -> User:
    """Give a user."""
    first = answer.first_event_time if answer.HasField("first_event_time") else None
    last = answer.last_event_time if answer.HasField("last_event_time") else None
    return User(
        user_id=user_id,
        attributes=cells(answer.profile.attributes),
        events=answer.events,
        first_event=None if first is None else instant_of(first),
        last_event=None if last is None else instant_of(last),
    )


def user_export(user_id: str, messages: Iterable[users_pb2.ExportUserResponse]) -> UserExport:
    """Gather the messages of an export."""
    attributes: dict[str, str | float | bool] = {}
    kinds: dict[str, pl.DataType] = {}
    rows: list[dict[str, str | float | bool]] = []
    times_us: list[int] = []
    types: list[str] = []
    for message in messages:
        attributes |= cells(message.profile.attributes)
        for event in message.events:
            properties = cells(event.properties)
            kinds |= {name: _KINDS[type(value)] for name, value in properties.items()}
            rows.append(properties)
            times_us.append(us_of(event.event_time))
            types.append(event.event)
    roles = [_free("event_time", kinds), _free("event", kinds)]
    own = pl.DataFrame(
        [pl.Series(roles[0], times_us, EVENT_TIME), pl.Series(roles[1], types, pl.String)]
    )
    events = own.hstack(pl.DataFrame(rows, schema=kinds)) if kinds else own
    return UserExport(user_id, attributes, events)


def _free(name: str, taken: Container[str]) -> str:
    """Give a role's name with a ``_`` for as long as a property has it, as saved logs do."""
    while name in taken:
        name += "_"
    return name


def served_model(model: models_pb2.Model) -> ServedModel:
    """Give a model as it is served."""
    return ServedModel(
        name=model.version.name,
        digest=model.version.digest,
        goal=model.goal,
        when=model.when,
        horizon=model.horizon,
        direction=_lower(models_pb2.Direction.Name(model.direction), "DIRECTION_"),
        audience=tuple(model.audience),
        timezone=model.timezone,
        trained_as_of=instant_of(model.trained_as_of),
        features=tuple(model.features),
        feature_fingerprint=model.feature_fingerprint,
        most_likely_from=model.most_likely_from,
        least_likely_below=model.least_likely_below,
        metrics=json.loads(model.metrics_json or "{}"),
    )


def reloaded_model(model: models_pb2.ReloadedModel) -> ReloadedModel:
    """Give what became of a model at a reload."""
    outcome = _lower(models_pb2.ReloadOutcome.Name(model.outcome), "RELOAD_OUTCOME_")
    return ReloadedModel(model.name, outcome, model.digest or None, model.message or None)


def _lower(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()
