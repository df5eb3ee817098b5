"""The sealed parts of a store as one log, also while a server has the store open."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from propense.columns import UserColumn
from propense.events import EventLog, Profiles, read_events, read_profiles
from propense.exceptions import DataError
from propense.progress import progress_hidden, track
from propense.saved_log import saved_table

_USER, _TIME, _EVENT = "user_id", "event_time", "event"
_IDS = ("event_id_high", "event_id_low")
_TRIES = 5


def read_parts(folder: str | Path) -> EventLog:
    """Read all sealed parts; what is only in the write-ahead log is not in them yet.

    Raises
    ------
    DataError
        There is no part yet, or one cannot be read.
    """
    for attempt in range(_TRIES):
        parts = _parts(Path(folder))
        try:
            return _read(Path(folder), parts)
        except (DataError, OSError):
            # A server may have merged parts meanwhile, and removed those that it made others of.
            if parts == _parts(Path(folder)) or attempt == _TRIES - 1:
                raise
    raise DataError(f"{folder} changes too often to be read")  # pragma: no cover


def _parts(folder: Path) -> list[Path]:
    try:
        numbers = json.loads((folder / "store.json").read_text("utf-8"))["parts"]
        return [folder / "parts" / f"{int(number):06}" for number in numbers]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is no store: its store.json cannot be read: {error}") from error


def _read(folder: Path, parts: list[Path]) -> EventLog:
    if not parts:
        raise DataError(
            f"{folder} has no sealed part yet; propense store compact {folder} makes one of what is "
            "in its log, while no server has it open"
        )
    events = pl.concat([_table(part, "events.arrow") for part in parts], how="diagonal_relaxed")
    attributes = [part for part in parts if (part / "profiles.arrow").is_file()]
    known = _profiles(attributes) if attributes else None
    with track(f"reading {folder}"), progress_hidden():
        log = read_events(events, user=_USER, time=_TIME, event=_EVENT, profiles=known)
    return EventLog(log.core, UserColumn(_USER, pl.String()))


def _profiles(parts: list[Path]) -> Profiles:
    """Give each user's attributes from all parts: of several values, that of the newest part."""
    tables = pl.concat(
        [_table(part, "profiles.arrow") for part in reversed(parts)], how="diagonal_relaxed"
    )
    newest = tables.group_by(_USER).agg(pl.all().drop_nulls().first())
    return read_profiles(newest, user=_USER)


def _table(part: Path, file: str) -> pl.LazyFrame:
    """Give a part's table in plain columns, without the hashes of the events' ids."""
    table = saved_table(part, file)
    if table is None:
        raise DataError(f"{part} has no {file}")
    schema = table.collect_schema()
    # Roles come first; where a property has a role's name, the role's own has a `_`.
    roles = (_USER, _TIME, _EVENT) if file == "events.arrow" else (_USER,)
    names = schema.names()
    taken = [name for name in roles if name in names[len(roles) :]]
    if taken:
        raise DataError(f"{part}: the property {taken[0]!r} has the name of a column of the log")
    texts = [
        pl.col(name).cast(pl.String) for name, kind in schema.items() if kind == pl.Categorical
    ]
    return table.with_columns(texts).drop(_IDS, strict=False)
