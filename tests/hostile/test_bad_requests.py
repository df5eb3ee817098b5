"""What callers get wrong: the documented value, or an error with the field's path; no ids merge."""

from __future__ import annotations

import math
import random
import struct
import unicodedata
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import propense as pp

grpc = pytest.importorskip("grpc")

from google.protobuf.timestamp_pb2 import Timestamp  # noqa: E402

from propense._proto.events_pb2 import IngestEventsRequest  # noqa: E402
from propense._proto.events_pb2_grpc import EventServiceStub  # noqa: E402
from propense._proto.models_pb2 import GetModelRequest  # noqa: E402
from propense._proto.models_pb2_grpc import ModelServiceStub  # noqa: E402
from propense._proto.scoring_pb2 import (  # noqa: E402
    BatchScoreUsersRequest,
    ScoreEventsRequest,
    ScoreUserRequest,
    StreamScoresRequest,
)
from propense._proto.scoring_pb2_grpc import ScoringServiceStub  # noqa: E402
from propense._proto.types_pb2 import Event, Profile, Value  # noqa: E402
from propense._proto.users_pb2 import PutProfilesRequest  # noqa: E402
from propense._proto.users_pb2_grpc import UserServiceStub  # noqa: E402
from propense.client.rpc_errors import from_rpc  # noqa: E402

NAME = "buys_ticket"
FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
NOON = Timestamp(seconds=1_735_732_800)

ODD = ["\0", "a\0b", "\u202eevil", "\u200b", " ", "  ", " a", "a ", "a\n", "\r\n", "\ufeff", "\x7f"]
ODD += [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
ODD += ["ǅ", "ß", "SS", "ss", "İ", "ı", "i", "I", "ﬁ", "fi", "a", "A", "Ａ", "\U0010ffff", "😀"]
ODD += ["0", "00", "-0", "1e3", "NaN", "null", "None", "true", "../x", "'", '"', "%00", "\\0"]
ODD += ["x" * 1024, "x" * 1023, "é" * 512]


@pytest.fixture(scope="module")
def server(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pp.Server]:
    store = tmp_path_factory.mktemp("hostile") / "store"
    with pp.serve(store, model_folder.parent, address="127.0.0.1:0") as running:
        yield running


@pytest.fixture
def client(server: pp.Server) -> Iterator[pp.Client]:
    with pp.Client(server.address, timeout=30.0) as opened:
        yield opened


@pytest.fixture
def channel(server: pp.Server) -> Iterator[Any]:
    options = [("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(server.address, options) as opened:
        yield opened


def refused(method: Any, request: Any, **options: Any) -> pp.ServiceError:
    """Make a call that must fail; give the error as the client would."""
    with pytest.raises(grpc.RpcError) as raised:
        answer = method(request, timeout=30.0, **options)
        list(answer) if hasattr(answer, "__next__") else None
    return from_rpc(raised.value, "the server")


def event(user: str = "u", name: str = "app_open", **fields: Any) -> Event:
    properties = {key: value for key, value in fields.pop("properties", {}).items()}
    given = {"user_id": user, "event": name, "event_time": NOON} | fields
    return Event(**given, properties=properties)


def ingest(channel: Any, *events: Event) -> Any:
    request = IngestEventsRequest(events=events)
    return EventServiceStub(channel).IngestEvents(request, timeout=30.0).receipt


def not_ingested(channel: Any, *events: Event) -> pp.ServiceError:
    return refused(EventServiceStub(channel).IngestEvents, IngestEventsRequest(events=events))


def test_odd_ids_are_users_of_their_own(client: pp.Client, channel: Any) -> None:
    ids = [f"odd{text}" if len(text.encode()) < 1000 else text for text in ODD] + ODD
    distinct = list(dict.fromkeys(ids))
    receipt = ingest(channel, *(event(user) for user in distinct))
    assert receipt.accepted == len(distinct)
    assert ingest(channel, *(event(user) for user in ids)).duplicates == len(ids)
    for user in distinct:
        found = client.get_user(user)
        assert (found.user_id, found.events) == (user, 1)
    frame = client.batch_score_users(ids, models=NAME)
    assert frame["user_id"].to_list() == ids
    assert set(frame["status"]) <= {"scored", "not_in_audience"}
    assert client.score_user(ODD[0]).user_id == ODD[0]


def test_ten_thousand_random_ids_never_merge(client: pp.Client) -> None:
    rng = random.Random(99)
    alphabet = ["a", "b", "\0", "\u202e", "é", "e\u0301", "\u200d", " ", "\U0001f469", "\n"]
    sent = Counter(
        "r" + "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 7)))
        for _ in range(10_000)
    )
    users = list(sent)
    frame = pl.DataFrame(
        {
            "user_id": [user for user, count in sent.items() for _ in range(count)],
            "event_time": [datetime(2025, 1, 1, tzinfo=UTC)] * sum(sent.values()),
            "event": ["app_open"] * sum(sent.values()),
        }
    )
    assert client.ingest(frame).accepted == 10_000
    scored = client.batch_score_users(users, models=NAME)
    assert "user_unknown" not in scored["status"].to_list()
    for user in rng.sample(users, 200):
        assert client.get_user(user).events == sent[user]
    audience = client.score_audience(NAME)
    known = set(audience["user_id"].to_list())
    assert known >= set(users)
    assert len(known) == audience.height


@pytest.mark.parametrize("user", ["", "x" * 1025, "é" * 513, "x" * 65_536])
def test_what_cannot_be_an_id_is_refused_with_its_path(
    client: pp.Client, channel: Any, user: str
) -> None:
    error = not_ingested(channel, event("fine-but-lost"), event(user))
    assert isinstance(error, pp.InvalidRequestError)
    assert (error.field, error.reason) == ("events[1].user_id", "INVALID_FIELD")
    with pytest.raises(pp.NotFoundError):
        client.get_user("fine-but-lost")
    scoring = ScoringServiceStub(channel)
    assert refused(scoring.ScoreUser, ScoreUserRequest(user_id=user)).field == "user_id"
    frame = client.batch_score_users([user, "u"], models=NAME)
    assert frame["status"][0] == "invalid_field"
    assert frame["status"][1] != "invalid_field"
    profiles = PutProfilesRequest(profiles=[Profile(user_id=user)])
    wrong = refused(UserServiceStub(channel).PutProfiles, profiles)
    assert wrong.field == "profiles[0].user_id"


def test_texts_that_are_not_utf8_do_not_pass(channel: Any) -> None:
    method = channel.unary_unary("/propense.v1.ScoringService/ScoreUser")
    with pytest.raises(grpc.RpcError) as raised:
        method(b"\x0a\x02\xc3\x28", timeout=30.0)
    assert raised.value.code() in (
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.INVALID_ARGUMENT,
    )


def test_numbers_are_kept_as_documented(client: pp.Client, channel: Any) -> None:
    numbers = [0.0, -0.0, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, 2.0**53, 0.1, -1.5]
    sent = [
        event("numbers", event_id=str(place), properties={"x": Value(number=number)})
        for place, number in enumerate(numbers)
    ]
    missing = [
        event("numbers", event_id="nan", properties={"x": Value(number=math.nan)}),
        event("numbers", event_id="unset", properties={"x": Value()}),
    ]
    assert ingest(channel, *sent, *missing).accepted == len(sent) + 2
    export = client.export_user("numbers").events
    found = [value for value in export["x"].to_list() if value is not None]
    assert sorted(map(bits, found)) == sorted(map(bits, numbers))
    assert export["x"].null_count() == 2


def bits(number: float) -> bytes:
    return struct.pack("<d", number)


@pytest.mark.parametrize(
    ("time_us", "kept"),
    [
        (FIRST_US, True),
        (LAST_US, True),
        (0, True),
        (-1, True),
        (FIRST_US - 1, False),
        (LAST_US + 1, False),
    ],
)
def test_the_first_and_last_times_are_kept(
    client: pp.Client, channel: Any, time_us: int, kept: bool
) -> None:
    seconds, micros = divmod(time_us, 1_000_000)
    at = Timestamp(seconds=seconds, nanos=micros * 1_000)
    user = f"at {time_us}"
    if not kept:
        error = not_ingested(channel, event(user, event_time=at))
        assert (type(error), error.field) == (pp.InvalidRequestError, "events[0].event_time")
        return
    ingest(channel, event(user, event_time=at))
    found = client.get_user(user)
    assert found.first_event == found.last_event
    assert client.export_user(user).events["event_time"].to_physical().to_list() == [time_us]
    assert client.score_user(user, as_of=datetime(2025, 6, 1, tzinfo=UTC)).scores


@pytest.mark.parametrize(
    "nanos", [1, 999, 1_000_000_000, -1], ids=["1 ns", "999 ns", "a second", "negative"]
)
def test_parts_of_a_microsecond_are_refused(channel: Any, nanos: int) -> None:
    at = Timestamp(seconds=5, nanos=nanos)
    error = not_ingested(channel, event(event_time=at))
    assert (type(error), error.field) == (pp.InvalidRequestError, "events[0].event_time")
    asked = refused(ScoringServiceStub(channel).ScoreUser, ScoreUserRequest(user_id="u", as_of=at))
    assert (type(asked), asked.field) == (pp.InvalidRequestError, "as_of")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"event_time": None}, "event_time"),
        ({"name": ""}, "event"),
        ({"name": "x" * 257}, "event"),
        ({"event_id": "x" * 1025}, "event_id"),
        ({"properties": {"big": Value(text="x" * 65_537)}}, "properties"),
        ({"properties": {"": Value(text="x")}}, "properties"),
        ({"properties": {"x" * 257: Value(text="x")}}, "properties"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_malformed_fields_are_named(channel: Any, wrong: dict[str, Any], field: str) -> None:
    error = not_ingested(channel, event("fine"), event("bad", **wrong))
    assert isinstance(error, pp.InvalidRequestError)
    assert error.field is not None
    assert error.field.startswith(f"events[1].{field}")


def test_the_largest_fields_are_taken(client: pp.Client, channel: Any) -> None:
    text = Value(text="é" * 32_768)
    big = event("big", "e" * 256, event_id="i" * 1024, properties={"p" * 256: text})
    assert ingest(channel, big).accepted == 1
    assert client.export_user("big").events["p" * 256].to_list() == ["é" * 32_768]


def test_a_property_of_another_kind_refuses_the_batch_whole(
    client: pp.Client, channel: Any
) -> None:
    ingest(channel, event("kinds", properties={"plan": Value(text="gold")}))
    lost = event("not-kept", properties={"plan": Value(text="free")})
    error = not_ingested(channel, lost, event("kinds", properties={"plan": Value(number=1.0)}))
    assert isinstance(error, pp.FailedPreconditionError)
    assert error.reason == "KIND_CONFLICT"
    assert error.field is not None
    assert error.field.startswith("events[1]")
    assert "plan" in error.field
    with pytest.raises(pp.NotFoundError):
        client.get_user("not-kept")
    frame = pl.DataFrame(
        {"user_id": ["a", "b"], "ts": [datetime(2025, 1, 1)] * 2, "event": "e", "plan": [1.0, 2.0]}
    )
    with pytest.raises(pp.FailedPreconditionError, match=r"events\[0\]"):
        client.ingest(frame)


def test_too_many_rows_are_refused(channel: Any) -> None:
    many = [event(event_id=str(row)) for row in range(100_001)]
    error = not_ingested(channel, *many)
    assert (type(error), error.field) == (pp.InvalidRequestError, "events")
    scoring = ScoringServiceStub(channel)
    users = BatchScoreUsersRequest(user_ids=["u"] * 10_001)
    assert refused(scoring.BatchScoreUsers, users).field == "user_ids"
    assert refused(scoring.BatchScoreUsers, BatchScoreUsersRequest()).field == "user_ids"
    assert refused(scoring.ScoreEvents, ScoreEventsRequest()).field == "events"


def test_models_that_are_named_wrongly(channel: Any) -> None:
    scoring, models = ScoringServiceStub(channel), ModelServiceStub(channel)
    ingest(channel, event("someone"))
    unknown = ScoreUserRequest(user_id="someone", models=[NAME, "nobody"])
    error = refused(scoring.ScoreUser, unknown)
    assert (type(error), error.reason) == (pp.NotFoundError, "MODEL_UNKNOWN")
    twice = ScoreUserRequest(user_id="someone", models=[NAME, NAME])
    assert refused(scoring.ScoreUser, twice).field == "models[1]"
    for name in ("", "..", "../models/buys_ticket", "/etc", "a/b", "a\0b", ".hidden", "x" * 129):
        error = refused(models.GetModel, GetModelRequest(name=name))
        assert isinstance(error, pp.InvalidRequestError | pp.NotFoundError), name
        error = refused(scoring.StreamScores, StreamScoresRequest(model=name))
        assert isinstance(error, pp.InvalidRequestError | pp.NotFoundError), name


def test_streams_that_are_asked_for_wrongly(channel: Any) -> None:
    stream = ScoringServiceStub(channel).StreamScores
    for request, field in (
        (StreamScoresRequest(model=NAME, batch_rows=65_537), "batch_rows"),
        (StreamScoresRequest(model=NAME, tiers=[0]), "tiers[0]"),
        (StreamScoresRequest(model=NAME, tiers=[3, 99]), "tiers[1]"),
    ):
        error = refused(stream, request)
        assert (type(error), error.field) == (pp.InvalidRequestError, field)


def arrow(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_ipc_stream(buffer)
    return buffer.getvalue()


GOOD = pl.DataFrame(
    {
        "user_id": ["a", "b"],
        "event_time": pl.Series([0, 1]).cast(pl.Datetime("us", "UTC")),
        "event": ["e", "e"],
    }
)


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        (GOOD.drop("user_id"), "user_id"),
        (GOOD.drop("event_time"), "event_time"),
        (GOOD.drop("event"), "event"),
        (GOOD.with_columns(user_id=pl.Series([1, 2])), "user_id"),
        (GOOD.with_columns(user_id=pl.Series(["a", None])), "events[1].user_id"),
        (GOOD.with_columns(event=pl.Series(["e", None])), "events[1].event"),
        (GOOD.with_columns(event_time=pl.Series(["x", "y"])), "event_time"),
        (GOOD.with_columns(user_id=pl.Series(["a", ""])), "events[1].user_id"),
        (GOOD.with_columns(n=pl.Series([1, 2**53 + 1])), 'events[1].properties["n"]'),
        (GOOD.with_columns(when=pl.col("event_time")), "when"),
        (GOOD.with_columns(many=pl.Series([[1], [2]])), "many"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_tables_that_do_not_fit_are_refused(channel: Any, frame: pl.DataFrame, field: str) -> None:
    request = IngestEventsRequest(arrow_ipc=arrow(frame))
    error = refused(EventServiceStub(channel).IngestEvents, request)
    assert isinstance(error, pp.InvalidRequestError)
    assert field in f"{error.field} {error}"


def test_bytes_that_are_no_table_are_refused(
    channel: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    method, whole, rng = EventServiceStub(channel).IngestEvents, arrow(GOOD), random.Random(5)
    cases = [rng.randbytes(200), b"\xff" * 64, b"ARROW1\0\0" * 8]
    cases += [whole[:cut] for cut in range(8, len(whole) - 16, 37)]
    for case in cases:
        request = IngestEventsRequest(arrow_ipc=case)
        try:
            method(request, timeout=30.0)
        except grpc.RpcError as error:
            assert from_rpc(error, "").code == "INVALID_ARGUMENT"
    for _ in range(300):
        flipped = bytearray(whole)
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        try:
            method(IngestEventsRequest(arrow_ipc=bytes(flipped)), timeout=30.0)
        except grpc.RpcError as error:
            assert from_rpc(error, "").code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION")
    both = IngestEventsRequest(events=[event()], arrow_ipc=whole)
    assert isinstance(refused(method, both), pp.InvalidRequestError)
    assert "panicked" not in capfd.readouterr().err


def test_messages_beyond_the_limit_are_refused(channel: Any) -> None:
    request = IngestEventsRequest(arrow_ipc=bytes(40 * 2**20))
    error = refused(EventServiceStub(channel).IngestEvents, request)
    assert error.code in ("RESOURCE_EXHAUSTED", "OUT_OF_RANGE", "INVALID_ARGUMENT")


def test_the_server_has_seen_all_this_and_serves_on(client: pp.Client) -> None:
    assert client.health() == "serving"
    assert client.list_models()[0].name == NAME
