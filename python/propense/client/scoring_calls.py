"""Calls of the scoring service."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import polars as pl

from propense._proto import scoring_pb2, types_pb2
from propense._proto.scoring_pb2_grpc import ScoringServiceStub
from propense.client import answers, explanation, score_frames
from propense.client.answers import UserScores, timestamp
from propense.client.calls import names_of
from propense.client.explanation import UserExplanation
from propense.client.messages import event_messages, profile_messages
from propense.client.model_calls import ModelCalls
from propense.client.score_stream import ScoreStream
from propense.event_table import EventColumns
from propense.exceptions import DataError
from propense.instants import Instant
from propense.progress import track
from propense.sources import Source
from propense.store_rows import event_rows, profile_rows

BATCH_USERS = 10_000
"""Most users of one call; longer lists are split."""

MAX_TOP = 1_000
"""Most features that an explanation lists."""

_TIERS = {name: number for number, name in answers.TIER_NAMES.items()}


class ScoringCalls(ModelCalls):
    """Scores of one user, of many, of events sent along, of a whole audience."""

    @cached_property
    def _scoring(self) -> ScoringServiceStub:
        return ScoringServiceStub(self._connection.channel)

    def score_user(
        self,
        user_id: str | int,
        *,
        models: str | Sequence[str] = (),
        as_of: Instant | None = None,
        features: bool = False,
        timeout: float | None = None,
    ) -> UserScores:
        """Score one user.

        Parameters
        ----------
        user_id
            The user; an integer is written as text, as ingested ids are.
        models
            Names of models; left out: all that are served.
        as_of
            Only events strictly before this instant are seen; left out: the server's clock.
        features
            Whether to give along what the models saw.
        timeout
            Seconds; left out: the client's.

        Raises
        ------
        NotFoundError
            The store knows nothing of the user, or a model is not served.
        """
        request = scoring_pb2.ScoreUserRequest(
            user_id=score_frames.texts([user_id])[0],
            models=names_of(models),
            as_of=timestamp(as_of),
            include_features=features,
        )
        with self._named(request.models):
            answer = self._call(self._scoring.ScoreUser, request, timeout)
        return answers.user_scores(answer, features)

    def explain(
        self,
        user_id: str | int,
        model: str,
        *,
        as_of: Instant | None = None,
        since: Instant | None = None,
        top: int = 5,
        timeout: float | None = None,
    ) -> UserExplanation:
        """Say why one user has the score that a model gives, in the features that moved it most.

        Parameters
        ----------
        user_id
            The user; an integer is written as text, as ingested ids are.
        model
            The model's name.
        as_of
            Only events strictly before this instant are seen; left out: the server's clock.
        since
            An earlier as_of: list what changed the score since then.
        top
            Features to list, 1 to 1,000; the others are summed up.
        timeout
            Seconds; left out: the client's.

        Returns
        -------
        UserExplanation
            The standing, and the contributions of features to its logit, in numbers and in words, as
            :meth:`propense.Model.explain` gives them (:meth:`propense.Model.explain_change` with
            ``since``).

        Raises
        ------
        NotFoundError
            The store knows nothing of the user, or the model is not served.
        FailedPreconditionError
            The model cannot be explained exactly.
        """
        if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= MAX_TOP:
            raise DataError(f"top is {top!r}; expected a number of features, 1 to {MAX_TOP:,}")
        request = scoring_pb2.ExplainUserRequest(
            user_id=score_frames.texts([user_id])[0],
            model=model,
            as_of=timestamp(as_of),
            since=timestamp(since),
            top=top,
        )
        with self._named([model]):
            answer = self._call(self._scoring.ExplainUser, request, timeout)
        return explanation.user_explanation(answer)

    def batch_score_users(
        self,
        user_ids: Sequence[str | int] | pl.Series,
        *,
        models: str | Sequence[str] = (),
        as_of: Instant | None = None,
        timeout: float | None = None,
    ) -> pl.DataFrame:
        """Score many users.

        Parameters
        ----------
        user_ids
            Any number, in any order; more than 10,000 are sent in several calls with one as_of.
        models, as_of, timeout
            As in :meth:`score_user`; the timeout is that of one call.

        Returns
        -------
        polars.DataFrame
            One row a user and model, users in the order given: ``user_id``, ``model``, ``status``
            (``scored``, ``not_in_audience``, or what was wrong with the id, such as
            ``user_unknown``), ``score`` (Float32), ``percentile`` (Float32), ``tier``, ``digest`` of
            the model's version, ``message``. Where nothing was scored, score, percentile and tier
            are null.
        """
        ids, rows = score_frames.texts(user_ids), list[score_frames.Row]()
        instant = timestamp(as_of)
        with track("scoring", len(ids)) as report:
            for start in range(0, len(ids), BATCH_USERS):
                request = scoring_pb2.BatchScoreUsersRequest(
                    user_ids=ids[start : start + BATCH_USERS],
                    models=names_of(models),
                    as_of=instant,
                )
                with self._named(request.models):
                    answer = self._call(self._scoring.BatchScoreUsers, request, timeout)
                instant = answer.as_of
                rows.extend(score_frames.batch_rows(answer))
                report(start + len(request.user_ids))
        return score_frames.score_frame(rows)

    def score_events(
        self,
        source: Source,
        *,
        profiles: Source | None = None,
        models: str | Sequence[str] = (),
        as_of: Instant | None = None,
        features: bool = False,
        user: str = "user_id",
        time: str | None = None,
        event: str = "event",
        event_id: str | None = None,
        time_unit: str | None = None,
        timeout: float | None = None,
    ) -> pl.DataFrame:
        """Score users by events sent along; the store is neither read nor written.

        Parameters
        ----------
        source
            Up to 100,000 events of up to 10,000 users; as in :func:`propense.read_events`.
        profiles
            Attributes of these users; as in :func:`propense.read_profiles`.
        models, as_of, timeout
            As in :meth:`score_user`.
        features
            Whether to add a column ``features`` of what the models saw; of 220 features, the answer
            about more than some 1,500 users is too large.
        user, time, event, event_id, time_unit
            As in :meth:`ingest`.

        Returns
        -------
        polars.DataFrame
            As :meth:`batch_score_users`, ascending by user.
        """
        names = EventColumns(user, time, event, time_unit=time_unit)
        rows = event_rows(source, names, event_id=event_id, number_ties=True)
        known = (
            [] if profiles is None else profile_messages(profile_rows(profiles, user=user).frame)
        )
        request = scoring_pb2.ScoreEventsRequest(
            events=event_messages(rows.frame),
            profiles=known,
            models=names_of(models),
            as_of=timestamp(as_of),
            include_features=features,
        )
        with self._named(request.models):
            answer = self._call(self._scoring.ScoreEvents, request, timeout)
        scored = score_frames.event_rows(answer, features)
        return score_frames.score_frame(scored, features=features)

    def stream_scores(
        self,
        model: str,
        *,
        as_of: Instant | None = None,
        tiers: str | Sequence[str] = (),
        batch_rows: int = 0,
        timeout: float | None = None,
    ) -> ScoreStream:
        """Stream a model's whole audience, or some tiers of it.

        Parameters
        ----------
        model
            Its name.
        as_of
            As in :meth:`score_user`.
        tiers
            Only users in these tiers; left out: all.
        batch_rows
            Most rows of a frame, 1 to 65,536; 0: the server's choice.
        timeout
            Seconds for the whole stream; left out: the client's ``stream_timeout``.

        Returns
        -------
        ScoreStream
            An iterator of frames; see there.
        """
        request = scoring_pb2.StreamScoresRequest(
            model=model, as_of=timestamp(as_of), tiers=_tiers(tiers), batch_rows=batch_rows
        )
        call = self._stream(self._scoring.StreamScores, request, timeout)
        with self._named([model]):
            return ScoreStream(call, self._connection)

    def score_audience(
        self,
        model: str,
        *,
        as_of: Instant | None = None,
        tiers: str | Sequence[str] = (),
        timeout: float | None = None,
    ) -> pl.DataFrame:
        """Score a model's whole audience, as one frame: ``user_id``, ``score``, ``percentile``, ``tier``.

        Parameters are those of :meth:`stream_scores`; users ascend by id.
        """
        with self.stream_scores(model, as_of=as_of, tiers=tiers, timeout=timeout) as stream:
            return pl.concat(list(stream))


def _tiers(names: str | Sequence[str]) -> list[types_pb2.Tier.ValueType]:
    unknown = [name for name in names_of(names) if name not in _TIERS]
    if unknown:
        raise DataError(f"no tier {unknown[0]!r}; there are {', '.join(_TIERS)}")
    return [_TIERS[name] for name in names_of(names)]
