"""The client against a stand-in for the server: what it sends, how it retries, what it answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

import propense as pp

grpc = pytest.importorskip("grpc")

from client_stand_in import EXACT, VERSION, StandIn, refuse, standing_in  # noqa: E402


@pytest.fixture
def stand_in() -> Iterator[tuple[StandIn, str]]:
    with standing_in() as served:
        yield served


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
    with pytest.raises(pp.UnavailableError) as raised:
        client.score_user("u1", timeout=0.5)
    assert raised.value.reason == "STARTING"


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


def test_a_model_that_is_not_served_is_named_with_the_nearest(
    client: pp.Client, servicer: StandIn
) -> None:
    def unknown(field: str) -> Any:
        code = grpc.StatusCode.NOT_FOUND
        return lambda context: refuse(context, code, "MODEL_UNKNOWN", field=field)

    servicer.plan = [unknown("model")]
    meant = rf"^no model 'buy' is served; did you mean 'buys'\? \({client.address}\)$"
    with pytest.raises(pp.NotFoundError, match=meant) as raised:
        client.explain("u1", "buy")
    assert (raised.value.field, raised.value.reason) == ("model", "MODEL_UNKNOWN")
    servicer.plan = [unknown("models[1]")]
    with pytest.raises(
        pp.NotFoundError, match=r"no model '\?' is served; those that are: buys, lea"
    ):
        client.score_user("u1", models=["buys", "?"])
    servicer.plan = [unknown("model")]
    with pytest.raises(pp.NotFoundError, match="'leave' is served; did you mean 'leaves'"):
        client.stream_scores("leave")
    forbidden = grpc.StatusCode.PERMISSION_DENIED
    servicer.plan = [unknown("model"), lambda context: refuse(context, forbidden, "SCOPE_MISSING")]
    with pytest.raises(pp.NotFoundError, match="model is wrong"):
        client.explain("u1", "buy")


def test_a_deadline_ends_a_call(client: pp.Client, servicer: StandIn) -> None:
    servicer.plan = [lambda _context: time.sleep(1.0)]
    with pytest.raises(pp.DeadlineError):
        client.score_user("u1", timeout=0.1)


@pytest.mark.parametrize("timeout", [0.3, 2.0, 10.0])
def test_nobody_there_is_unavailable_also_at_the_deadline(timeout: float) -> None:
    started = time.monotonic()
    with pp.Client("127.0.0.1:1", timeout=timeout) as client:
        with pytest.raises(pp.UnavailableError, match=r"refused.*\(127\.0\.0\.1:1\)"):
            client.list_models()
        assert time.monotonic() - started < timeout + 1.0
        if timeout < 1.0:
            with pytest.raises(pp.UnavailableError, match="refused"):
                client.ingest(events(1))


def test_a_stream_of_events_to_nobody_is_unavailable() -> None:
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
