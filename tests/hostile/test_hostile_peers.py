"""Peers that mean harm cost a server little memory, and those beside them little time."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE

import numpy as np
import polars as pl
import pytest
from hostile_peers import BATCH, KINDS, SCORE, STREAM

import propense as pp
from propense._proto.scoring_pb2 import (
    BatchScoreUsersRequest,
    ScoreUserRequest,
    StreamScoresRequest,
)
from propense.simulator import Simulation
from serving import LONG, Serving, serving

NAME = "buys_ticket"
SECONDS = 10.0 if LONG else 0.7
MEMORY_BYTES = 64 * 2**20
MORE_USERS = 40_000
ROUNDS = 3
NEIGHBOURS_MS = 5.0
"""What others on this machine may add to the slowest calls."""
MESSAGES = {
    SCORE: ScoreUserRequest(user_id="more users 000000001", models=[NAME]),
    BATCH: BatchScoreUsersRequest(user_ids=["a"] * 10_000, models=[NAME]),
    STREAM: StreamScoresRequest(model=NAME, batch_rows=65_536),
}


class Healthy:
    """A client that means well: how long it waits, and the most that the server takes meanwhile."""

    def __init__(self, client: pp.Client, running: Serving, sim: Simulation) -> None:
        self._client, self._running, self._as_of = client, running, sim.as_of
        self._users = sim.events["user_id"].unique(maintain_order=True).head(200).to_list()
        self.most_bytes = 0

    def p99_ms(self, seconds: float) -> float:
        """Ask for one user after the other."""
        times: list[float] = []
        until = time.monotonic() + seconds
        while time.monotonic() < until or len(times) < 100:
            begun = time.perf_counter()
            user = self._users[len(times) % len(self._users)]
            self._client.score_user(user, models=NAME, as_of=self._as_of)
            times.append((time.perf_counter() - begun) * 1e3)
            self.most_bytes = max(self.most_bytes, self._running.resident_bytes())
            time.sleep(0.001)
        return float(np.percentile(times, 99))


@pytest.fixture(scope="module")
def store(model_folder: Path, sim: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a store of enough users for answers to be large."""
    store = tmp_path_factory.mktemp("stores") / "store"
    names = pl.Series(np.arange(MORE_USERS)).cast(pl.String).str.zfill(9)
    more = pl.DataFrame({"user_id": "more users " + names}).with_columns(
        event_time=pl.lit(sim.as_of - timedelta(days=20)), event=pl.lit("app_open")
    )
    with (
        serving(store, model_folder.parent) as running,
        pp.Client(running.address, timeout=60.0) as client,
    ):
        client.ingest(sim.events, profiles=sim.profiles)
        client.ingest(more)
        assert running.stop() == 0
    return store


@pytest.fixture
def running(model_folder: Path, store: Path) -> Iterator[Serving]:
    with serving(store, model_folder.parent) as running:
        yield running


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_hostile_peer_hurts_itself_only(running: Serving, sim: Simulation, kind: str) -> None:
    messages = {path: one.SerializeToString().hex() for path, one in MESSAGES.items()}
    command = [sys.executable, str(Path(__file__).with_name("hostile_peers.py"))]
    with pp.Client(running.address, timeout=30.0) as client:
        assert client.score_audience(NAME, as_of=sim.as_of).height > MORE_USERS
        healthy = Healthy(client, running, sim)
        healthy.p99_ms(0.3)
        before = healthy.most_bytes
        for _ in range(ROUNDS):
            alone = healthy.p99_ms(SECONDS)
            address, seconds = running.address, str(SECONDS + 0.2)
            attack = subprocess.Popen(
                [*command, address, kind, seconds], stdin=PIPE, stdout=PIPE, text=True
            )
            with attack:
                assert attack.stdin is not None
                assert attack.stdout is not None
                attack.stdin.write(json.dumps(messages))
                attack.stdin.close()
                while not select.select([attack.stdout], [], [], 0)[0]:
                    healthy.p99_ms(0)
                assert attack.stdout.readline() == "ready\n"
                beside = healthy.p99_ms(SECONDS)
                did = json.loads(attack.stdout.read())
            healthy.p99_ms(0)
            grown = healthy.most_bytes - before
            print(
                f"{kind}: {did}, {grown / 2**20:.1f} MiB, p99 {beside:.1f} ms, alone {alone:.1f} ms"
            )
            assert min(did.values()) > 0, "it did no harm"
            assert grown <= MEMORY_BYTES
            if beside <= 2 * alone + NEIGHBOURS_MS:
                break
        else:
            pytest.fail(f"p99 {beside:.1f} ms, alone {alone:.1f} ms")
    assert running.process.poll() is None
    assert "panicked" not in running.errors.read_text()
