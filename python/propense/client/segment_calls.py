"""Calls of the segment service."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import cached_property
from typing import cast

import grpc
import polars as pl
from google.protobuf.duration_pb2 import Duration

from propense import _core
from propense._proto import segments_pb2
from propense._proto.segments_pb2_grpc import SegmentServiceStub
from propense.client import score_frames, segment_answers
from propense.client.answers import instant_of, timestamp
from propense.client.calls import Calls, names_of
from propense.client.segment_answers import (
    AdvancedClock,
    Clock,
    LiveSegment,
    LiveSegments,
    PutSegments,
    UserSegments,
    definition_message,
)
from propense.client.transition_stream import TransitionStream
from propense.client.unknown_names import segments_named
from propense.exceptions import DataError, DeadlineError
from propense.instants import Instant
from propense.progress import track
from propense.segments.files import Segments, segments_of
from propense.segments.transition import Transition

PATIENCE_S = 60.0
"""How long a server may be away before those who watch it hear of it."""

_LOOK_EVERY_S = 0.1


class SegmentCalls(Calls):
    """Segments, their members, and who enters and leaves as it happens."""

    @cached_property
    def _segments(self) -> SegmentServiceStub:
        return SegmentServiceStub(self._connection.channel)

    def list_segments(
        self, *, overlaps: bool = False, timeout: float | None = None
    ) -> LiveSegments:
        """Give all segments with their counts, models' tiers included.

        Parameters
        ----------
        overlaps
            Whether to count the users that each two segments share.
        timeout
            Seconds; left out: the client's.
        """
        request = segments_pb2.ListSegmentsRequest(include_overlaps=overlaps)
        answer = self._call(self._segments.ListSegments, request, timeout)
        return segment_answers.live_segments(answer, overlaps)

    def get_segment(self, name: str, *, timeout: float | None = None) -> LiveSegment:
        """Give one segment as it stands.

        Raises
        ------
        NotFoundError
            There is none of that name.
        """
        request = segments_pb2.GetSegmentRequest(name=name)
        with segments_named([name]):
            answer = self._call(self._segments.GetSegment, request, timeout)
        return segment_answers.live_segment(answer.segment)

    def members(self, segment: str, *, timeout: float | None = None) -> pl.Series:
        """Give the ids of a segment's members, as text, ascending by their bytes.

        Raises
        ------
        NotFoundError
            There is no segment of that name.
        """
        pages = list(self.stream_members(segment, timeout=timeout))
        return pl.concat(pages) if pages else _ids([])

    def stream_members(
        self,
        segment: str,
        *,
        after: str | None = None,
        page_users: int = 0,
        timeout: float | None = None,
    ) -> Iterator[pl.Series]:
        """Stream the ids of a segment's members, page by page, as they were when the call began.

        Parameters
        ----------
        segment
            Its name.
        after
            Only members after this id; left out: all.
        page_users
            Most users of a page, 1 to 65,536; 0: the server's choice.
        timeout
            Seconds for the whole stream; left out: the client's ``stream_timeout``.
        """
        request = segments_pb2.ListMembersRequest(
            segment=segment, after_user_id=after or "", page_users=page_users
        )
        call = self._stream(self._segments.ListMembers, request, timeout)
        with segments_named([segment]), self._connection.explained():
            for message in call:
                yield _ids(message.user_ids)

    def user_segments(
        self,
        user_id: str | int,
        *,
        segments: str | Sequence[str] = (),
        since: bool = True,
        timeout: float | None = None,
    ) -> UserSegments:
        """Give the segments that a user is in, and since when.

        Parameters
        ----------
        user_id
            The user; an integer is written as text, as ingested ids are.
        segments
            Names; of these, also those that the user is not in are given. Left out: all segments
            that the user is in.
        since
            Whether to say since when. That takes a replay of the user's history; without, the answer
            is there at once.
        timeout
            Seconds; left out: the client's.

        Raises
        ------
        NotFoundError
            The store knows nothing of the user, or there is no segment of a name.
        """
        request = segments_pb2.GetUserSegmentsRequest(
            user_id=score_frames.texts([user_id])[0],
            segments=names_of(segments),
            without_since=not since,
        )
        with segments_named(request.segments):
            answer = self._call(self._segments.GetUserSegments, request, timeout)
        return segment_answers.user_segments(answer)

    def watch_transitions(
        self,
        segments: str | Sequence[str] = (),
        *,
        after: int | None = None,
        patience: float | None = PATIENCE_S,
    ) -> TransitionStream:
        """Watch who enters and leaves; when this returns, nothing that happens from now on is missed.

        Parameters
        ----------
        segments
            Names; left out: all.
        after
            Only transitions with larger numbers, those of the past too, 0 for all that are kept;
            left out: those from now on.
        patience
            Seconds that the server may be away before that is an error; None: any time.

        Returns
        -------
        TransitionStream
            An iterator that connects again and goes on where it was; see there.

        Raises
        ------
        NotFoundError
            There is no segment of a name.
        InvalidRequestError
            The transitions after that number are no longer kept, or it is beyond the last one.
        """
        names = names_of(segments)

        def opened(number: int | None) -> Iterator[segments_pb2.WatchTransitionsResponse]:
            request = segments_pb2.WatchTransitionsRequest(segments=names, after_number=number)
            return self._stream(self._segments.WatchTransitions, request, None)

        with segments_named(names):
            return TransitionStream(self._connection, opened, after, patience)

    def transition_pages(
        self,
        segments: str | Sequence[str] = (),
        *,
        after: int,
        opened: Callable[[grpc.Call], None],
    ) -> Iterator[tuple[list[Transition], int]]:
        """Yield transitions as the server sends them, over one connection.

        Parameters
        ----------
        segments, after
            As in :meth:`watch_transitions`.
        opened
            Gets the call, to cancel it from another thread.

        Returns
        -------
        Iterator of tuple
            The next transitions, perhaps none, and the number up to which there are no others: what
            resumes after it misses nothing.
        """
        names = names_of(segments)
        request = segments_pb2.WatchTransitionsRequest(segments=names, after_number=after)
        with self._connection.explained():
            call = self._stream(self._segments.WatchTransitions, request, None)
            opened(cast("grpc.Call", call))
            for message in call:
                made = [segment_answers.transition(one) for one in message.transitions]
                yield made, message.up_to

    def put_segment(
        self,
        segment: Segments,
        *,
        dry_run: bool = False,
        wait: bool = False,
        timeout: float | None = None,
    ) -> PutSegments:
        """Put a segment, or several at once: all of them or, where one is refused, none.

        All users are then evaluated for what changed, beside all else that the server does.

        Parameters
        ----------
        segment
            New or changed, one or several, or a folder or file of them; those that are in force in
            this form stay as they are. They may read one another.
        dry_run
            Whether only to check them.
        wait
            Whether to return only when all users are evaluated.
        timeout
            Seconds; left out: the client's, and while it waits for users the ``stream_timeout``.

        Raises
        ------
        InvalidRequestError
            A definition is malformed, names something unknown, or closes a cycle; ``field`` says
            which. The segments in force stay.
        """
        given = segments_of(segment)
        request = segments_pb2.PutSegmentRequest(
            definitions=[definition_message(one) for one in given], dry_run=dry_run
        )
        answer = self._call(self._segments.PutSegment, request, timeout)
        names = [one.name for one in given]
        if wait and not dry_run:
            held = self.wait_evaluated(names, timeout=timeout)
            return PutSegments(tuple(held[name] for name in names), tuple(answer.changed))
        as_put = tuple(segment_answers.live_segment(one) for one in answer.segments)
        return PutSegments(as_put, tuple(answer.changed))

    def wait_evaluated(
        self, segments: str | Sequence[str] = (), *, timeout: float | None = None
    ) -> LiveSegments:
        """Wait until all users are evaluated for segments; left out: for all of them.

        Raises
        ------
        DeadlineError
            They are not within ``timeout`` seconds; left out: the client's ``stream_timeout``.
        """
        names = set(names_of(segments))
        ends = time.monotonic() + (timeout or self._stream_timeout)
        with track("evaluating users", 100) as report:
            while True:
                held = self.list_segments()
                asked = [one for one in held if not names or one.name in names]
                left = [one.backfill for one in asked if one.backfill is not None]
                if not left:
                    return held
                report(int(min(100 * one.users_done / max(one.users_total, 1) for one in left)))
                if time.monotonic() > ends:
                    raise DeadlineError(
                        f"{len(left)} segments are not evaluated yet ({self._connection.address}); "
                        "the server goes on",
                        code="DEADLINE_EXCEEDED",
                    )
                time.sleep(_LOOK_EVERY_S)

    def delete_segment(self, name: str, *, timeout: float | None = None) -> int:
        """Delete a segment and give how many members left it.

        Raises
        ------
        NotFoundError
            There is none of that name.
        FailedPreconditionError
            Another segment's rule reads it, or it is a model's tier.
        """
        request = segments_pb2.DeleteSegmentRequest(name=name)
        with segments_named([name]):
            return self._call(self._segments.DeleteSegment, request, timeout).members

    def clock(self, *, timeout: float | None = None) -> Clock:
        """Give the instant that the server takes for now."""
        answer = self._call(self._segments.GetClock, segments_pb2.GetClockRequest(), timeout)
        return Clock(instant_of(answer.now), answer.simulated)

    def advance_clock(
        self,
        by: str | timedelta | None = None,
        *,
        until: Instant | None = None,
        timeout: float | None = None,
    ) -> AdvancedClock:
        """Let a simulated clock go on; returns when all that falls due on the way has happened.

        Parameters
        ----------
        by
            How far, such as ``"30d"``.
        until
            Or to which instant.
        timeout
            Seconds; left out: the client's ``stream_timeout``.

        Raises
        ------
        FailedPreconditionError
            The server runs by the system's clock.
        InvalidRequestError
            The instant lies in the clock's past.
        """
        if (by is None) == (until is None):
            raise DataError("advance_clock takes either by=… or until=…")
        request = segments_pb2.AdvanceClockRequest(until=timestamp(until))
        if by is not None:
            request = segments_pb2.AdvanceClockRequest(by=_duration(by))
        answer = self._call(self._segments.AdvanceClock, request, timeout or self._stream_timeout)
        return AdvancedClock(instant_of(answer.now), answer.last_transition)


def _duration(by: str | timedelta) -> Duration:
    length = Duration()
    if isinstance(by, timedelta):
        length.FromTimedelta(by)
    else:
        length.FromMicroseconds(_core.parse_duration_us(by))
    return length


def _ids(user_ids: Sequence[str]) -> pl.Series:
    return pl.Series("user_id", list(user_ids), dtype=pl.String)
