"""Segments: named sets of users, their files, and who is in them; see :class:`Segment`."""

from __future__ import annotations

from propense.segments.definition import Segment
from propense.segments.files import read_segments
from propense.segments.membership import segment
from propense.segments.transition import Transition

__all__ = ["Segment", "Transition", "read_segments", "segment"]
