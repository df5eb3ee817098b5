"""SIGKILL at random points of a streamed ingest: nothing acknowledged is lost, nothing counts twice."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

import propense as pp
from serving import LONG, free_address, start

KILLS = 100 if LONG else 8
USERS = 40
BATCH = 200
START = datetime(2025, 1, 1, tzinfo=UTC)


class Model:
    """What was sent and what was acknowledged, by user."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._next = 0
        self.sent: Counter[str] = Counter()
        self.acknowledged: Counter[str] = Counter()
        self.open: list[pl.DataFrame] = []
        """Sent and not acknowledged: to be sent again."""
        self.done: list[pl.DataFrame] = []

    def new_batch(self) -> pl.DataFrame:
        rows = range(self._next, self._next + BATCH)
        self._next += BATCH
        # Many events share an instant and a type; their ids tell them apart.
        frame = pl.DataFrame(
            {
                "user_id": [f"user {self._rng.randrange(USERS)}" for _ in rows],
                "event_time": [START + timedelta(seconds=self._rng.randrange(600)) for _ in rows],
                "event": [self._rng.choice(["open", "buy"]) for _ in rows],
                "event_id": [str(row) for row in rows],
                "amount": [float(row) for row in rows],
            }
        )
        self.sent.update(frame["user_id"].to_list())
        return frame

    def acknowledge(self, frame: pl.DataFrame) -> None:
        self.acknowledged.update(frame["user_id"].to_list())
        self.done.append(frame)


def test_kills_at_random_points_of_a_streamed_ingest(model_folder: Path, tmp_path: Path) -> None:
    rng = random.Random(int(os.environ.get("PROPENSE_SEED", "7")))
    model, store, address = Model(rng), tmp_path / "store", free_address()
    running = start(store, model_folder.parent, address=address)
    killed = 0
    while killed < KILLS:
        timer = threading.Timer(rng.uniform(0.02, 0.6), running.process.kill)
        timer.start()
        send_until_it_breaks(model, address, rng)
        timer.join()
        running.kill()
        killed += 1
        running = start(store, model_folder.parent, address=address)
        with pp.Client(address, timeout=30.0) as client:
            for user, count in model.acknowledged.items():
                stored = client.get_user(user).events
                assert count <= stored <= model.sent[user], f"{user} after {killed} kills"
    with pp.Client(address, timeout=30.0) as client:
        again = [*model.open, *rng.sample(model.done, min(5, len(model.done)))]
        for ack in client.stream_events(again):
            assert ack.receipt is not None
        for user, count in model.sent.items():
            assert client.get_user(user).events == count
            export = client.export_user(user)
            assert export.events["amount"].n_unique() == count
    assert running.stop() == 0
    assert sum(model.sent.values()) > KILLS * BATCH


def send_until_it_breaks(model: Model, address: str, rng: random.Random) -> None:
    """Send what is open, some of what is done, and new batches, until the connection breaks."""
    known = rng.sample(model.done, min(2, len(model.done)))
    to_resend = [*model.open, *known]
    given: list[pl.DataFrame] = []
    lock, broken = threading.Lock(), threading.Event()

    def batches() -> Iterator[pl.DataFrame]:
        # gRPC asks for batches on a thread of its own, which may be late to notice the end.
        while True:
            with lock:
                if broken.is_set():
                    return
                again = len(given) < len(to_resend)
                given.append(to_resend[len(given)] if again else model.new_batch())
            yield given[-1]

    settled = 0
    try:
        with pp.Client(address, timeout=30.0) as client:
            for ack in client.stream_events(batches(), window=8):
                assert ack.receipt is not None, ack.error
                if not contains(known, given[ack.sequence]):
                    model.acknowledge(given[ack.sequence])
                settled += 1
    except pp.UnavailableError:
        pass
    with lock:
        broken.set()
    lost = [*given[settled:], *to_resend[len(given) :]]
    model.open = [frame for frame in lost if not contains(known, frame)]


def contains(frames: list[pl.DataFrame], frame: pl.DataFrame) -> bool:
    return any(one is frame for one in frames)
