"""Batches of events sent ahead of their acknowledgements, as many as a window allows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import cast

import grpc

from propense._proto.events_pb2 import IngestEventsRequest, StreamEventsRequest
from propense._proto.events_pb2_grpc import EventServiceStub
from propense.client.answers import Acknowledgement, receipt
from propense.client.connection import Connection, end
from propense.client.rpc_errors import from_status


def acknowledgements(
    connection: Connection, batches: Iterator[bytes], *, window: int, timeout: float
) -> Iterator[Acknowledgement]:
    """Send batches, Arrow streams each, and yield their acknowledgements in order.

    At most ``window`` batches are on their way. An error that ``batches`` raises ends the stream and
    is raised here; what was acknowledged before is safe.
    """
    room = threading.Semaphore(window)
    ended = threading.Event()
    failures: list[Exception] = []

    def requests() -> Iterator[StreamEventsRequest]:
        try:
            for sequence, batch in enumerate(batches):
                room.acquire()
                if ended.is_set():
                    return
                sent = IngestEventsRequest(arrow_ipc=batch)
                yield StreamEventsRequest(sequence=sequence, batch=sent)
        except Exception as error:
            # gRPC would only log it: this runs on a thread of its own.
            failures.append(error)
            raise

    method = EventServiceStub(connection.channel).StreamEvents
    call = method(requests(), timeout=timeout, metadata=connection.metadata)
    try:
        with connection.explained():
            for answer in call:
                room.release()
                if answer.WhichOneof("result") == "error":
                    failed = from_status(answer.error)
                    yield Acknowledgement(answer.sequence, None, failed)
                else:
                    yield Acknowledgement(answer.sequence, receipt(answer.receipt), None)
    finally:
        ended.set()
        room.release()
        end(cast("grpc.Call", call))
        if failures:
            raise failures[0]
