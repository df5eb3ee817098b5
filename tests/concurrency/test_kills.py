"""SIGKILL at random points of a streamed ingest: nothing acknowledged is lost, nothing counts twice.

What follows from the events is there with them: transitions without a gap, which fold to the members
that batch gives.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from typer.testing import CliRunner

import propense as pp
from propense.cli.app import app
from serving import LONG, free_address, start

KILLS = 100 if LONG else 8
USERS = 40
BATCH = 200
ENOUGH = 40
"""So many batches in the end at least."""
START = datetime(2025, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=2)
SEGMENTS = {
    "active": 'rule = "count(open) >= 60"',
    "spends": "rule = \"sum(buy.amount, '7d') > 300000 OR in_segment(active)\"",
    "quiet": 'rule = "count(open) < 20 AND count(buy) < 20"\nstay = "count(open) < 50"',
}


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
    (tmp_path / "segments").mkdir()
    for name, rule in SEGMENTS.items():
        (tmp_path / "segments" / f"{name}.toml").write_text(rule)
    options = ("--segments", str(tmp_path / "segments"), "--clock", f"simulated@{NOW.isoformat()}")
    running = start(store, model_folder.parent, *options, address=address)
    killed = 0
    while killed < KILLS:
        timer = threading.Timer(rng.uniform(0.02, 0.6), running.process.kill)
        # At any point from the start, or from the first acknowledgement: slow machines get that far too.
        begun = None if killed % 4 == 3 else timer
        if begun is None:
            timer.start()
        send_until_it_breaks(model, address, rng, begun)
        timer.join()
        running.kill()
        killed += 1
        running = start(store, model_folder.parent, *options, address=address)
        with pp.Client(address, timeout=30.0) as client:
            for user, count in model.acknowledged.items():
                stored = client.get_user(user).events
                assert count <= stored <= model.sent[user], f"{user} after {killed} kills"
    with pp.Client(address, timeout=30.0) as client:
        again = [*model.open, *rng.sample(model.done, min(5, len(model.done)))]
        # However few a slow machine had taken: with so many, segments have members.
        again += [model.new_batch() for _ in range(ENOUGH - len(model.done) - len(model.open))]
        for ack in client.stream_events(again):
            assert ack.receipt is not None
        for user, count in model.sent.items():
            assert client.get_user(user).events == count
            export = client.export_user(user)
            assert export.events["amount"].n_unique() == count
        members = check_transitions(client)
    assert running.stop() == 0
    # Sealed, so that a log can be made of it.
    assert CliRunner().invoke(app, ["store", "compact", str(store)]).exit_code == 0
    table = pp.segment(pp.open_log(store), tmp_path / "segments", as_of=NOW)
    for name in SEGMENTS:
        assert set(table.filter(pl.col(name))["user_id"]) == members[name], name
    assert members["active"]


def check_transitions(client: pp.Client) -> dict[str, set[str]]:
    """Each number once, each user in and out by turns; give the members of each segment."""
    live = client.list_segments()
    assert live.last_transition > 2 * USERS
    folded: dict[str, set[str]] = {segment.name: set() for segment in live.segments}
    for number, one in enumerate(client.watch_transitions(after=0), start=1):
        assert one.number == number
        inside = folded[one.segment]
        assert (one.user_id in inside) == (one.kind == "exit"), one
        inside ^= {one.user_id}
        if number == live.last_transition:
            break
    assert {name: set(client.members(name)) for name in folded} == folded
    return folded


def send_until_it_breaks(
    model: Model, address: str, rng: random.Random, begun: threading.Timer | None
) -> None:
    """Send what is open, some of what is done, and new batches, until the connection breaks.

    ``begun`` is started as the first is acknowledged.
    """
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
                if begun is not None and settled == 1:
                    begun.start()
    except pp.UnavailableError:
        pass
    with lock:
        broken.set()
    lost = [*given[settled:], *to_resend[len(given) :]]
    model.open = [frame for frame in lost if not contains(known, frame)]


def contains(frames: list[pl.DataFrame], frame: pl.DataFrame) -> bool:
    return any(one is frame for one in frames)
