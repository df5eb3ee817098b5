"""A stand-in for the server's segment service, for tests of what asks it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from propense._proto import segments_pb2, segments_pb2_grpc

BREAKS = [
    None,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
]
"""How streams end that are to be gone on with; None: as if there were no more."""


def number_message(number: int) -> Any:
    message = segments_pb2.Transition(
        number=number, user_id=f"u{number}", segment="vip", kind=1 + number % 2, cause=2
    )
    message.time.FromMicroseconds(number)
    return message


class StandIn(segments_pb2_grpc.SegmentServiceServicer):
    """Holds ten transitions; its streams break after every second one."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.breaks = list(BREAKS)
        self.backfills = 0
        self.gone = threading.Event()
        self.first_kept = 1

    def ListSegments(self, request: Any, context: Any) -> Any:
        self.seen.append(request)
        self.backfills -= 1
        vip = segments_pb2.Segment(
            definition=segments_pb2.SegmentDefinition(name="vip", rule="count(buy) > 9"),
            members=3,
            reads_models=["buys"],
        )
        vip.definition.valid_from.FromMicroseconds(5)
        if self.backfills > 0:
            vip.backfill.users_done, vip.backfill.users_total = 40, 100
        tier = segments_pb2.Segment(
            definition=segments_pb2.SegmentDefinition(name="buys.most_likely"),
            tier_of="buys",
            members=2,
        )
        shared = segments_pb2.Overlap(first="buys.most_likely", second="vip", users=1)
        overlaps = [shared] if request.include_overlaps else []
        answer = segments_pb2.ListSegmentsResponse(
            segments=[tier, vip], overlaps=overlaps, users=9, last_transition=2
        )
        answer.as_of.FromMicroseconds(7_000_000)
        return answer

    def ListMembers(self, request: Any, context: Any) -> Iterator[Any]:
        self.seen.append(request)
        if request.segment == "vop":
            context.abort(grpc.StatusCode.NOT_FOUND, "no segment 'vop'; did you mean 'vip'?")
        yield segments_pb2.ListMembersResponse(user_ids=["a", "b"])
        yield segments_pb2.ListMembersResponse(user_ids=["c"])

    def GetUserSegments(self, request: Any, context: Any) -> Any:
        self.seen.append(request)
        answer = segments_pb2.GetUserSegmentsResponse(user_id=request.user_id)
        vip = answer.segments.add(segment="vip", is_member=True)
        if not request.without_since:
            vip.since.FromMicroseconds(1)
        answer.segments.add(segment="far")
        return answer

    def PutSegment(self, request: Any, context: Any) -> Any:
        self.seen.append(request)
        put = [segments_pb2.Segment(definition=one) for one in request.definitions]
        return segments_pb2.PutSegmentResponse(segments=put, changed=["vip"])

    def DeleteSegment(self, request: Any, context: Any) -> Any:
        self.seen.append(request)
        context.abort(grpc.StatusCode.UNAVAILABLE, "stopping")

    def GetSegment(self, request: Any, context: Any) -> Any:
        for segment in self.ListSegments(segments_pb2.ListSegmentsRequest(), context).segments:
            if segment.definition.name == request.name:
                return segments_pb2.GetSegmentResponse(segment=segment)
        context.abort(grpc.StatusCode.NOT_FOUND, f"no segment {request.name!r}")

    def GetClock(self, request: Any, context: Any) -> Any:
        answer = segments_pb2.GetClockResponse(simulated=True)
        answer.now.FromMicroseconds(0)
        return answer

    def AdvanceClock(self, request: Any, context: Any) -> Any:
        self.seen.append(request)
        answer = segments_pb2.AdvanceClockResponse(last_transition=3)
        answer.now.FromMicroseconds(8)
        return answer

    def WatchTransitions(self, request: Any, context: Any) -> Iterator[Any]:
        self.seen.append(request)
        if request.HasField("after_number") and request.after_number + 1 < self.first_kept:
            refuse_as_gone(context, self.first_kept)
        if list(request.segments) == ["vip", "nope"]:
            refuse_as_unknown(context, "segments[1]")
        if request.after_number > 10:
            context.abort(grpc.StatusCode.OUT_OF_RANGE, "the last transition is 10")
        context.add_callback(self.gone.set)
        start = request.after_number if request.HasField("after_number") else 0
        yield segments_pb2.WatchTransitionsResponse(up_to=start)
        for number in range(start + 1, 11):
            yield segments_pb2.WatchTransitionsResponse(
                transitions=[number_message(number)], up_to=number
            )
            if number % 2 == 0 and self.breaks:
                how = self.breaks.pop(0)
                if how is not None:
                    context.abort(how, "as planned")
                return
        while context.is_active():
            time.sleep(0.01)


def refuse_as_unknown(context: Any, field: str) -> None:
    text = f"{field}: there is no such segment; ListSegments names those that there are"
    told = Status(code=grpc.StatusCode.NOT_FOUND.value[0], message=text)
    told.details.add().Pack(ErrorInfo(reason="SEGMENT_UNKNOWN", metadata={"field": field}))
    context.set_trailing_metadata([("grpc-status-details-bin", told.SerializeToString())])
    context.abort(grpc.StatusCode.NOT_FOUND, text)


def refuse_as_gone(context: Any, first: int) -> None:
    told = Status(code=grpc.StatusCode.OUT_OF_RANGE.value[0], message="they are gone")
    metadata = {"field": "after_number", "first": str(first)}
    told.details.add().Pack(ErrorInfo(reason="TRANSITIONS_GONE", metadata=metadata))
    context.set_trailing_metadata([("grpc-status-details-bin", told.SerializeToString())])
    context.abort(grpc.StatusCode.OUT_OF_RANGE, told.message)


@contextmanager
def standing_in(servicer: StandIn) -> Iterator[str]:
    """Serve the stand-in for the length of a block; gives its address."""
    server = grpc.server(ThreadPoolExecutor(8))
    segments_pb2_grpc.add_SegmentServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)
