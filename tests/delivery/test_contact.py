"""Contact rules: held enters, messages as events, caps that hold over destinations."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pretend_server import PretendServer, caught_up, folded, items, standing, until
from receiver import SECRET, Receiver, Request, receiver

from propense.delivery import Deliveries, Destination, Message, destination_from
from propense.delivery.contact import Claims
from propense.delivery.contact_rules import ContactRules
from propense.delivery.json_lines import JsonLinesSink
from propense.delivery.ledger import Ledger
from propense.delivery.ledger_schema import LEDGER
from propense.delivery.sink import Item

SEGMENTS = ("at_risk", "vip", "likely")


def mail(url: str, **options: object) -> Destination:
    values = {
        "name": "mail",
        "kind": "webhook",
        "segments": SEGMENTS,
        "url": url,
        "secrets": [SECRET],
        "allow_private": ["127.0.0.1"],
        "begin": "beginning",
        "channel": "email",
        "only_if": "may_contact",
        "retry": {"first_s": 0.01, "longest_s": 0.05, "attempts": 1_000},
    }
    return destination_from(values | options, "test")


def lines(path: Path, **options: object) -> Destination:
    values = {"name": "lines", "kind": "jsonl", "segments": SEGMENTS, "path": path}
    return destination_from(values | {"channel": "email"} | options, "test")


def read_lines(path: Path) -> list[tuple[str, str, str]]:
    rows = [json.loads(text) for text in path.read_text().splitlines()]
    return [(row["user_id"], row["segment"], row["transition"]) for row in rows]


@pytest.fixture
def server() -> PretendServer:
    return PretendServer()


@pytest.fixture(name="receiving")
def receiving_fixture() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def test_an_enter_waits_until_the_user_may_be_contacted(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    server.move("bob", "may_contact")
    server.move("ann", "vip")
    server.move("bob", "vip")
    with Deliveries([mail(receiving.url)], server, tmp_path):
        until(lambda: receiving.moves() == [("bob", "vip", "enter")])
        until(lambda: items(tmp_path, "mail", "held"))
        server.move("ann", "may_contact")
        until(lambda: ("ann", "vip", "enter") in receiving.moves())
        server.move("ann", "vip")
        until(lambda: ("ann", "vip", "exit") in receiving.moves())
    assert [one.user_id for one in server.messages] == ["bob", "ann"]


def test_of_a_user_who_leaves_first_nothing_is_delivered(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    server.move("ann", "vip")
    with Deliveries([mail(receiving.url)], server, tmp_path):
        until(lambda: items(tmp_path, "mail", "held"))
        server.move("ann", "vip")
        server.move("ann", "may_contact")
        until(lambda: caught_up(tmp_path, "mail", server))
        server.move("ann", "vip")
        until(lambda: receiving.requests)
        until(lambda: caught_up(tmp_path, "mail", server))
    assert receiving.moves() == [("ann", "vip", "enter")]
    assert standing(tmp_path, "mail")["dropped"] == 1


def test_who_has_left_already_is_not_contacted_though_the_exit_is_not_read_yet(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    server.move("ann", "may_contact")
    server.move("ann", "vip")
    server.members["ann", "vip"] = False
    with Deliveries([mail(receiving.url)], server, tmp_path):
        until(lambda: items(tmp_path, "mail", "held"))
        time.sleep(0.1)
    assert not receiving.requests


def test_an_exit_follows_an_enter_that_may_have_arrived(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    broken = True
    receiving.answer = lambda request: (500 if broken else 200, {})
    server.move("ann", "may_contact")
    server.move("ann", "vip")
    with Deliveries([mail(receiving.url)], server, tmp_path):
        until(lambda: receiving.requests)
        server.move("ann", "vip")
        until(lambda: any(one.type == "segment.exit" for one in receiving.requests))
        broken = False
        until(lambda: caught_up(tmp_path, "mail", server))
    assert receiving.moves() == [("ann", "vip", "exit")]
    assert not server.messages


def test_each_delivered_enter_is_one_message_before_the_servers_now(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    server.wander(200, 20, SEGMENTS, seed=4)
    with Deliveries([mail(receiving.url, only_if=None)], server, tmp_path):
        until(lambda: caught_up(tmp_path, "mail", server))
        now_us = server.now_us()
    enters = {one.number for one in server.transitions if one.kind == "enter"}
    assert Counter(one.number for one in server.messages) == Counter(enters)
    by_number = {one.number: one for one in server.transitions}
    for message in server.messages:
        moved = by_number[message.number]
        assert (message.user_id, message.segment) == (moved.user_id, moved.segment)
        assert (message.channel, message.destination) == ("email", "mail")
        assert message.time_us < now_us


def test_a_cap_holds_over_segments_and_destinations(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    sent: Counter[str] = Counter()
    lock = threading.Lock()

    def cap(message: Message) -> None:
        with lock:
            sent[message.user_id] += 1
            if sent[message.user_id] == 2:
                server.move(message.user_id, "may_contact")

    def answer(_request: object) -> tuple[int, dict[str, str]]:
        time.sleep(0.01)
        return 200, {}

    server.on_message, receiving.answer = cap, answer
    users = [f"u{number}" for number in range(25)]
    for user in users:
        server.move(user, "may_contact")
    destinations = [mail(receiving.url, name=name) for name in ("mail", "news", "offers")]
    # Segment by segment, and user by user.
    for segment in SEGMENTS:
        for user in users[:12]:
            server.move(user, segment)
    for user in users[12:]:
        for segment in SEGMENTS:
            server.move(user, segment)
    with Deliveries(destinations, server, tmp_path):
        until(lambda: len(server.messages) == 50)
        until(lambda: all(not items(tmp_path, one.name, "waiting", "sent") for one in destinations))
    delivered = Counter((user, kind) for user, _, kind in receiving.moves())
    assert delivered == {(user, "enter"): 2 for user in users}
    assert sent == {user: 2 for user in users}


def test_a_message_is_recorded_although_the_server_was_away_or_the_process_ended(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    def answer(_request: object) -> tuple[int, dict[str, str]]:
        server.away = True
        return 200, {}

    receiving.answer = answer
    server.move("ann", "may_contact")
    server.move("ann", "vip")
    with Deliveries([mail(receiving.url)], server, tmp_path):
        until(lambda: items(tmp_path, "mail", "sent"))
    assert not server.messages
    server.away = False
    with Deliveries([mail(receiving.url)], server, tmp_path):
        until(lambda: server.messages)
        until(lambda: caught_up(tmp_path, "mail", server))
    assert len(receiving.requests) == 1


def test_nobody_else_contacts_a_user_whose_last_message_is_not_recorded_yet(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    server.on_message = lambda message: server.move(message.user_id, "may_contact") and None
    server.move("ann", "may_contact")
    moved = server.move("ann", "vip")
    ledger = Ledger(tmp_path / LEDGER, "news", durable=True)
    ledger.register("webhook", 0, 0)
    ledger.enqueue([moved], 2, segments={"vip"}, only_if="may_contact")
    ledger.sent(2, int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1e6))
    ledger.close()
    recorded = server.record
    gate = threading.Event()

    def slowly(messages: list[Message]) -> None:
        gate.wait(5)
        recorded(messages)

    server.record = slowly  # type: ignore[method-assign,assignment]
    destinations = [mail(receiving.url), mail(receiving.url, name="news")]
    with Deliveries(destinations, server, tmp_path):
        until(lambda: items(tmp_path, "mail", "waiting"))
        time.sleep(0.2)
        assert not receiving.requests
        gate.set()
        until(lambda: items(tmp_path, "mail", "held"))
    assert not receiving.requests
    assert [one.destination for one in server.messages] == ["news"]


def test_an_exit_that_comes_while_its_enter_is_under_way_follows_it(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    inside, gate = threading.Event(), threading.Event()

    def answer(_request: object) -> tuple[int, dict[str, str]]:
        inside.set()
        gate.wait(10)
        return 200, {}

    receiving.answer = answer
    server.move("ann", "may_contact")
    server.move("ann", "vip")
    with Deliveries([mail(receiving.url)], server, tmp_path):
        inside.wait(10)
        server.move("ann", "vip")
        until(lambda: standing(tmp_path, "mail")["cursor"] == 3)
        time.sleep(0.3)
        gate.set()
        until(lambda: caught_up(tmp_path, "mail", server))
    assert receiving.moves() == [("ann", "vip", "enter"), ("ann", "vip", "exit")]
    assert [one.number for one in server.messages] == [2]


def test_an_exit_follows_an_enter_that_fails_after_the_user_has_left(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    inside, gate = threading.Event(), threading.Event()

    def answer(_request: Request) -> tuple[int, dict[str, str]]:
        if inside.is_set():
            return 200, {}
        inside.set()
        gate.wait(10)
        return 500, {}

    receiving.answer = answer
    server.move("ann", "may_contact")
    server.move("ann", "vip")
    with Deliveries([mail(receiving.url)], server, tmp_path):
        inside.wait(10)
        server.move("ann", "vip")
        until(lambda: standing(tmp_path, "mail")["cursor"] == 3)
        gate.set()
        until(lambda: caught_up(tmp_path, "mail", server))
    assert receiving.moves() == [("ann", "vip", "exit")]
    assert [one.data["number"] for one in receiving.requests] == [2, 3]
    assert not server.messages


@pytest.mark.parametrize("fails", ["sent", "hold"])
def test_after_a_full_disk_a_user_is_contacted_all_the_same(
    server: PretendServer,
    receiving: Receiver,
    tmp_path: Path,
    fails: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = [True]
    noted = getattr(Ledger, fails)

    def note(ledger: Ledger, numbers: object, *more: object) -> None:
        if numbers and full:
            full.clear()
            raise sqlite3.OperationalError("database or disk is full")
        noted(ledger, numbers, *more)

    server.move("ann", "may_contact")
    entered = server.move("ann", "vip")
    server.move("bob", "vip")
    monkeypatch.setattr(Ledger, fails, note)
    with Deliveries([mail(receiving.url)], server, tmp_path):
        until(lambda: server.messages)
        until(lambda: items(tmp_path, "mail", "held"))
    assert not full
    assert [one.number for one in server.messages] == [entered.number]
    # What was sent as the disk filled up may have been sent again.
    assert set(receiving.moves()) == {("ann", "vip", "enter")}


def test_an_exit_that_is_delivered_lets_nobody_else_have_the_user_of_an_enter_under_way(
    server: PretendServer, tmp_path: Path
) -> None:
    for segment in ("may_contact", "likely", "likely"):
        left = server.move("ann", segment)
    entered = server.move("ann", "vip")
    claims, ledger = Claims(), Ledger(tmp_path / LEDGER, "mail", durable=True)
    rules = ContactRules(mail("http://127.0.0.1:1/"), server, ledger, claims)
    assert len(rules.allowed([Item(left), Item(entered)])) == 2
    rules.release([Item(left)])
    assert not claims.claim("news", "ann")
    rules.release([Item(entered)])
    assert claims.claim("news", "ann")
    ledger.close()


def test_an_exit_does_not_overtake_an_enter_that_was_put_off(
    server: PretendServer, tmp_path: Path
) -> None:
    # One message to a user at a time: the second enter has to wait for the first.
    server.move("ann", "vip")
    server.move("ann", "likely")
    server.move("ann", "likely")
    server.wander(300, 5, SEGMENTS, seed=6)
    with Deliveries([lines(tmp_path / "moves.jsonl")], server, tmp_path):
        until(lambda: caught_up(tmp_path, "lines", server))
    members = folded(read_lines(tmp_path / "moves.jsonl"))
    assert members == {name: server.inside(name) for name in SEGMENTS}


def killed_after_writing(server: PretendServer, folder: Path, sent_us: int) -> Destination:
    """Leave what a process leaves that is killed before it notes what it has just written."""
    destination = lines(folder / "moves.jsonl")
    with_exit = [server.move("ann", "vip"), server.move("bob", "vip"), server.move("bob", "vip")]
    ledger = Ledger(folder / LEDGER, "lines", durable=False)
    ledger.register("jsonl", 0, 0)
    ledger.enqueue(with_exit, 3, segments={"vip"}, only_if=None)
    ledger.begin([1, 2, 3], sent_us)
    ledger.close()
    sink = JsonLinesSink(destination, "")  # type: ignore[arg-type]
    sink.deliver([Item(one) for one in with_exit if one.number != 2])
    return destination


@pytest.mark.parametrize("had_a_channel", [True, False], ids=["message", "before the channel"])
def test_what_was_written_before_a_kill_is_a_message_of_that_time(
    server: PretendServer, tmp_path: Path, had_a_channel: bool
) -> None:
    sent_us = server.now_us() - 1 if had_a_channel else 0
    destination = killed_after_writing(server, tmp_path, sent_us)
    server.wander(20, 5, ["other"], seed=1)
    with Deliveries([destination], server, tmp_path):
        until(lambda: caught_up(tmp_path, "lines", server))
    assert {one.number for one in server.messages} == {2} | ({1} if had_a_channel else set())
    assert all(one.time_us == sent_us for one in server.messages if one.number == 1)
    assert standing(tmp_path, "lines")["delivered"] == 3


def test_nobody_else_contacts_a_user_who_was_told_before_a_kill(
    server: PretendServer,
    receiving: Receiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cap(message: Message) -> None:
        if message.user_id == "ann":
            server.move("ann", "may_contact")

    def slowly(sink: JsonLinesSink, numbers: Sequence[int]) -> set[int]:
        time.sleep(0.3)
        return written(sink, numbers)

    written = JsonLinesSink.written
    monkeypatch.setattr(JsonLinesSink, "written", slowly)
    server.on_message = cap
    destination = killed_after_writing(server, tmp_path, server.now_us() - 1)
    server.move("ann", "may_contact")
    with Deliveries([mail(receiving.url), destination], server, tmp_path):
        until(lambda: {one.number for one in server.messages} == {1, 2})
        until(lambda: items(tmp_path, "mail", "held"))
        until(lambda: caught_up(tmp_path, "lines", server))
    assert not receiving.requests
