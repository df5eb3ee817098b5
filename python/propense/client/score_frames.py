"""Scores of many users between messages and Polars frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from propense._proto import scoring_pb2, types_pb2
from propense.client.answers import SCORED, TIER_NAMES
from propense.client.rpc_errors import from_status
from propense.exceptions import DataError
from propense.tiers import TIER_TYPE

_SCORED, _OUTSIDE = "scored", "not_in_audience"
_FEATURES = pl.List(pl.Struct({"name": pl.String, "value": pl.Float32}))
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "user_id": pl.String,
    "model": pl.String,
    "status": pl.String,
    "score": pl.Float32,
    "percentile": pl.Float32,
    "tier": TIER_TYPE,
    "digest": pl.String,
    "message": pl.String,
}

Row = tuple[object, ...]


def texts(user_ids: Sequence[str | int] | pl.Series) -> list[str]:
    """Give user ids as the store knows them: as text.

    Raises
    ------
    DataError
        An id is neither text nor an integer.
    """
    ids = user_ids.to_list() if isinstance(user_ids, pl.Series) else list(user_ids)
    for place, user in enumerate(ids):
        if not isinstance(user, str | int) or isinstance(user, bool):
            raise DataError(f"user_ids[{place}] is {user!r}; expected text or an integer")
    return [str(user) for user in ids]


def batch_rows(answer: scoring_pb2.BatchScoreUsersResponse) -> Iterable[Row]:
    """Give one row a user and model of a batch's answer."""
    for user in answer.users:
        if user.status.code == 0:
            for version, score in zip(answer.models, user.scores, strict=True):
                yield _row(user.user_id, version, score)
            continue
        error = from_status(user.status)
        status = (error.reason or error.code).lower()
        for version in answer.models:
            yield (user.user_id, version.name, status, None, None, None, version.digest, str(error))


def event_rows(answer: scoring_pb2.ScoreEventsResponse, features: bool) -> Iterable[Row]:
    """Give one row a user and model of the answer to events sent along."""
    for user in answer.users:
        for given in user.scores:
            row = _row(user.user_id, given.model, given.score)
            seen = [{"name": one.name, "value": one.value} for one in given.features]
            yield (*row, seen or None) if features else row


def score_frame(rows: Iterable[Row], *, features: bool = False) -> pl.DataFrame:
    """Give rows as a frame."""
    schema = SCHEMA | ({"features": _FEATURES} if features else {})
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def audience_frame(arrow_ipc: bytes) -> pl.DataFrame:
    """Give one message of a whole audience's scores as a frame."""
    frame = pl.read_ipc_stream(arrow_ipc)
    return frame.with_columns(pl.col("tier").cast(pl.String).cast(TIER_TYPE))


def _row(user: str, version: types_pb2.ModelVersion, score: scoring_pb2.Score) -> Row:
    if score.outcome != SCORED:
        return (user, version.name, _OUTSIDE, None, None, None, version.digest, None)
    tier = TIER_NAMES.get(score.tier)
    return (user, version.name, _SCORED, score.score, score.percentile, tier, version.digest, None)
