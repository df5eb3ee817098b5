"""A store that was killed is back in seconds, with all that was acknowledged."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import polars as pl

import propense as pp
from serving import LONG, start

EVENTS = 1_000_000 if LONG else 200_000
EVENTS_AT_ONCE = 5_000
SECONDS_A_MILLION = 5.0


def test_a_million_events_are_recovered_in_five_seconds(model_folder: Path, tmp_path: Path) -> None:
    places = np.arange(EVENTS)
    frame = pl.DataFrame(
        {
            "user_id": pl.Series(places % 20_000).cast(pl.String),
            "event_time": np.datetime64("2025-01-01", "us") + places.astype("timedelta64[s]"),
            "event": "app_open",
        }
    )

    def started(store: Path) -> float:
        begun = time.monotonic()
        running = start(store, model_folder.parent)
        took = time.monotonic() - begun
        with pp.Client(running.address, timeout=30.0) as client:
            if store.name == "full":
                assert (
                    sum(client.get_user(str(user)).events for user in range(200)) == EVENTS // 100
                )
        running.kill()
        return took

    running = start(tmp_path / "full", model_folder.parent)
    with pp.Client(running.address, timeout=60.0) as client:
        for ack in client.stream_events(frame.iter_slices(EVENTS_AT_ONCE)):
            assert ack.error is None
    running.kill()
    # What it takes to start at all is not the store's.
    empty = min(started(tmp_path / f"empty {number}") for number in range(2))
    full = min(started(tmp_path / "full") for _ in range(2))
    print(f"{EVENTS} events: {full:.2f} s, an empty store {empty:.2f} s")
    assert full - empty <= SECONDS_A_MILLION * EVENTS / 1e6
