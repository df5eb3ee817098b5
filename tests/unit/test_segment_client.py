"""The client's segments against a stand-in for the server: what it sends, gives and survives."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import propense as pp

grpc = pytest.importorskip("grpc")

from propense._proto import segments_pb2  # noqa: E402
from propense.client.transition_stream import TransitionStream  # noqa: E402
from propense.delivery.client_source import ClientSource  # noqa: E402
from segment_stand_in import StandIn, number_message, standing_in  # noqa: E402


@pytest.fixture
def servicer() -> StandIn:
    return StandIn()


@pytest.fixture
def client(servicer: StandIn) -> Iterator[pp.Client]:
    with standing_in(servicer) as address, pp.Client(address, timeout=20.0) as opened:
        yield opened


def test_segments_come_with_counts_and_overlaps(client: pp.Client, servicer: StandIn) -> None:
    held = client.list_segments(overlaps=True)
    assert (held.users, held.last_transition) == (9, 2)
    assert held.as_of == datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC)
    tier, vip = held
    assert (tier.name, tier.tier_of, tier.definition) == ("buys.most_likely", "buys", None)
    valid_from = datetime(1970, 1, 1, microsecond=5, tzinfo=UTC)
    assert vip.definition == pp.Segment("vip", "count(buy) > 9", valid_from=valid_from)
    assert (vip.members, vip.backfill, vip.reads_models) == (3, None, ("buys",))
    assert [(one.first, one.second, one.users) for one in held.overlaps or ()] == [
        ("buys.most_likely", "vip", 1)
    ]
    assert held["vip"] is vip
    with pytest.raises(pp.NotFoundError, match=r"buys\.most_likely, vip"):
        held["vop"]
    assert client.list_segments().overlaps is None


def test_members_come_as_one_series_or_by_page(client: pp.Client, servicer: StandIn) -> None:
    assert client.members("vip").to_list() == ["a", "b", "c"]
    pages = client.stream_members("vip", after="x", page_users=2)
    assert [page.to_list() for page in pages] == [["a", "b"], ["c"]]
    assert (servicer.seen[-1].after_user_id, servicer.seen[-1].page_users) == ("x", 2)
    with pytest.raises(pp.NotFoundError, match="did you mean 'vip'"):
        client.members("vop")


def test_a_users_segments_say_since_when(client: pp.Client, servicer: StandIn) -> None:
    standing = client.user_segments(42, segments=["vip", "far"])
    assert servicer.seen[-1].user_id == "42"
    assert list(servicer.seen[-1].segments) == ["vip", "far"]
    assert standing.names == ["vip"]
    assert "vip" in standing
    assert "far" not in standing
    since = [one.since for one in standing]
    assert since == [datetime(1970, 1, 1, microsecond=1, tzinfo=UTC), None]
    assert not servicer.seen[-1].without_since


def test_membership_alone_says_nothing_of_since_when(client: pp.Client, servicer: StandIn) -> None:
    standing = client.user_segments("u", segments=["vip", "far"], since=False)
    assert servicer.seen[-1].without_since
    assert [(one.segment, one.is_member, one.since) for one in standing] == [
        ("vip", True, None),
        ("far", False, None),
    ]


def test_a_delivery_asks_for_membership_alone(client: pp.Client, servicer: StandIn) -> None:
    assert ClientSource(client).segments_of("u", ["far", "vip"]) == {"vip"}
    assert servicer.seen[-1].without_since


def test_a_delivery_hears_from_where_on_transitions_are_kept(
    client: pp.Client, servicer: StandIn
) -> None:
    servicer.first_kept = 6
    source = ClientSource(client)
    with pytest.raises(pp.TransitionsGoneError) as raised:
        source.read(["vip"], 0, 10, 20.0)
    assert (raised.value.first, raised.value.reason) == (6, "TRANSITIONS_GONE")
    assert source.read(["vip"], 5, 10, 20.0).up_to == 5
    source.close()


def test_what_is_put_arrives_whole(client: pp.Client, servicer: StandIn) -> None:
    vip = pp.Segment(
        "vip",
        "score(buys) >= 0.7",
        stay="score(buys) >= 0.6",
        min_stay="7d",
        valid_from="2026-01-01",
        valid_until="2027-01-01",
        timezone="Europe/Berlin",
        owner="me",
        description="…",
    )
    put = client.put_segment(vip, dry_run=True)
    assert servicer.seen[-1].dry_run
    assert put.changed == ("vip",)
    assert put.segments[0].definition == vip
    least = pp.Segment("other", "count(buy) > 1")
    assert [one.definition for one in client.put_segment([vip, least]).segments] == [vip, least]


def test_waiting_for_a_segment_ends_when_all_users_are_evaluated(
    client: pp.Client, servicer: StandIn
) -> None:
    servicer.backfills = 4
    put = client.put_segment(pp.Segment("vip", "count(buy) > 9"), wait=True)
    assert put.segments[0].members == 3
    assert servicer.backfills == 0
    servicer.backfills = 1_000
    with pytest.raises(pp.DeadlineError, match="not evaluated yet"):
        client.wait_evaluated("vip", timeout=0.3)
    client.wait_evaluated("buys.most_likely", timeout=0.3)


def test_what_cannot_be_repeated_is_not(client: pp.Client, servicer: StandIn) -> None:
    with pytest.raises(pp.UnavailableError):
        client.delete_segment("vip")
    assert len(servicer.seen) == 1


def test_a_clock_is_advanced_by_or_until(client: pp.Client, servicer: StandIn) -> None:
    assert client.advance_clock("30d").last_transition == 3
    assert servicer.seen[-1].by.ToTimedelta() == timedelta(days=30)
    client.advance_clock(timedelta(microseconds=1))
    assert servicer.seen[-1].by.ToMicroseconds() == 1
    client.advance_clock(until="2026-01-01")
    assert servicer.seen[-1].until.ToJsonString() == "2026-01-01T00:00:00Z"
    with pytest.raises(pp.DataError, match="either"):
        client.advance_clock()
    with pytest.raises(pp.DataError, match="either"):
        client.advance_clock("1d", until="2026-01-01")
    with pytest.raises(pp.ExpressionError, match="a month"):
        client.advance_clock("a month")


def test_a_watch_outlives_every_break(client: pp.Client, servicer: StandIn) -> None:
    with client.watch_transitions("vip", after=0) as watched:
        assert watched.up_to == 0
        seen = [next(watched) for _ in range(10)]
    assert [one.number for one in seen] == list(range(1, 11))
    assert [one.kind for one in seen[:2]] == ["exit", "enter"]
    assert seen[0] == pp.Transition(
        1, "u1", "vip", "exit", datetime(1970, 1, 1, microsecond=1, tzinfo=UTC), "time"
    )
    assert watched.up_to == 10
    assert [one.after_number for one in servicer.seen] == [0, 2, 4, 6, 8]
    assert all(list(one.segments) == ["vip"] for one in servicer.seen)


class Scripted:
    """A stream whose messages, or the error at the end, are given."""

    def __init__(self, *messages: Any) -> None:
        self.messages = iter(messages)

    def __iter__(self) -> Scripted:
        return self

    def __next__(self) -> Any:
        message = next(self.messages)
        if isinstance(message, Exception):
            raise message
        return message

    def cancel(self) -> None:
        self.messages = iter(())

    def add_callback(self, _ended: Any) -> bool:
        return False  # as of a call that has ended


def test_up_to_is_what_was_given_not_what_came(client: pp.Client) -> None:
    two = [number_message(3), number_message(5)]
    message = segments_pb2.WatchTransitionsResponse(transitions=two, up_to=9)
    stream = TransitionStream(client._connection, lambda _: Scripted(message), 2, None)
    assert stream.up_to == 2
    assert [next(stream).number, stream.up_to] == [3, 3]
    assert [next(stream).number, stream.up_to] == [5, 9]


def test_what_connecting_again_does_not_help_is_raised(
    client: pp.Client, servicer: StandIn
) -> None:
    with pytest.raises(pp.InvalidRequestError, match="the last transition is 10"):
        client.watch_transitions(after=11)


def test_a_segment_that_is_not_there_is_named_as_it_was_asked_for(client: pp.Client) -> None:
    said = r"^no segment 'nope'; list_segments\(\) names those that there are \("
    with pytest.raises(pp.NotFoundError, match=said) as raised:
        client.watch_transitions(["vip", "nope"])
    assert (raised.value.reason, raised.value.field) == ("SEGMENT_UNKNOWN", "segments[1]")


def test_a_server_that_stays_away_is_an_error_in_the_end(client: pp.Client) -> None:
    first = segments_pb2.WatchTransitionsResponse(up_to=1)
    away = pp.UnavailableError("away", code="UNAVAILABLE")

    def opened(after: int | None) -> Scripted:
        return Scripted(first, away) if after is None else Scripted(away)

    with TransitionStream(client._connection, opened, None, 0.3) as watched:
        started = time.monotonic()
        with pytest.raises(pp.UnavailableError, match="away"):
            next(watched)
    assert time.monotonic() - started >= 0.3


def test_closing_ends_a_watch_that_waits(client: pp.Client, servicer: StandIn) -> None:
    servicer.breaks = []
    watched = client.watch_transitions(after=10)
    ended: queue.Queue[list[Any]] = queue.Queue()
    waiting = threading.Thread(target=lambda: ended.put(list(watched)))
    waiting.start()
    time.sleep(0.2)
    watched.close()
    assert ended.get(timeout=10) == []
    waiting.join()
    assert servicer.gone.wait(10)
