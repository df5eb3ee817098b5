"""Bytes that are no messages, sent to every method: a status for each, and the server serves on."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

import propense as pp
from propense._proto import events_pb2, models_pb2, scoring_pb2, types_pb2, users_pb2
from serving import LONG, Serving, serving

grpc = pytest.importorskip("grpc")

ROUNDS = 4_000 if LONG else 120
NAME = "buys_ticket"
SERVICES = {
    module.DESCRIPTOR.services_by_name[name]
    for module in (events_pb2, models_pb2, scoring_pb2, users_pb2)
    for name in module.DESCRIPTOR.services_by_name
}
METHODS = sorted((method for one in SERVICES for method in one.methods), key=lambda m: m.full_name)
EXPECTED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    # What tonic says of bytes that do not decode.
    grpc.StatusCode.INTERNAL,
}
DEADLINE_S = 120.0


@pytest.fixture
def running(model_folder: Path, tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path / "store", model_folder.parent) as running:
        yield running


def good(rng: random.Random) -> dict[str, bytes]:
    """Give a message of each request type that has fields, by its name."""
    event = types_pb2.Event(
        user_id=f"user {rng.randrange(9)}",
        event_time=Timestamp(seconds=rng.randrange(2**31)),
        event="purchase",
        properties={"price": types_pb2.Value(number=rng.random()), "b": types_pb2.Value(text="x")},
    )
    batch = events_pb2.IngestEventsRequest(events=[event] * rng.randrange(1, 4))
    profile = types_pb2.Profile(user_id="user 1", attributes={"age": types_pb2.Value(number=40.0)})
    messages = [
        batch,
        events_pb2.StreamEventsRequest(sequence=1, batch=batch),
        scoring_pb2.ScoreUserRequest(user_id="user 1", models=[NAME], include_features=True),
        scoring_pb2.BatchScoreUsersRequest(user_ids=["user 1", "user 2"], models=[NAME]),
        scoring_pb2.ExplainUserRequest(user_id="user 1", model=NAME, top=3),
        scoring_pb2.ScoreEventsRequest(events=[event], profiles=[profile]),
        scoring_pb2.StreamScoresRequest(model=NAME, batch_rows=rng.randrange(100)),
        users_pb2.PutProfilesRequest(profiles=[profile]),
        users_pb2.GetUserRequest(user_id="user 1"),
        users_pb2.ExportUserRequest(user_id="user 1"),
        users_pb2.EraseUserRequest(user_id="user 8"),
        models_pb2.GetModelRequest(name=NAME),
        models_pb2.ReloadModelsRequest(names=[NAME]),
    ]
    return {message.DESCRIPTOR.full_name: message.SerializeToString() for message in messages}


def mutated(rng: random.Random, message: bytes) -> bytes:
    """Change bytes, cut, repeat, begin anew, or leave all as it is."""
    if rng.random() < 0.3:
        return message
    if rng.random() < 0.15 or not message:
        return rng.randbytes(rng.randrange(64))
    changed = bytearray(message)
    for _ in range(rng.randrange(1, 5)):
        place = rng.randrange(len(changed))
        kind = rng.randrange(4)
        if kind == 0:
            changed[place] = rng.randrange(256)
        elif kind == 1:
            del changed[place:]
        elif kind == 2:
            changed[place:place] = changed[: rng.randrange(16)]
        else:
            changed[place:place] = rng.choice([b"\xff" * 10, b"\x80" * 10, b"\0" * 8])
        if not changed:
            break
    return bytes(changed)


def call(channel: Any, method: Any, message: bytes) -> Any:
    """Send one message to a method, whatever its kind; give the status."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        if method.client_streaming:
            answers = channel.stream_stream(path)(iter([message]), timeout=DEADLINE_S)
            list(answers)
        elif method.server_streaming:
            list(channel.unary_stream(path)(message, timeout=DEADLINE_S))
        else:
            channel.unary_unary(path)(message, timeout=DEADLINE_S)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_no_bytes_end_the_server(running: Serving) -> None:
    rng = random.Random(int(os.environ.get("PROPENSE_SEED", "5")))
    codes: Counter[Any] = Counter()
    with grpc.insecure_channel(running.address) as channel:
        for _ in range(ROUNDS):
            messages = good(rng)
            for method in METHODS:
                message = messages.get(method.input_type.full_name, b"")
                code = call(channel, method, mutated(rng, message))
                assert code in EXPECTED, (method.full_name, code)
                codes[code] += 1
    assert running.process.poll() is None
    assert "panicked" not in running.errors.read_text()
    # The messages were neither all refused nor all taken.
    assert codes[grpc.StatusCode.OK] > ROUNDS
    assert codes[grpc.StatusCode.INTERNAL] + codes[grpc.StatusCode.INVALID_ARGUMENT] > ROUNDS
    with pp.Client(running.address, timeout=30.0) as client:
        assert [model.name for model in client.list_models()] == [NAME]
