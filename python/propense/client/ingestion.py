"""A whole log sent batch by batch, several calls under way at a time."""

from __future__ import annotations

import re
from collections import deque
from typing import TypeAlias, cast

import grpc

from propense._proto.events_pb2 import IngestEventsRequest, IngestEventsResponse
from propense._proto.events_pb2_grpc import EventServiceStub
from propense.client.answers import receipt
from propense.client.connection import Connection, end, starts
from propense.exceptions import DeadlineError, ServiceError, UnavailableError
from propense.progress import track
from propense.receipt import NOTHING_WRITTEN, Receipt
from propense.store_rows import StoreRows

UNDER_WAY = 4

_Sent: TypeAlias = "tuple[int, int, IngestEventsRequest, grpc.Future[IngestEventsResponse]]"
_ROW = re.compile(r"events\[(\d+)\]")


def ingest(connection: Connection, rows: StoreRows, *, timeout: float) -> Receipt:
    """Send events and sum up the receipts; gRPC retries each call by the service config."""
    method = EventServiceStub(connection.channel).IngestEvents
    sent: deque[_Sent] = deque()
    total = NOTHING_WRITTEN

    def settle() -> Receipt:
        start, _, request, call = sent.popleft()
        try:
            return receipt(_answer(connection, request, call, timeout).receipt)
        except ServiceError as error:
            raise _placed(error, start, rows.where) from error

    with track(f"ingesting {rows.where}", rows.frame.height) as report:
        try:
            for start, batch, arrow_ipc in rows.batches():
                if len(sent) == UNDER_WAY:
                    done = sent[0][0] + sent[0][1]
                    total += settle()
                    report(done)
                request = IngestEventsRequest(arrow_ipc=arrow_ipc)
                future = method.future(request, timeout=timeout, metadata=connection.metadata)
                sent.append((start, batch.height, request, future))
            while sent:
                done = sent[0][0] + sent[0][1]
                total += settle()
                report(done)
        finally:
            for *_, call in sent:
                end(cast("grpc.Call", call))
    return total


def _answer(
    connection: Connection,
    request: IngestEventsRequest,
    call: grpc.Future[IngestEventsResponse],
    timeout: float,
) -> IngestEventsResponse:
    try:
        with connection.explained():
            return call.result()
    except UnavailableError as error:
        if not starts(error):
            raise
    except DeadlineError as error:
        met = connection.away()
        if met is None:
            raise
        raise met from error
    method = EventServiceStub(connection.channel).IngestEvents
    return connection.call(method, request, timeout)


def _placed(error: ServiceError, start: int, where: str) -> ServiceError:
    """Count an error's row from the first row of the whole, not of its batch."""

    def counted(match: re.Match[str]) -> str:
        return f"events[{int(match[1]) + start}]"

    field = None if error.field is None else _ROW.sub(counted, error.field)
    return type(error)(
        f"{where}: {_ROW.sub(counted, str(error))}",
        code=error.code,
        reason=error.reason,
        field=field,
        retry_after=error.retry_after,
    )
