"""Event logs and profiles: reading them, and what they say of themselves."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import polars as pl

from propense import _core
from propense.columns import UserColumn, property_columns, user_column
from propense.event_table import EventColumns, exact_integers, scanned, typed_nulls
from propense.exceptions import DataError, PropenseWarning
from propense.goal_types import did_you_mean
from propense.instants import from_us, in_words
from propense.sources import Source, collect, scan, schema_of

_MANIFESTS = ("manifest.json", "store.json")
"""What makes a folder a saved log or a store."""


@dataclass(frozen=True)
class Profiles:
    """One row a user of slowly changing attributes; attach them with ``log.with_profiles``."""

    core: _core.Profiles
    table: pl.DataFrame = field(repr=False, compare=False)
    """What was read: the user column first, then the attributes."""
    protected: tuple[str, ...] = ()
    """Attributes that no automatic feature reads."""

    def __len__(self) -> int:
        """Count the users with a profile."""
        return len(self.core)

    @property
    def attributes(self) -> dict[str, str]:
        """Each attribute's kind: ``number``, ``boolean``, ``time`` or ``text``."""
        return dict(self.core.attributes)

    def __repr__(self) -> str:
        """Say how many users and which attributes."""
        return f"Profiles({len(self):,} users; {', '.join(self.attributes) or 'no attributes'})"


@dataclass(frozen=True)
class EventLog:
    """Events grouped by user, in canonical order; made by :func:`read_events`."""

    core: _core.EventLog
    user_column: UserColumn
    protected: tuple[str, ...] = ()
    """Attributes that no automatic feature reads; see :meth:`with_protected`."""

    @property
    def n_events(self) -> int:
        """Events in the log."""
        return self.core.n_events

    @property
    def n_users(self) -> int:
        """Users with at least one event."""
        return self.core.n_users

    @property
    def dropped(self) -> int:
        """Rows that came without a user id and were left out."""
        return self.core.dropped

    @property
    def event_types(self) -> list[str]:
        """The event types, ascending."""
        return self.core.event_types

    @property
    def properties(self) -> dict[str, str]:
        """Each property's kind: ``number``, ``boolean``, ``time`` or ``text``."""
        return dict(self.core.properties)

    @property
    def attributes(self) -> dict[str, str]:
        """Each profile attribute's kind; empty without profiles."""
        return dict(self.core.attributes)

    @property
    def span_us(self) -> tuple[int, int]:
        """Earliest and latest event time, both in, microseconds since 1970-01-01 UTC."""
        span = self.core.time_span_us
        if span is None:  # pragma: no cover - read_events refuses an empty log
            raise DataError("the log has no events")
        return span

    @property
    def first(self) -> datetime:
        """Time of the earliest event, UTC."""
        return from_us(self.span_us[0])

    @property
    def last(self) -> datetime:
        """Time of the latest event, UTC."""
        return from_us(self.span_us[1])

    def with_profiles(self, profiles: Profiles) -> EventLog:
        """Give the same events with these profiles, for ``attr(…)``.

        Users are those with an event; only :func:`propense.segment` looks at those with a profile alone.
        Users without a profile have missing attributes.

        Raises
        ------
        DataError
            The ids of the two are not of one type.
        """
        core = self.core.with_profiles(profiles.core)
        return replace(self, core=core, protected=profiles.protected)

    def with_protected(self, attributes: Sequence[str]) -> EventLog:
        """Give the same events with these attributes, and no others, marked as protected.

        No automatic feature reads a protected attribute, and :meth:`propense.Model.audit` looks at
        them. The marks are not saved with a log.

        Raises
        ------
        DataError
            The log has no such attribute.
        """
        return replace(self, protected=known_attributes(attributes, self.attributes, "the log"))

    def save(self, folder: str | Path) -> Path:
        """Save the log, its profiles included, as a folder of Arrow files for :func:`open_log`.

        The files are written aside and put in place in one step; a saved log that is there already
        is replaced, and whoever has it open keeps what they opened. ``events.arrow`` in it is a
        table that Polars and pyarrow read as it is.

        Raises
        ------
        OutputError
            Something that is no saved log is there, or the folder cannot be written; what was
            there before stays.
        """
        from propense.saved_log import save_log  # it imports this module

        return save_log(self, folder)

    def __repr__(self) -> str:
        """Say how much the log holds."""
        first, last = self.span_us
        return (
            f"EventLog({self.n_events:,} events of {self.n_users:,} users, "
            f"{in_words(first)} … {in_words(last)}; {', '.join(self.event_types)})"
        )


def read_events(
    source: Source,
    *,
    user: str = "user_id",
    time: str | None = None,
    event: str = "event",
    event_constant: str | None = None,
    time_unit: str | None = None,
    properties: Sequence[str] | None = None,
    profiles: Profiles | None = None,
) -> EventLog:
    """Read an event log.

    Parameters
    ----------
    source
        Path or glob of Parquet, CSV or JSON-lines files, a list of them, a Polars frame or lazy
        frame, or anything that exports Arrow (pandas, pyarrow, DuckDB). A folder is read with those
        below it; what begins with ``.`` or ``_`` in it, such as ``_temporary``, is left over from
        others and not read unless it is named, nor are such folders by a glob. The folder of a saved
        log or of a store is opened as :func:`propense.open_log` does; its columns are then those
        that it was saved with.
    user
        Column of user ids: text or integers (CSV ids are read as text). Rows without one are
        dropped, whatever else they hold, with a warning that counts them.
    time
        Column of event times: timestamps, dates, or ISO 8601 text; UTC unless they say otherwise.
        Left out: the first of ``event_time``, ``ts``, ``timestamp``, ``time`` that is there.
    event
        Column of event types: text, or integers, which are then written as text.
    event_constant
        The one event type of a log that has no such column.
    time_unit
        ``"s"``, ``"ms"``, ``"us"`` or ``"ns"`` since 1970, for times that are integers.
    properties
        Columns to keep as properties; left out: all others. Nested columns are left out with a
        warning. Integers that f64 cannot hold exactly are kept as text.
    profiles
        Attributes of the users, from :func:`read_profiles`.

    Raises
    ------
    DataError
        A file cannot be read, a column is missing, a time cannot be parsed or lies outside ±292,000
        years (says which row), all user ids are missing, or there are no events.
    """
    only = source[0] if isinstance(source, list) and len(source) == 1 else source
    if isinstance(only, str | Path) and any((Path(only) / name).is_file() for name in _MANIFESTS):
        from propense.saved_log import open_log  # it imports this module

        saved = open_log(only)
        return saved if profiles is None else saved.with_profiles(profiles)
    names = EventColumns(user, time, event, event_constant, time_unit)
    with scanned(source, names, properties) as table:
        ids = user_column(table.frame[user], table.where)
        where = table.where
        core = _core.EventLog.from_arrow(table.frame, user, table.time, table.event)
    if core.n_events == 0:
        reason = f"all {core.dropped:,} user ids are missing" if core.dropped else "it has no rows"
        raise DataError(f"{where} has no events: {reason}")
    if core.dropped:
        message = f"{where}: {core.dropped:,} rows without a user id were dropped"
        warnings.warn(message, PropenseWarning, stacklevel=2)
    log = EventLog(core, ids)
    return log if profiles is None else log.with_profiles(profiles)


def read_profiles(
    source: Source, *, user: str = "user_id", protected: Sequence[str] = ()
) -> Profiles:
    """Read profiles: one row a user, every other column an attribute.

    Parameters
    ----------
    source
        As in :func:`read_events`.
    user
        Column of user ids, of the same type as the events'.
    protected
        Attributes that no automatic feature is to read, such as ``["age"]``.

    Raises
    ------
    DataError
        A file cannot be read, the user column is missing or has missing ids, a user has two rows,
        or a protected attribute is not there.
    """
    frame, where = scan(source, text_columns=(user,))
    schema = schema_of(frame, where)
    kept = property_columns(schema, {"user": user}, None, where)
    table = collect(frame.select(user, *kept), where)
    user_column(table[user], where)
    marked = known_attributes(protected, kept, where)
    exact = table.with_columns(*exact_integers(table, kept))
    return Profiles(_core.Profiles.from_arrow(typed_nulls(exact, user), user), table, marked)


def known_attributes(names: Sequence[str], known: Iterable[str], where: str) -> tuple[str, ...]:
    """Give names of attributes without repetition, each of which must be known.

    Raises
    ------
    DataError
        Names the one that is not, and the nearest that is.
    """
    known = list(known)
    for name in [names] if isinstance(names, str) else names:
        if name not in known:
            raise DataError(
                f"{where} has no attribute {name!r}{did_you_mean(name, known)}; "
                f"the attributes are {', '.join(known) or 'none: give profiles'}"
            )
    return tuple(dict.fromkeys([names] if isinstance(names, str) else names))
