"""Who was erased is not contacted any more, whatever was under way at that moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pretend_server import PretendServer, caught_up, items, standing, until
from receiver import SECRET, Receiver, Request, receiver

from propense.delivery import Deliveries, Destination, destination_from, erasures
from propense.delivery.ledger import Ledger
from propense.delivery.ledger_schema import LEDGER, connect


def webhook(url: str) -> Destination:
    values = {
        "name": "crm",
        "kind": "webhook",
        "segments": ["vip"],
        "url": url,
        "secrets": [SECRET],
        "allow_private": ["127.0.0.1"],
        "begin": "beginning",
        "channel": "email",
        "retry": {"first_s": 0.01, "longest_s": 0.05},
    }
    return destination_from(values, "test")


class Gate:
    """Lets the first request wait for its answer."""

    def __init__(self, answered: int) -> None:
        self.inside, self.opened = threading.Event(), threading.Event()
        self._answered = answered

    def __call__(self, _request: Request) -> tuple[int, dict[str, str]]:
        if self.inside.is_set():
            return 200, {}
        self.inside.set()
        self.opened.wait(10)
        return self._answered, {}


@pytest.fixture
def server() -> PretendServer:
    made = PretendServer()
    made.move("ann", "vip")
    return made


@pytest.fixture(name="receiving")
def receiving_fixture() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.mark.parametrize("answered", [200, 500, 400])
def test_of_what_is_under_way_only_the_news_of_the_erasure_follows(
    server: PretendServer, receiving: Receiver, tmp_path: Path, answered: int
) -> None:
    receiving.answer = gate = Gate(answered)
    with Deliveries([webhook(receiving.url)], server, tmp_path):
        gate.inside.wait(10)
        server.move("ann", "vip", "erased")
        # The same name comes back as somebody new.
        server.move("ann", "vip")
        until(lambda: standing(tmp_path, "crm")["cursor"] == 3)
        gate.opened.set()
        until(lambda: caught_up(tmp_path, "crm", server))
    assert [one.data["number"] for one in receiving.requests] == [1, 2, 3]
    # What the store has forgotten is not written into it again.
    assert [one.number for one in server.messages] == [3]
    assert not items(tmp_path, "crm")


def test_who_was_erased_and_in_no_segment_is_not_tried_again(
    server: PretendServer, receiving: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, known = list[str](), server.known

    def knows(user_ids: list[str]) -> set[str]:
        asked.extend(server.erased)
        if asked:
            # It is not asked again in time.
            monkeypatch.setattr(erasures, "_SWEEP_S", 60.0)
        return known(user_ids)

    monkeypatch.setattr(erasures, "_SWEEP_S", 0.01)
    server.known = knows  # type: ignore[method-assign,assignment]
    receiving.answer = gate = Gate(500)
    with Deliveries([webhook(receiving.url)], server, tmp_path):
        gate.inside.wait(10)
        server.erased = {"ann"}
        until(lambda: asked)
        gate.opened.set()
        until(lambda: not items(tmp_path, "crm"))
    assert len(receiving.requests) == 1
    assert not server.messages


def test_no_byte_stays_although_somebody_was_reading(tmp_path: Path) -> None:
    server = PretendServer()
    for user in ("canary", "bob"):
        server.move(user, "vip")
    ledger = Ledger(tmp_path / LEDGER, "crm", durable=True)
    ledger.register("webhook", 0, 0)
    ledger.enqueue(server.transitions, 2, segments={"vip"}, only_if=None)

    def holds_canary() -> bool:
        return any(b"canary" in path.read_bytes() for path in tmp_path.iterdir())

    reader = connect(tmp_path / LEDGER, durable=True)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM item").fetchone()
    erased = server.move("canary", "vip", "erased")
    made = erasures.Erasures(server)
    began = time.monotonic()
    made.hear(ledger, [erased], ())
    # Who delivers does not wait for as long as somebody reads.
    assert time.monotonic() - began < 10
    assert holds_canary()
    reader.execute("COMMIT")
    assert holds_canary()
    made.sweep(ledger, ())
    assert not holds_canary()
    assert [item.transition.user_id for item in ledger.due(10, chains=True)] == ["bob"]
    reader.close()
    ledger.close()
