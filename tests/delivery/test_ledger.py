"""The queue: order, what a kill leaves, and that a long one costs no more than a short one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pretend_server import PretendServer

from propense.delivery.control import destination_states
from propense.delivery.ledger import Ledger
from propense.delivery.ledger_schema import LEDGER, connect


def ledger_of(folder: Path, server: PretendServer, name: str = "crm") -> Ledger:
    made = Ledger(folder / LEDGER, name, durable=False)
    made.register("webhook", 0, 0)
    made.enqueue(server.transitions, len(server.transitions), segments={"vip"}, only_if=None)
    return made


@pytest.fixture
def server() -> PretendServer:
    made = PretendServer()
    for _ in range(2):
        for user in ("ann", "bob"):
            made.move(user, "vip")
            made.move(user, "other")
    return made


def numbers(ledger: Ledger, *, chains: bool) -> list[int]:
    return [item.number for item in ledger.due(100, chains=chains)]


def test_only_the_first_of_a_user_and_segment_is_due(server: PretendServer, tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, server)
    assert (numbers(ledger, chains=False), numbers(ledger, chains=True)) == ([1, 3], [1, 3, 5, 7])
    ledger.failed(1, "HTTP 500", 60.0)
    assert (numbers(ledger, chains=False), numbers(ledger, chains=True)) == ([3], [3, 7])
    ledger.bury(1, "HTTP 500")
    assert (numbers(ledger, chains=False), numbers(ledger, chains=True)) == ([3, 5], [3, 5, 7])
    ledger.delivered([3])
    assert (numbers(ledger, chains=False), numbers(ledger, chains=True)) == ([5, 7], [5, 7])


def test_what_is_read_again_is_queued_once(server: PretendServer, tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, server)
    ledger.enqueue(server.transitions[:5], 5, segments={"vip"}, only_if=None)
    assert numbers(ledger, chains=True) == [1, 3, 5, 7]
    assert ledger.cursor == 8


def test_a_transaction_that_does_not_end_leaves_nothing(
    server: PretendServer, tmp_path: Path
) -> None:
    ledger = ledger_of(tmp_path, server)
    with pytest.raises(ZeroDivisionError), ledger.together():
        ledger.delivered([1])
        ledger.bury(3, "x")
        raise ZeroDivisionError
    ledger.close()
    again = Ledger(tmp_path / LEDGER, "crm", durable=False)
    assert numbers(again, chains=True) == [1, 3, 5, 7]


def test_a_file_of_an_earlier_version_goes_on(server: PretendServer, tmp_path: Path) -> None:
    ledger_of(tmp_path, server).close()
    sql = connect(tmp_path / LEDGER, durable=True)
    sql.execute("ALTER TABLE destination DROP COLUMN missing")
    sql.execute("ALTER TABLE destination DROP COLUMN failures")
    sql.execute("PRAGMA user_version = 1")
    sql.close()
    again = Ledger(tmp_path / LEDGER, "crm", durable=True)
    assert (numbers(again, chains=True), again.cursor) == ([1, 3, 5, 7], 8)
    again.note_missing({"vop": "vip"})
    again.failed(1, "HTTP 500", 0.0)
    again.bury(1, "HTTP 500")
    (state,) = destination_states(tmp_path)
    assert (state.missing_segments, state.failures) == ({"vop": "vip"}, 2)


def test_each_destination_has_its_own(server: PretendServer, tmp_path: Path) -> None:
    one, other = (ledger_of(tmp_path, server, name) for name in ("one", "other"))
    one.delivered([1, 3])
    one.pause("enough")
    assert (numbers(one, chains=True), numbers(other, chains=True)) == ([5, 7], [1, 3, 5, 7])
    assert (one.paused, other.paused) == ("enough", None)
    assert one.origin == other.origin


@pytest.mark.parametrize("attempt", range(100))
def test_two_that_open_it_first_agree(tmp_path: Path, attempt: int) -> None:
    found = set[str]()

    def opened() -> None:
        ledger = Ledger(tmp_path / LEDGER, "crm", durable=False)
        found.add(ledger.origin)
        ledger.close()

    threads = [threading.Thread(target=opened) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1, attempt


@pytest.mark.parametrize("chains", [False, True], ids=["heads", "chains"])
def test_an_item_of_a_long_queue_costs_no_more_than_one_of_a_short_one(
    tmp_path: Path, chains: bool
) -> None:
    def steps(users: int) -> float:
        folder = tmp_path / str(users)
        folder.mkdir()
        server = PretendServer()
        for number in range(users):
            server.move(f"u{number}", "vip")
        ledger = ledger_of(folder, server)
        done = 0

        def count() -> int:
            nonlocal done
            done += 1
            return 0

        ledger._sql.set_progress_handler(count, 50)
        assert len(ledger.due(users, chains=chains)) == users
        server.move("u7", "vip")
        ledger.enqueue(server.transitions[-1:], users + 1, segments={"vip"}, only_if="may")
        ledger.longest_due_s()
        ledger.next_due_s()
        ledger.unrecorded(10)
        ledger.users("u5", 10)
        return done / users

    assert steps(8_000) < 1.5 * steps(1_000)
