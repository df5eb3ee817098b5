"""A stand-in for the server's other services, for tests of the client."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import grpc
import polars as pl
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from propense._proto import (
    events_pb2,
    events_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    scoring_pb2,
    scoring_pb2_grpc,
    types_pb2,
    users_pb2,
    users_pb2_grpc,
)

EXACT = struct.unpack("<f", struct.pack("<f", 0.1))[0]
VERSION = types_pb2.ModelVersion(name="buys", digest="ab" * 32)


def refuse(context: Any, code: Any, reason: str, *, field: str = "", wait_s: float = 0.0) -> None:
    """End a call as the server does: a status with details."""
    details = [ErrorInfo(reason=reason, domain="propense", metadata={"field": field})]
    if field:
        violation = BadRequest.FieldViolation(field=field, description="wrong")
        details.append(BadRequest(field_violations=[violation]))
    trailers = []
    if wait_s:
        details.append(RetryInfo(retry_delay=Duration(nanos=int(wait_s * 1e9))))
        trailers.append(("grpc-retry-pushback-ms", str(int(wait_s * 1e3))))
    status = Status(code=code.value[0], message=f"{field or 'it'} is wrong")
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    context.set_trailing_metadata(
        (*trailers, ("grpc-status-details-bin", status.SerializeToString()))
    )
    context.abort(code, status.message)


class StandIn(
    scoring_pb2_grpc.ScoringServiceServicer,
    events_pb2_grpc.EventServiceServicer,
    users_pb2_grpc.UserServiceServicer,
    models_pb2_grpc.ModelServiceServicer,
):
    """Answers by plain rules; ``plan`` holds what goes wrong first."""

    def __init__(self) -> None:
        self.plan: list[Callable[[Any], None]] = []
        self.seen: list[Any] = []
        self.headers: dict[str, str] = {}
        self.rows: list[pl.DataFrame] = []
        self.lock = threading.Lock()

    def _enter(self, request: Any, context: Any) -> None:
        with self.lock:
            self.seen.append(request)
            self.headers = dict(context.invocation_metadata())
            wrong = self.plan.pop(0) if self.plan else None
        if wrong is not None:
            wrong(context)

    def ScoreUser(self, request: Any, context: Any) -> Any:
        self._enter(request, context)
        score = scoring_pb2.Score(
            outcome=scoring_pb2.OUTCOME_SCORED,
            score=0.1,
            percentile=12.5,
            tier=types_pb2.TIER_MODERATELY_LIKELY,
        )
        outside = scoring_pb2.Score(outcome=scoring_pb2.OUTCOME_NOT_IN_AUDIENCE)
        other = types_pb2.ModelVersion(name="leaves", digest="cd" * 32)
        seen = [scoring_pb2.Feature(name="count_all", value=3.0)]
        return scoring_pb2.ScoreUserResponse(
            user_id=request.user_id,
            as_of=request.as_of,
            scores=[
                scoring_pb2.ModelScore(model=VERSION, score=score, features=seen),
                scoring_pb2.ModelScore(model=other, score=outside),
            ],
        )

    def ExplainUser(self, request: Any, context: Any) -> Any:
        self._enter(request, context)
        return scoring_pb2.ExplainUserResponse(user_id=request.user_id, model=VERSION)

    def ListModels(self, request: Any, context: Any) -> Any:
        self._enter(request, context)
        named = ("buys", "leaves")
        models = [models_pb2.Model(version=types_pb2.ModelVersion(name=name)) for name in named]
        return models_pb2.ListModelsResponse(models=models)

    def BatchScoreUsers(self, request: Any, context: Any) -> Any:
        self._enter(request, context)
        users = []
        for user in request.user_ids:
            if user.startswith("?"):
                status = types_pb2.Status(code=5, message="nobody", reason="USER_UNKNOWN")
                users.append(scoring_pb2.UserScores(user_id=user, status=status))
                continue
            score = scoring_pb2.Score(outcome=1, score=0.1, percentile=50.0, tier=3)
            users.append(scoring_pb2.UserScores(user_id=user, scores=[score]))
        as_of = request.as_of if request.HasField("as_of") else None
        answer = scoring_pb2.BatchScoreUsersResponse(as_of=as_of, models=[VERSION], users=users)
        if as_of is None:
            answer.as_of.FromMicroseconds(1_234_567)
        return answer

    def StreamScores(self, request: Any, context: Any) -> Iterator[Any]:
        self._enter(request, context)
        for start in (0, 2):
            buffer = BytesIO()
            frame = pl.DataFrame(
                {"user_id": [f"u{start}", f"u{start + 1}"], "score": [0.5, 0.25]},
                schema_overrides={"score": pl.Float32},
            ).with_columns(
                percentile=pl.lit(9.0, pl.Float32),
                tier=pl.Series(["most_likely", "least_likely"], dtype=pl.Categorical),
            )
            frame.write_ipc_stream(buffer)
            yield scoring_pb2.StreamScoresResponse(
                arrow_ipc=buffer.getvalue(), rows=2, model=VERSION, as_of=request.as_of
            )
        if self.plan:
            self.plan.pop(0)(context)

    def IngestEvents(self, request: Any, context: Any) -> Any:
        self._enter(request, context)
        frame = pl.read_ipc_stream(request.arrow_ipc)
        with self.lock:
            self.rows.append(frame)
        receipt = types_pb2.Receipt(sequence=len(self.rows), accepted=frame.height, duplicates=1)
        return events_pb2.IngestEventsResponse(receipt=receipt)

    def StreamEvents(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        for request in requests:
            self.seen.append(request)
            frame = pl.read_ipc_stream(request.batch.arrow_ipc)
            if "bad" in frame.columns:
                error = types_pb2.Status(
                    code=9, message="no", reason="KIND_CONFLICT", field="events[0].bad"
                )
                yield events_pb2.StreamEventsResponse(sequence=request.sequence, error=error)
                continue
            receipt = types_pb2.Receipt(sequence=7, accepted=frame.height)
            yield events_pb2.StreamEventsResponse(sequence=request.sequence, receipt=receipt)

    def ExportUser(self, request: Any, context: Any) -> Iterator[Any]:
        self._enter(request, context)
        value = types_pb2.Value
        yield users_pb2.ExportUserResponse(
            profile=types_pb2.Profile(
                user_id=request.user_id, attributes={"country": value(text="GB"), "age": value()}
            )
        )
        events = [
            types_pb2.Event(event="buy", properties={"amount": value(number=2.5)}),
            types_pb2.Event(
                event="view", properties={"gift": value(boolean=True), "event": value(text="x")}
            ),
        ]
        events[1].event_time.FromMicroseconds(-1)
        yield users_pb2.ExportUserResponse(events=events)

    def PutProfiles(self, request: Any, context: Any) -> Any:
        self._enter(request, context)
        receipt = types_pb2.Receipt(sequence=1, accepted=len(request.profiles))
        return users_pb2.PutProfilesResponse(receipt=receipt)


@contextmanager
def standing_in() -> Iterator[tuple[StandIn, str]]:
    """Serve one on a port of its own; give it and its address."""
    servicer = StandIn()
    server = grpc.server(ThreadPoolExecutor(8))
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(servicer, server)
    events_pb2_grpc.add_EventServiceServicer_to_server(servicer, server)
    users_pb2_grpc.add_UserServiceServicer_to_server(servicer, server)
    models_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield servicer, f"127.0.0.1:{port}"
    finally:
        server.stop(None)
