"""A client that is closed right after a stream leaves no thread that trips over it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import polars as pl
import pytest

import propense as pp

pytest.importorskip("grpc")


def test_closing_right_after_streams_is_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    tripped: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda one: tripped.append(str(one.exc_value)))
    frame = pl.DataFrame({"user_id": ["a"], "event_time": ["2025-01-01"], "event": ["open"]})
    frame = frame.with_columns(pl.col("event_time").str.to_datetime())
    with pp.serve(tmp_path / "store", tmp_path / "models", address="127.0.0.1:0") as server:
        for _ in range(5):
            with pp.Client(server.address) as client:
                for _ in range(3):
                    (ack,) = client.stream_events([frame])
                    assert ack.error is None
        time.sleep(0.5)
    assert tripped == []
