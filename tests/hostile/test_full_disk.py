"""A server whose disk is full says so, reads on, and takes events again once there is room."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import propense as pp
from serving import start

USERS, EVENTS_AT_ONCE = 100, 20_000
FILLER_BYTES = 10 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 16 MB, taken away at the end."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("only root may mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def events(first: int) -> pl.DataFrame:
    """Give events of all users, with texts that no compression makes small."""
    rng = np.random.default_rng(first)
    return pl.DataFrame(
        {
            "user_id": [f"user {row % USERS}" for row in range(EVENTS_AT_ONCE)],
            "event_time": np.datetime64("2025-01-01", "us")
            + np.arange(first, first + EVENTS_AT_ONCE).astype("timedelta64[s]"),
            "event": "open",
            "note": [f"{one:x}" for one in rng.integers(0, 2**62, EVENTS_AT_ONCE)],
        }
    )


def test_a_full_disk_is_told_of_and_recovered_from(
    disk: Path, model_folder: Path, tmp_path: Path
) -> None:
    store, filler = disk / "store", disk / "filler"
    running = start(store, model_folder.parent)
    try:
        with pp.Client(running.address, timeout=30.0) as client:

            def write(first: int) -> str | None:
                """Give the reason why a batch was not taken; a stream is not tried again."""
                (ack,) = client.stream_events([events(first)])
                return None if ack.error is None else ack.error.reason

            def stored() -> int:
                return sum(client.get_user(f"user {user}").events for user in range(USERS))

            assert write(0) is None
            filler.write_bytes(b"\0" * FILLER_BYTES)
            acknowledged, reason, first = 1, None, EVENTS_AT_ONCE
            for _ in range(100):
                if (reason := write(first)) is not None:
                    break
                acknowledged += 1
                first += EVENTS_AT_ONCE
            assert reason == "DISK_FULL"
            for _ in range(3):
                assert write(first) == "DISK_FULL"
                assert stored() == acknowledged * EVENTS_AT_ONCE
            assert client.health() == "serving"
            filler.unlink()
            assert write(first) is None
            assert stored() == (acknowledged + 1) * EVENTS_AT_ONCE
        running.kill()
        running = start(store, model_folder.parent)
        with pp.Client(running.address, timeout=30.0) as client:
            assert stored() == (acknowledged + 1) * EVENTS_AT_ONCE
    finally:
        running.kill()
