"""Calls that are cancelled at random points leave whole batches or none, and no call under way."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

import propense as pp
from propense._proto.events_pb2 import IngestEventsRequest
from propense._proto.events_pb2_grpc import EventServiceStub
from propense._proto.scoring_pb2 import ScoreUserRequest, StreamScoresRequest
from propense._proto.scoring_pb2_grpc import ScoringServiceStub
from propense._proto.types_pb2 import Event
from serving import LONG

grpc = pytest.importorskip("grpc")

CANCELS = 10_000 if LONG else 600
EVENTS = 25
NAME = "buys_ticket"
SETTLED_S = 20.0


@pytest.fixture
def server(model_folder: Path, tmp_path: Path) -> Iterator[pp.Server]:
    store = tmp_path / "store"
    with pp.serve(
        store, model_folder.parent, address="127.0.0.1:0", metrics_address="127.0.0.1:0"
    ) as running:
        yield running


def batch(number: int) -> IngestEventsRequest:
    """Give a batch of a user of its own, so that what became of it can be counted."""
    start = Timestamp(seconds=1_735_732_800)
    events = [
        Event(user_id=f"batch {number}", event_time=start, event="open", event_id=str(place))
        for place in range(EVENTS)
    ]
    return IngestEventsRequest(events=events)


def under_way(server: pp.Server) -> float:
    """Give how many calls the server's own page counts as under way."""
    with urlopen(f"http://{server.metrics_address}/metrics", timeout=10) as page:
        text = page.read().decode()
    found = re.findall(r"^propense\w*in_flight\w*(?:\{[^}]*\})? ([0-9.e+]+)$", text, re.MULTILINE)
    assert found, text
    return sum(map(float, found))


def test_cancelled_calls_are_whole_or_nothing(server: pp.Server) -> None:
    rng = random.Random(int(os.environ.get("PROPENSE_SEED", "3")))
    sent, acknowledged = 0, set()
    with grpc.insecure_channel(server.address) as channel:
        events, scoring = EventServiceStub(channel), ScoringServiceStub(channel)
        for number in range(CANCELS):
            calls: list[Any] = []
            kind = rng.randrange(4)
            if kind < 2:
                calls.append(events.IngestEvents.future(batch(sent)))
                sent += 1
            elif kind == 2:
                calls.append(scoring.ScoreUser.future(ScoreUserRequest(user_id=f"batch {number}")))
            else:
                calls.append(scoring.StreamScores(StreamScoresRequest(model=NAME)))
            time.sleep(rng.choice([0.0, 0.0, rng.uniform(0, 0.003), rng.uniform(0, 0.01)]))
            for one in calls:
                one.cancel()
                if kind < 2 and not one.cancelled() and one.exception() is None:
                    acknowledged.add(sent - 1)
    end = time.monotonic() + SETTLED_S
    while under_way(server) > 0 and time.monotonic() < end:
        time.sleep(0.05)
    assert under_way(server) == 0
    there = 0
    with pp.Client(server.address, timeout=30.0) as client:
        for number in range(sent):
            try:
                stored = client.get_user(f"batch {number}").events
            except pp.NotFoundError:
                assert number not in acknowledged
                continue
            assert stored == EVENTS, f"batch {number} is half there"
            there += 1
    assert 0 < there < sent, "some were cut short before they were taken, some not"
