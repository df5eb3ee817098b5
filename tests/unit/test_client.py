"""The client against a stand-in for the server: what it sends, how it retries, what it answers."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import polars as pl
import pytest

import propense as pp

grpc = pytest.importorskip("grpc")

from google.protobuf.any_pb2 import Any as AnyMessage  # noqa: E402
from google.protobuf.duration_pb2 import Duration  # noqa: E402
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # noqa: E402
from google.rpc.status_pb2 import Status  # noqa: E402

from propense._proto import (  # noqa: E402
    events_pb2,
    events_pb2_grpc,
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


@pytest.fixture
def stand_in() -> Iterator[tuple[StandIn, str]]:
    servicer = StandIn()
    server = grpc.server(ThreadPoolExecutor(8))
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(servicer, server)
    events_pb2_grpc.add_EventServiceServicer_to_server(servicer, server)
    users_pb2_grpc.add_UserServiceServicer_to_server(servicer, server)
    models_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture
def servicer(stand_in: tuple[StandIn, str]) -> StandIn:
    return stand_in[0]


@pytest.fixture
def client(stand_in: tuple[StandIn, str]) -> Iterator[pp.Client]:
    with pp.Client(stand_in[1], token="secret", timeout=20.0) as opened:
        yield opened


def events(rows: int) -> pl.DataFrame:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    return pl.DataFrame({"user_id": [f"u{row}" for row in range(rows)]}).with_columns(
        ts=pl.lit(start) + pl.duration(seconds=pl.int_range(pl.len())),
        event=pl.lit("buy"),
        amount=pl.int_range(pl.len()),
    )


def test_one_user_comes_back_whole(client: pp.Client, servicer: StandIn) -> None:
    answer = client.score_user("u1", models="buys", as_of="2025-05-01", features=True)
    assert servicer.seen[0].user_id == "u1"
    assert list(servicer.seen[0].models) == ["buys"]
    assert servicer.seen[0].include_features
    assert servicer.headers["authorization"] == "Bearer secret"
    assert answer.as_of == datetime(2025, 5, 1, tzinfo=UTC)
    one = answer["buys"]
    assert (one.score, one.percentile, one.tier) == (EXACT, 12.5, "moderately_likely")
    assert one.features == {"count_all": 3.0}
    outside = answer["leaves"]
    assert (outside.in_audience, outside.score, outside.tier) == (False, None, None)
    with pytest.raises(pp.NotFoundError, match="buys, leaves"):
        answer["flies"]


def test_long_lists_are_split_and_share_one_as_of(client: pp.Client, servicer: StandIn) -> None:
    users = [f"u{user}" for user in range(12_000)]
    users[11_000] = "?"
    frame = client.batch_score_users(users)
    assert [len(request.user_ids) for request in servicer.seen] == [10_000, 2_000]
    assert servicer.seen[1].as_of.ToMicroseconds() == 1_234_567
    assert frame["user_id"].to_list() == users
    assert frame.schema["tier"] == pl.Enum(["most_likely", "moderately_likely", "least_likely"])
    unknown = frame.row(11_000, named=True)
    assert (unknown["status"], unknown["score"], unknown["tier"]) == ("user_unknown", None, None)
    assert frame["status"].value_counts().sort("count")["count"].to_list() == [1, 11_999]
    assert client.batch_score_users([]).schema == frame.schema


def test_a_stream_of_scores_is_frames(client: pp.Client) -> None:
    with client.stream_scores("buys", as_of="2025-05-01", tiers="most_likely") as stream:
        assert stream.digest == VERSION.digest
        assert stream.as_of == datetime(2025, 5, 1, tzinfo=UTC)
        frames = list(stream)
    assert [frame.height for frame in frames] == [2, 2]
    whole = client.score_audience("buys", as_of="2025-05-01")
    assert whole.equals(pl.concat(frames))
    assert whole.columns == ["user_id", "score", "percentile", "tier"]
    with pytest.raises(pp.DataError, match="no tier 'best'"):
        client.stream_scores("buys", tiers=["best"])


def test_a_stream_that_breaks_says_so(client: pp.Client, servicer: StandIn) -> None:
    stopping = grpc.StatusCode.UNAVAILABLE
    servicer.plan = [lambda _: None, lambda context: refuse(context, stopping, "STOPPING")]
    stream = client.stream_scores("buys")
    with pytest.raises(pp.UnavailableError) as raised:
        list(stream)
    assert raised.value.reason == "STOPPING"


def test_a_log_goes_in_batches_of_plain_columns(client: pp.Client, servicer: StandIn) -> None:
    log = events(60_000).with_columns(
        kind=pl.Series(["a", "b"] * 30_000, dtype=pl.Categorical), far=pl.lit(2**60)
    )
    receipt = client.ingest(log)
    assert (receipt.accepted, receipt.duplicates, receipt.sequence) == (60_000, 3, 3)
    sent = pl.concat(sorted(servicer.rows, key=lambda frame: frame["amount"][0]))
    assert sent["amount"].to_list() == list(range(60_000))
    assert sent.columns[:3] == ["user_id", "event_time", "event"]
    assert sent.schema["kind"] == pl.String
    assert sent.schema["far"] == pl.String


def test_rows_that_tie_are_numbered_alike_in_any_order(
    client: pp.Client, servicer: StandIn
) -> None:
    basket = pl.DataFrame(
        {
            "user_id": [1, 1, 1, 2],
            "ts": [datetime(2025, 1, 1)] * 4,
            "event": ["buy"] * 4,
            "item": ["pen", "ink", "pen", "pen"],
        }
    )
    client.ingest(basket)
    client.ingest(basket.reverse())
    first, second = (frame.sort(pl.all()) for frame in servicer.rows)
    assert first.equals(second)
    assert first["user_id"].to_list() == ["1", "1", "1", "2"]
    assert first.filter(user_id="1")["event_id"].to_list() == [None, "2", "3"]
    assert first.filter(user_id="2")["event_id"].to_list() == [None]
    named = basket.with_columns(nr=pl.Series(["a", "b", "c", "d"]))
    client.ingest(named, event_id="nr")
    assert servicer.rows[2]["event_id"].to_list() == ["a", "b", "c", "d"]


def test_an_error_in_a_batch_counts_rows_from_the_first(
    client: pp.Client, servicer: StandIn
) -> None:
    def wrong(context: Any) -> None:
        code = grpc.StatusCode.INVALID_ARGUMENT
        refuse(context, code, "INVALID_FIELD", field="events[3].amount")

    servicer.plan = [lambda _context: None, wrong]
    log = events(30_000)
    with pytest.raises(pp.InvalidRequestError, match=r"the data frame: events\[\d+\]") as raised:
        client.ingest(log)
    assert raised.value.field in ("events[3].amount", "events[25003].amount")
    assert raised.value.reason == "INVALID_FIELD"


def test_busy_and_gone_are_tried_again_after_the_pushback(
    client: pp.Client, servicer: StandIn
) -> None:
    busy = grpc.StatusCode.RESOURCE_EXHAUSTED
    servicer.plan = [
        lambda context: refuse(context, busy, "OVERLOADED", wait_s=0.3),
        lambda context: refuse(context, grpc.StatusCode.UNAVAILABLE, "STOPPING"),
    ]
    started = time.monotonic()
    client.score_user("u1")
    assert time.monotonic() - started >= 0.3
    assert len(servicer.seen) == 3


def test_a_server_that_stays_busy_is_reported(client: pp.Client, servicer: StandIn) -> None:
    busy = grpc.StatusCode.RESOURCE_EXHAUSTED
    servicer.plan = [lambda context: refuse(context, busy, "OVERLOADED", wait_s=0.02)] * 5
    with pytest.raises(pp.OverloadedError) as raised:
        client.score_user("u1")
    assert len(servicer.seen) == 5
    assert raised.value.code == "RESOURCE_EXHAUSTED"
    assert raised.value.retry_after == pytest.approx(0.02)


def test_a_server_that_starts_is_waited_for(client: pp.Client, servicer: StandIn) -> None:
    def start(context: Any) -> None:
        refuse(context, grpc.StatusCode.UNAVAILABLE, "STARTING", wait_s=0.02)

    servicer.plan = [start] * 12
    client.score_user("u1")
    assert len(servicer.seen) == 13
    servicer.plan = [start] * 12
    client.put_profiles(pl.DataFrame({"user_id": ["a"], "age": [3]}))
    assert len(servicer.seen) == 26
    servicer.plan = [start] * 40
    assert client.ingest(events(60_000)).accepted == 60_000
    servicer.plan = [start] * 10_000
    with pytest.raises(pp.ServiceError) as raised:
        client.score_user("u1", timeout=0.5)
    assert raised.value.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


def test_attributes_are_not_sent_twice_after_a_lost_connection(
    client: pp.Client, servicer: StandIn
) -> None:
    profiles = pl.DataFrame({"user_id": ["a"], "age": [3]})
    servicer.plan = [lambda context: refuse(context, grpc.StatusCode.UNAVAILABLE, "DISK_FAILED")]
    with pytest.raises(pp.UnavailableError):
        client.put_profiles(profiles)
    assert len(servicer.seen) == 1
    assert client.put_profiles(profiles).accepted == 1
    assert servicer.seen[1].profiles[0].attributes["age"].number == 3.0


def test_every_code_is_an_error_of_its_own(client: pp.Client, servicer: StandIn) -> None:
    codes = grpc.StatusCode
    for code, kind in (
        (codes.INVALID_ARGUMENT, pp.InvalidRequestError),
        (codes.NOT_FOUND, pp.NotFoundError),
        (codes.FAILED_PRECONDITION, pp.FailedPreconditionError),
        (codes.UNAUTHENTICATED, pp.AccessError),
        (codes.PERMISSION_DENIED, pp.AccessError),
        (codes.DEADLINE_EXCEEDED, pp.DeadlineError),
        (codes.INTERNAL, pp.ServiceError),
    ):
        servicer.plan = [lambda context, code=code: refuse(context, code, "X", field="user_id")]
        with pytest.raises(kind) as raised:
            client.score_user("u1")
        assert (raised.value.code, raised.value.field) == (code.name, "user_id")


def test_a_deadline_ends_a_call(client: pp.Client, servicer: StandIn) -> None:
    servicer.plan = [lambda _context: time.sleep(1.0)]
    with pytest.raises(pp.DeadlineError):
        client.score_user("u1", timeout=0.1)


def test_nobody_there_is_unavailable() -> None:
    with pp.Client("127.0.0.1:1", timeout=2.0) as client, pytest.raises(pp.ServiceError) as raised:
        client.list_models()
    assert raised.value.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
    assert "127.0.0.1:1" in str(raised.value)
    with pp.Client("127.0.0.1:1", timeout=0.2) as client, pytest.raises(pp.UnavailableError):
        client.stream_events([events(1)])


def test_a_stream_of_events_is_acknowledged_in_order(client: pp.Client, servicer: StandIn) -> None:
    batches = [events(3), events(2).rename({"amount": "bad"}), *[events(1)] * 40]
    acks = list(client.stream_events(iter(batches), window=4))
    assert [ack.sequence for ack in acks] == list(range(42))
    assert acks[0].receipt is not None
    assert acks[0].receipt.accepted == 3
    assert acks[1].receipt is None
    assert isinstance(acks[1].error, pp.FailedPreconditionError)
    assert acks[1].error.field == "events[0].bad"


def test_a_producer_that_fails_ends_its_stream(client: pp.Client) -> None:
    def failing() -> Iterator[pl.DataFrame]:
        yield events(1)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        list(client.stream_events(failing()))


def test_leaving_a_stream_of_events_early_stops_the_producer(client: pp.Client) -> None:
    given = 0

    def endless() -> Iterator[pl.DataFrame]:
        nonlocal given
        while True:
            given += 1
            yield events(1)

    stream = client.stream_events(endless(), window=3)
    next(stream)
    stream.close()
    before = 0
    for _ in range(100):
        if given == before:
            break
        # gRPC asks on a thread of its own, which may be late to notice the end.
        before = given
        time.sleep(0.2)
    assert given == before
    assert given < 20


def test_an_export_is_a_frame(client: pp.Client) -> None:
    export = client.export_user(7)
    assert (export.user_id, export.attributes) == ("7", {"country": "GB"})
    expected = pl.DataFrame(
        {
            "event_time": pl.Series([0, -1]).cast(pl.Datetime("us", "UTC")),
            "event_": ["buy", "view"],
            "amount": [2.5, None],
            "event": [None, "x"],
            "gift": [None, True],
        }
    )
    assert export.events.equals(expected)


def test_a_token_never_leaves_this_machine_in_the_clear() -> None:
    with pytest.raises(pp.DataError, match="in the clear"):
        pp.Client("scores.example:443", token="secret")
    pp.Client("scores.example:443", token="secret", tls=True).close()
    pp.Client("[::1]:443", token="secret").close()
    with pytest.raises(pp.DataError, match="both certificate"):
        pp.Client("scores.example:443", tls=pp.TLS(certificate="a.pem"))


def test_ids_that_are_neither_text_nor_integers_are_refused(client: pp.Client) -> None:
    for wrong in (1.5, None, True, b"u1"):
        with pytest.raises(pp.DataError, match=r"user_ids\[0\]"):
            client.score_user(wrong)  # type: ignore[arg-type]
