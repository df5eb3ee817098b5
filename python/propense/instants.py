"""Instants and intervals between Python, text and microseconds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from propense.exceptions import DataError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000

Instant: TypeAlias = str | date | datetime
"""A date or instant: ``"2024-05-01"``, ``"2024-05-01T12:00:00+02:00"``, or Python's own."""


def to_us(instant: Instant, timezone: str = "UTC") -> int:
    """Microseconds since 1970-01-01 UTC of an instant.

    A date is its first instant; whatever has no time zone of its own is in ``timezone``.

    Raises
    ------
    DataError
        It is neither a date nor an instant, or the time zone is unknown.
    """
    if isinstance(instant, str):
        try:
            instant = datetime.fromisoformat(instant)
        except ValueError:
            raise DataError(
                f"{instant!r} is not an instant; write a date such as 2024-05-01 "
                "or a time such as 2024-05-01T12:00:00Z"
            ) from None
    elif not isinstance(instant, date):
        raise DataError(f"{instant!r} is not an instant; expected a text, a date or a datetime")
    elif not isinstance(instant, datetime):
        instant = datetime(instant.year, instant.month, instant.day)
    if instant.tzinfo is None:
        try:
            instant = instant.replace(tzinfo=ZoneInfo(timezone))
        except (ZoneInfoNotFoundError, ValueError):
            raise DataError(f"unknown time zone {timezone!r}; use an IANA name") from None
    return (instant - _EPOCH) // timedelta(microseconds=1)


def from_us(instant_us: int) -> datetime:
    """Give the instant, in UTC, of microseconds since 1970-01-01 UTC.

    Raises
    ------
    DataError
        The instant lies outside the years 1 to 9999, which Python's datetimes cover.
    """
    try:
        return _EPOCH + timedelta(microseconds=instant_us)
    except OverflowError:
        raise DataError(
            f"{instant_us} microseconds from 1970 lie outside the years 1 to 9999"
        ) from None


def local_day(instant: datetime, timezone: str) -> str:
    """Give the calendar day of an instant in an IANA time zone, such as ``2024-05-01``."""
    return f"{instant.astimezone(ZoneInfo(timezone)):%Y-%m-%d}"


def in_words(instant_us: int, *, always_time: bool = False) -> str:
    """Give an instant as text: a date if it is midnight UTC, else to the second, with Z."""
    try:
        instant = from_us(instant_us)
    except DataError:
        return f"{instant_us} µs from 1970"
    if instant_us % DAY_US == 0 and not always_time:
        return instant.strftime("%Y-%m-%d")
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
