"""The client: every call of the service, with Polars frames where there are many rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

import polars as pl
from grpc_health.v1 import health_pb2

from propense._proto import models_pb2, scoring_pb2, types_pb2, users_pb2
from propense._proto.models_pb2_grpc import ModelServiceStub
from propense._proto.scoring_pb2_grpc import ScoringServiceStub
from propense._proto.users_pb2_grpc import UserServiceStub
from propense.client import answers, event_stream, ingestion, score_frames
from propense.client.answers import (
    Acknowledgement,
    ReloadedModel,
    ServedModel,
    User,
    UserExport,
    UserScores,
    timestamp,
)
from propense.client.connection import TLS, Connection
from propense.client.messages import event_messages, profile_messages, profile_requests
from propense.client.score_stream import ScoreStream
from propense.event_table import EventColumns
from propense.exceptions import DataError
from propense.instants import Instant
from propense.progress import track
from propense.receipt import NOTHING_WRITTEN, Receipt
from propense.sources import Source
from propense.store_rows import event_rows, profile_rows

BATCH_USERS = 10_000
"""Most users of one call; longer lists are split."""

_TIERS = {name: number for number, name in answers.TIER_NAMES.items()}


class Client:
    """Calls a propense server; safe to share among threads, not across a fork.

    Parameters
    ----------
    address
        ``host:port``.
    token
        What the server's operator gave out; sent with every call, and never in the clear beyond
        this machine.
    tls
        True for the usual authorities, :class:`propense.TLS` for your own; left out: none.
    timeout
        Seconds after which a call of one answer fails with :class:`propense.DeadlineError`,
        retries included; every method takes another.
    stream_timeout
        The same for calls that stream.

    Notes
    -----
    Calls that change nothing, or may be sent again without harm, are tried up to five times where the
    server is busy or away, as long as the timeout allows. An ``as_of`` without a time zone is UTC.
    Every method raises :class:`propense.ServiceError`, or the subclass that fits.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        tls: TLS | bool | None = None,
        timeout: float = 10.0,
        stream_timeout: float = 3_600.0,
    ) -> None:
        self._connection = Connection(address, token, tls)
        self._timeout, self._stream_timeout = timeout, stream_timeout
        channel = self._connection.channel
        self._scoring = ScoringServiceStub(channel)
        self._users = UserServiceStub(channel)
        self._models = ModelServiceStub(channel)
        self._health = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._connection.address

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
            models=_names(models),
            as_of=timestamp(as_of),
            include_features=features,
        )
        answer = self._connection.call(self._scoring.ScoreUser, request, timeout or self._timeout)
        return answers.user_scores(answer, features)

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
                    user_ids=ids[start : start + BATCH_USERS], models=_names(models), as_of=instant
                )
                answer = self._connection.call(
                    self._scoring.BatchScoreUsers, request, timeout or self._timeout
                )
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
            Whether to add a column ``features`` of what the models saw.
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
            models=_names(models),
            as_of=timestamp(as_of),
            include_features=features,
        )
        answer = self._connection.call(self._scoring.ScoreEvents, request, timeout or self._timeout)
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
        with self._connection.explained():
            call = self._scoring.StreamScores(
                request,
                timeout=timeout or self._stream_timeout,
                metadata=self._connection.metadata,
            )
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

    def ingest(
        self,
        source: Source,
        *,
        profiles: Source | None = None,
        user: str = "user_id",
        time: str | None = None,
        event: str = "event",
        event_id: str | None = None,
        event_constant: str | None = None,
        time_unit: str | None = None,
        properties: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Send a log into the server's store; when this returns, all of it is safe on disk.

        Sending the same log again changes nothing, also after a failure half-way.

        Parameters
        ----------
        source
            The events: whatever :func:`propense.read_events` takes, the folder of a saved log too.
        profiles
            Attributes of the users, sent before the events; whatever
            :func:`propense.read_profiles` takes.
        user, time, event, event_constant, time_unit, properties
            As in :func:`propense.read_events`. Ids that are integers are written as text.
        event_id
            Column of ids that tell apart events that are otherwise the same; left out: ``event_id``
            if there is such a column. Without any, rows alike in user, time and type are numbered,
            so that every row counts, as in :func:`propense.read_events`.
        timeout
            Seconds for one batch of rows; left out: the client's.

        Raises
        ------
        DataError
            The log cannot be read.
        InvalidRequestError, FailedPreconditionError
            A row cannot be taken (``field`` says which, of the rows that have a user id); the
            batches before it are in the store.
        """
        names = EventColumns(user, time, event, event_constant, time_unit)
        rows = event_rows(source, names, event_id=event_id, properties=properties, number_ties=True)
        if profiles is not None:
            self.put_profiles(profiles, user=user, timeout=timeout)
        return ingestion.ingest(self._connection, rows, timeout=timeout or self._timeout)

    def stream_events(
        self,
        batches: Iterable[Source],
        *,
        user: str = "user_id",
        time: str | None = None,
        event: str = "event",
        event_id: str | None = None,
        time_unit: str | None = None,
        window: int = 16,
        timeout: float | None = None,
    ) -> Iterator[Acknowledgement]:
        """Send batches of events as they come, and yield what became of each, in order.

        Parameters
        ----------
        batches
            Each as in :func:`propense.read_events`, up to 100,000 events and 32 MiB. They are taken
            from a thread of gRPC's, as acknowledgements make room.
        user, time, event, time_unit
            As in :func:`propense.read_events`.
        event_id
            Column of ids; left out: ``event_id`` if there is such a column. Rows alike in user,
            time, type and id are one event.
        window
            Most batches on their way.
        timeout
            Seconds for the whole stream; left out: the client's ``stream_timeout``.

        Returns
        -------
        Iterator of Acknowledgement
            One a batch. An error in one concerns that batch only, and the others go on. When the
            stream itself fails, send again what was not acknowledged: it is harmless.
        """
        names = EventColumns(user, time, event, time_unit=time_unit)

        def encoded() -> Iterator[bytes]:
            for batch in batches:
                rows = event_rows(batch, names, event_id=event_id, number_ties=False)
                yield rows.encoded()

        self._connection.wait_ready(self._timeout)
        return event_stream.acknowledgements(
            self._connection,
            encoded(),
            window=window,
            timeout=timeout or self._stream_timeout,
        )

    def put_profiles(
        self, source: Source, *, user: str = "user_id", timeout: float | None = None
    ) -> Receipt:
        """Write attributes; attribute by attribute the last write wins, and missing ones stay.

        Parameters
        ----------
        source, user
            As in :func:`propense.read_profiles`.
        timeout
            Seconds for one batch of rows; left out: the client's.
        """
        rows = profile_rows(source, user=user)
        total = NOTHING_WRITTEN
        with track(f"writing profiles of {rows.where}", rows.frame.height) as report:
            for done, request in profile_requests(rows.frame):
                answer = self._connection.call(
                    self._users.PutProfiles, request, timeout or self._timeout
                )
                total += answers.receipt(answer.receipt)
                report(done)
        return total

    def get_user(self, user_id: str | int, *, timeout: float | None = None) -> User:
        """Give a user's attributes and the extent of the events.

        Raises
        ------
        NotFoundError
            The store knows nothing of the user.
        """
        name = score_frames.texts([user_id])[0]
        request = users_pb2.GetUserRequest(user_id=name)
        answer = self._connection.call(self._users.GetUser, request, timeout or self._timeout)
        return answers.user(name, answer)

    def export_user(self, user_id: str | int, *, timeout: float | None = None) -> UserExport:
        """Give all that the store holds of a user.

        Raises
        ------
        NotFoundError
            The store knows nothing of the user.
        """
        name = score_frames.texts([user_id])[0]
        with self._connection.explained():
            call = self._users.ExportUser(
                users_pb2.ExportUserRequest(user_id=name),
                timeout=timeout or self._stream_timeout,
                metadata=self._connection.metadata,
            )
            return answers.user_export(name, call)

    def erase_user(self, user_id: str | int, *, timeout: float | None = None) -> Receipt:
        """Erase a user for good: events, attributes, and whatever comes of them later.

        Erasing someone unknown, or twice, succeeds.
        """
        request = users_pb2.EraseUserRequest(user_id=score_frames.texts([user_id])[0])
        answer = self._connection.call(self._users.EraseUser, request, timeout or self._timeout)
        return answers.receipt(answer.receipt)

    def list_models(self, *, timeout: float | None = None) -> list[ServedModel]:
        """Give every model that is served, ascending by name."""
        answer = self._connection.call(
            self._models.ListModels, models_pb2.ListModelsRequest(), timeout or self._timeout
        )
        return [answers.served_model(model) for model in answer.models]

    def get_model(self, name: str, *, timeout: float | None = None) -> ServedModel:
        """Give one model.

        Raises
        ------
        NotFoundError
            It is not served.
        """
        request = models_pb2.GetModelRequest(name=name)
        answer = self._connection.call(self._models.GetModel, request, timeout or self._timeout)
        return answers.served_model(answer.model)

    def reload_models(
        self, names: str | Sequence[str] = (), *, timeout: float | None = None
    ) -> list[ReloadedModel]:
        """Have the server look at its models' folder again, and say what became of each.

        Parameters
        ----------
        names
            Models to look at; left out: all.
        timeout
            Seconds; left out: the client's.
        """
        request = models_pb2.ReloadModelsRequest(names=_names(names))
        answer = self._connection.call(self._models.ReloadModels, request, timeout or self._timeout)
        return [answers.reloaded_model(model) for model in answer.models]

    def health(self, *, timeout: float | None = None) -> str:
        """Give the server's standing: ``serving``, or ``not_serving`` while it starts and stops."""
        answer = self._connection.call(
            self._health, health_pb2.HealthCheckRequest(), timeout or self._timeout
        )
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status).lower()

    def close(self) -> None:
        """Close the connection; calls under way end with an error."""
        self._connection.close()

    def __enter__(self) -> Self:
        """Give the client, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def __repr__(self) -> str:
        """Say where the server is."""
        return f"Client({self.address!r})"


def _names(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _tiers(names: str | Sequence[str]) -> list[types_pb2.Tier.ValueType]:
    unknown = [name for name in _names(names) if name not in _TIERS]
    if unknown:
        raise DataError(f"no tier {unknown[0]!r}; there are {', '.join(_TIERS)}")
    return [_TIERS[name] for name in _names(names)]
