"""SIGTERM under load: what was accepted is answered, what was acknowledged is kept, in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import propense as pp
from propense.server import DRAIN_S
from propense.simulator import Simulation
from serving import free_address, start

RESTARTS = 10
START = datetime(2025, 1, 1, tzinfo=UTC)


class Load:
    """Threads that call until they are told to stop; errors are kept."""

    def __init__(self, calls: list[Callable[[pp.Client], None]], address: str) -> None:
        self._stop = threading.Event()
        self.failures: list[Exception] = []
        self.never_accepted = 0
        self.answered = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(call, address)) for call in calls]
        for thread in self._threads:
            thread.start()

    def _run(self, call: Callable[[pp.Client], None], address: str) -> None:
        with pp.Client(address, timeout=30.0) as client:
            while not self._stop.is_set():
                try:
                    call(client)
                except pp.ServiceError as error:
                    # The client's patience may end while nobody listens; such a call has reached nobody.
                    if "failed to connect" in str(error):
                        self.never_accepted += 1
                    else:
                        self.failures.append(error)
                    continue
                with self._lock:
                    self.answered += 1

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def hung() -> Iterator[Callable[[str], None]]:
    """Open a stream of events that never ends and is never read."""
    done = threading.Event()
    clients: list[pp.Client] = []

    def endless() -> Iterator[pl.DataFrame]:
        yield events("hung", 0, 1)
        done.wait()

    def hang(address: str) -> None:
        client = pp.Client(address, timeout=60.0)
        clients.append(client)
        next(client.stream_events(endless()))

    yield hang
    done.set()
    for client in clients:
        client.close()


def events(user: str, first: int, count: int) -> pl.DataFrame:
    """Give events of one user, one a second from a place on."""
    return pl.DataFrame(
        {
            "user_id": [user] * count,
            "event_time": [START + timedelta(seconds=first + row) for row in range(count)],
            "event": ["app_open"] * count,
        }
    )


def test_ten_restarts_under_load_fail_no_call(
    model_folder: Path, sim: Simulation, hung: Callable[[str], None], tmp_path: Path
) -> None:
    store, address = tmp_path / "store", free_address()
    running = start(store, model_folder.parent, address=address)
    with pp.Client(address, timeout=60.0) as client:
        client.ingest(sim.events, profiles=sim.profiles)
        asked = sim.events["user_id"].unique(maintain_order=True).head(50).to_list()
        expected = client.batch_score_users(asked, as_of=sim.as_of)
    sent = 0

    def score_one(client: pp.Client) -> None:
        client.score_user(asked[0], as_of=sim.as_of)

    def score_many(client: pp.Client) -> None:
        assert client.batch_score_users(asked, as_of=sim.as_of).equals(expected)

    def write(client: pp.Client) -> None:
        nonlocal sent
        client.ingest(events("writer", sent, 10))
        sent += 10  # only if it was acknowledged; otherwise the same events go again

    load = Load([score_one, score_one, score_many, write], address)
    slowest = 0.0
    try:
        for _ in range(RESTARTS):
            hung(address)
            before = load.answered
            while load.answered < before + 20:
                time.sleep(0.01)
            began = time.monotonic()
            assert running.stop() == 0
            slowest = max(slowest, time.monotonic() - began)
            running = start(store, model_folder.parent, address=address)
        load.end()
        assert load.failures == []
        with pp.Client(address) as client:
            assert client.get_user("writer").events == sent
            assert client.get_user("hung").events == 1
    finally:
        load.end()
        running.kill()
    # A stream that hangs would hold it up for ever.
    assert slowest <= DRAIN_S + 15.0
