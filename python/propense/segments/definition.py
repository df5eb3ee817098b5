"""A segment: a rule, what keeps a member in, when it counts, and whose it is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from propense import _core
from propense.exceptions import DataError, ExpressionError, SegmentError
from propense.goal_types import did_you_mean
from propense.instants import Instant, from_us, to_us

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")
_REQUIRED = ("name", "rule")
_INSTANTS = ("valid_from", "valid_until")


@dataclass(frozen=True, init=False)
class Segment:
    """A named set of users, stated as a rule over features, attributes, scores and other segments.

    Parameters
    ----------
    name
        Letters, digits, ``_`` and ``-``, up to 128, beginning with a letter or ``_``.
    rule
        Who is in it, such as ``"count(support_contact, '30d') >= 3"``, ``"score(buys) >= 0.7"`` or
        ``"tier(buys) = 'most_likely' AND NOT in_segment(vip)"``.
    stay
        A second, weaker rule for those who are in it: they stay while it holds, such as
        ``"score(buys) >= 0.6"``. Left out: the rule itself.
    min_stay
        How long whoever enters stays at least, such as ``"7d"``.
    valid_from, valid_until
        From the first instant on and before the second, users may be in it; outside nobody is. A date
        is its first instant in ``timezone``. Left out: no bound.
    timezone
        IANA time zone of calendar days and hours; dates in rules are UTC unless they say otherwise.
    owner, description
        For people.
    requires_audit
        Whether it has members only while every model that it reads, also through other segments, has
        an audit that is a pass, of that version: see :meth:`propense.audit.Audit.publish`. Such a
        segment has to read a score or a tier.

    Attributes
    ----------
    valid_from, valid_until
        The instants, datetimes in UTC; None without a bound.

    Raises
    ------
    SegmentError
        A field is not valid, or a rule cannot be parsed; says which, and where in the rule. Whether it
        fits events and models shows when it is used.

    Examples
    --------
    >>> Segment("at_risk", "count(support_contact, '30d') >= 3").timezone
    'UTC'
    """

    name: str
    rule: str
    stay: str | None
    min_stay: str | None
    valid_from: datetime | None
    valid_until: datetime | None
    timezone: str
    owner: str
    description: str
    requires_audit: bool

    def __init__(
        self,
        name: str,
        rule: str,
        stay: str | None = None,
        min_stay: str | None = None,
        valid_from: Instant | None = None,
        valid_until: Instant | None = None,
        timezone: str = "UTC",
        owner: str = "",
        description: str = "",
        requires_audit: bool = False,
    ) -> None:
        _check_name(name)
        for field, text in (("rule", rule), ("timezone", timezone)):
            _check_text(field, text)
        for field, optional in (("stay", stay), ("min_stay", min_stay)):
            if optional is not None:
                _check_text(field, optional)
        for field, note in (("owner", owner), ("description", description)):
            if not isinstance(note, str):
                raise SegmentError(f"{field}: expected a text, found {note!r}")
        if not isinstance(requires_audit, bool):
            raise SegmentError(f"requires_audit: expected true or false, found {requires_audit!r}")
        _check_timezone(timezone)
        if min_stay is not None:
            _check_interval("min_stay", min_stay)
        begins = _instant("valid_from", valid_from, timezone)
        ends = _instant("valid_until", valid_until, timezone)
        if begins is not None and ends is not None and begins >= ends:
            raise SegmentError(
                f"valid_until: {ends.isoformat()} is not after valid_from, {begins.isoformat()}"
            )
        given = (name, rule, stay, min_stay, begins, ends, timezone, owner, description)
        for entry, value in zip(fields(self), (*given, requires_audit), strict=True):
            object.__setattr__(self, entry.name, value)
        _core.check_segment(self.definition)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Segment:
        """Build a segment from a table whose keys are the parameters.

        Raises
        ------
        SegmentError
            A field is missing, unknown or not valid; names it.
        """
        known = [entry.name for entry in fields(cls)]
        for name in values:
            if name not in known:
                hint = did_you_mean(name, known)
                raise SegmentError(f"{name}: no such field{hint}; expected {', '.join(known)}")
        for name in _REQUIRED:
            if name not in values:
                raise SegmentError(f"{name}: missing")
        return cls(**values)

    @classmethod
    def from_toml(cls, text: str) -> Segment:
        """Build a segment from the text of a file.

        Raises
        ------
        SegmentError
            It is not TOML, or a field is missing, unknown or not valid.
        """
        from propense.segments.files import table_of  # it imports this module

        return cls.from_dict(table_of(text))

    def to_toml(self) -> str:
        """Give the segment as the text of a file; what has its default is left out."""
        lines = []
        for name, value in self.as_dict().items():
            text = value.isoformat() if isinstance(value, datetime) else _toml_text(value)
            lines.append(f"{name} = {text}\n")
        return "".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Give the parameters that do not have their default."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        defaults = {"timezone": "UTC", "owner": "", "description": "", "requires_audit": False}
        return {
            name: value
            for name, value in values.items()
            if value is not None and value != defaults.get(name)
        }

    @property
    def definition(self) -> str:
        """The segment as JSON, the form in which it goes to Rust and into a store."""
        values = self.as_dict()
        for name in _INSTANTS:
            if name in values:
                values[f"{name}_us"] = to_us(values.pop(name))
        return json.dumps(values)

    @classmethod
    def from_definition(cls, definition: str) -> Segment:
        """Take over a segment from JSON."""
        values = {
            name: value for name, value in json.loads(definition).items() if value is not None
        }
        for name in _INSTANTS:
            if f"{name}_us" in values:
                values[name] = from_us(values.pop(f"{name}_us"))
        return cls.from_dict(values)


def _check_name(name: object) -> None:
    _check_text("name", name)
    if not _NAME.fullmatch(str(name)):
        raise SegmentError(
            f"name: {name!r} is not one; use up to 128 letters, digits, _ and -, beginning with a "
            "letter or _"
        )


def _check_text(field: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise SegmentError(f"{field}: expected a text, found {value!r}")


def _check_timezone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise SegmentError(f"timezone: {name!r} is unknown; use an IANA name") from None


def _check_interval(field: str, value: str) -> None:
    try:
        _core.parse_duration_us(value)
    except ExpressionError as error:
        raise SegmentError(f"{field}: {error}") from None


def _instant(field: str, value: Instant | None, timezone: str) -> datetime | None:
    if value is None:
        return None
    try:
        return from_us(to_us(value, timezone))
    except (DataError, OverflowError) as error:
        raise SegmentError(f"{field}: {error}") from None


def _toml_text(value: str | bool) -> str:
    """Give a value as TOML writes it: JSON's way, but for the one sign that only TOML escapes."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
