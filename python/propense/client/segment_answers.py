"""What the segment service answers, as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from propense._proto import segments_pb2
from propense.client.answers import instant_of, timestamp
from propense.exceptions import NotFoundError, ServiceError
from propense.segments.definition import Segment
from propense.segments.transition import Cause, Transition, TransitionKind

_KINDS: dict[int, TransitionKind] = {
    segments_pb2.TRANSITION_KIND_ENTER: "enter",
    segments_pb2.TRANSITION_KIND_EXIT: "exit",
}
_CAUSES: dict[int, Cause] = {
    segments_pb2.CAUSE_EVENT: "event",
    segments_pb2.CAUSE_TIME: "time",
    segments_pb2.CAUSE_RULE_CHANGE: "rule_change",
    segments_pb2.CAUSE_MODEL_CHANGE: "model_change",
    segments_pb2.CAUSE_ERASED: "erased",
}


@dataclass(frozen=True)
class Backfill:
    """How far the evaluation of all users for a new or changed segment is."""

    users_done: int
    users_total: int


@dataclass(frozen=True)
class LiveSegment:
    """A segment as it stands on a server.

    Attributes
    ----------
    name
        The segment's name.
    definition
        As it was put, its texts in their canonical form; None for a model's tier.
    tier_of
        The model whose tier it is; None if it was put.
    members
        Users in it.
    backfill
        How far its evaluation is; None when all users are evaluated. Until then those who are not
        stand as they did before it was put.
    reads_segments, reads_models
        Names of what its rules read.
    unaudited_models
        The models whose missing audits keep everybody out of it; none unless it requires audits.
    """

    name: str
    definition: Segment | None
    tier_of: str | None
    members: int
    backfill: Backfill | None
    reads_segments: tuple[str, ...]
    reads_models: tuple[str, ...]
    unaudited_models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Overlap:
    """How many users two segments share."""

    first: str
    second: str
    users: int


@dataclass(frozen=True)
class LiveSegments:
    """All segments of a server at one instant; iterates over them, ascending by name.

    Attributes
    ----------
    segments
        Ascending by name, models' tiers included.
    overlaps
        Of every two segments that share a user, ascending by both names; None if not asked for.
    users
        Users that the store knows: with an event or a profile.
    as_of
        The server's clock.
    last_transition
        The number of the last transition so far; 0 if there is none.
    """

    segments: tuple[LiveSegment, ...]
    overlaps: tuple[Overlap, ...] | None
    users: int
    as_of: datetime
    last_transition: int

    def __iter__(self) -> Iterator[LiveSegment]:
        """Give the segments one by one."""
        return iter(self.segments)

    def __len__(self) -> int:
        """Count the segments."""
        return len(self.segments)

    def __getitem__(self, name: str) -> LiveSegment:
        """Give the segment of that name."""
        for segment in self.segments:
            if segment.name == name:
                return segment
        known = ", ".join(segment.name for segment in self.segments)
        raise NotFoundError(f"no segment {name!r} in this answer; it has {known or 'none'}")


@dataclass(frozen=True)
class PutSegments:
    """What became of segments that were put.

    Attributes
    ----------
    segments
        As they stand, in the order given.
    changed
        The names of those that were not in force in this form before.
    """

    segments: tuple[LiveSegment, ...]
    changed: tuple[str, ...]


@dataclass(frozen=True)
class UserSegment:
    """One user's standing with one segment.

    Attributes
    ----------
    segment
        Its name.
    is_member
        Whether the user is in it.
    since
        Since when, by the user's own events. None outside, if it was not asked for, and of a member
        who is to leave by that, and whose exit the server is about to write.
    """

    segment: str
    is_member: bool
    since: datetime | None


@dataclass(frozen=True)
class UserSegments:
    """One user's standing with segments at one instant."""

    user_id: str
    as_of: datetime
    segments: tuple[UserSegment, ...]

    @property
    def names(self) -> list[str]:
        """Names of those that the user is in."""
        return [one.segment for one in self.segments if one.is_member]

    def __contains__(self, name: object) -> bool:
        """Say whether the user is in the segment of that name."""
        return name in self.names

    def __iter__(self) -> Iterator[UserSegment]:
        """Give the standings one by one."""
        return iter(self.segments)


@dataclass(frozen=True)
class Clock:
    """The instant that a server takes for now, and whether it stands still unless it is advanced."""

    now: datetime
    simulated: bool


@dataclass(frozen=True)
class AdvancedClock:
    """A simulated clock after it was advanced, and the number of the last transition so far."""

    now: datetime
    last_transition: int


def definition_message(segment: Segment) -> segments_pb2.SegmentDefinition:
    """Give a segment as the service takes it."""
    return segments_pb2.SegmentDefinition(
        name=segment.name,
        rule=segment.rule,
        stay=segment.stay or "",
        min_stay=segment.min_stay or "",
        valid_from=timestamp(segment.valid_from),
        valid_until=timestamp(segment.valid_until),
        timezone=segment.timezone,
        owner=segment.owner,
        description=segment.description,
        requires_audit=segment.requires_audit,
    )


def live_segment(message: segments_pb2.Segment) -> LiveSegment:
    """Give a segment as it stands."""
    given = message.definition
    backfill = None
    if message.HasField("backfill"):
        backfill = Backfill(message.backfill.users_done, message.backfill.users_total)
    return LiveSegment(
        name=given.name,
        definition=None if message.tier_of else _definition(given),
        tier_of=message.tier_of or None,
        members=message.members,
        backfill=backfill,
        reads_segments=tuple(message.reads_segments),
        reads_models=tuple(message.reads_models),
        unaudited_models=tuple(message.unaudited_models),
    )


def live_segments(answer: segments_pb2.ListSegmentsResponse, overlaps: bool) -> LiveSegments:
    """Give all segments."""
    shared = tuple(Overlap(one.first, one.second, one.users) for one in answer.overlaps)
    return LiveSegments(
        segments=tuple(live_segment(segment) for segment in answer.segments),
        overlaps=shared if overlaps else None,
        users=answer.users,
        as_of=instant_of(answer.as_of),
        last_transition=answer.last_transition,
    )


def user_segments(answer: segments_pb2.GetUserSegmentsResponse) -> UserSegments:
    """Give one user's standing."""
    standings = (
        UserSegment(
            one.segment, one.is_member, instant_of(one.since) if one.HasField("since") else None
        )
        for one in answer.segments
    )
    return UserSegments(answer.user_id, instant_of(answer.as_of), tuple(standings))


def transition(message: segments_pb2.Transition) -> Transition:
    """Give a transition."""
    kind, cause = _KINDS.get(message.kind), _CAUSES.get(message.cause)
    if kind is None or cause is None:
        raise ServiceError(
            f"transition {message.number} is of a kind or cause that this client does not know "
            f"({message.kind}, {message.cause}); it is older than the server"
        )
    when = instant_of(message.time)
    return Transition(message.number, message.user_id, message.segment, kind, when, cause)


def _definition(given: segments_pb2.SegmentDefinition) -> Segment:
    return Segment(
        name=given.name,
        rule=given.rule,
        stay=given.stay or None,
        min_stay=given.min_stay or None,
        valid_from=instant_of(given.valid_from) if given.HasField("valid_from") else None,
        valid_until=instant_of(given.valid_until) if given.HasField("valid_until") else None,
        timezone=given.timezone or "UTC",
        owner=given.owner,
        description=given.description,
        requires_audit=given.requires_audit,
    )
