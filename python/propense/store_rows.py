"""Logs and profiles as the rows that a store takes: text ids, and properties of three kinds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import polars as pl

from propense.columns import property_columns, user_column
from propense.event_table import EventColumns, exact_integers, scanned, typed_nulls
from propense.exceptions import DataError, PropenseWarning
from propense.goal_types import did_you_mean
from propense.saved_log import saved_table
from propense.sources import Source, collect, scan, schema_of

USER, TIME, EVENT, EVENT_ID = "user_id", "event_time", "event", "event_id"
_IDENTITY = [USER, TIME, EVENT]
BATCH_ROWS = 25_000
BATCH_BYTES = 8 * 2**20


@dataclass(frozen=True)
class StoreRows:
    """Rows in the columns that a store knows.

    Attributes
    ----------
    frame
        For events ``user_id``, ``event_time``, ``event``, ``event_id`` where rows have one, and
        properties; for profiles ``user_id`` and attributes.
    where
        Where they come from, for messages.
    """

    frame: pl.DataFrame
    where: str

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[tuple[int, pl.DataFrame, bytes]]:
        """Yield the first row's place, the rows, and the same as an Arrow stream.

        Batches have up to ``rows`` rows and, unless one row alone is longer, 8 MiB.
        """
        for start in range(0, self.frame.height, rows):
            yield from _encoded(start, self.frame.slice(start, rows))

    def encoded(self) -> bytes:
        """Give all rows as one Arrow stream."""
        return _arrow_stream(self.frame)


def event_rows(
    source: Source,
    names: EventColumns,
    *,
    event_id: str | None = None,
    properties: Sequence[str] | None = None,
    number_ties: bool,
) -> StoreRows:
    """Read events for a store.

    Parameters
    ----------
    source, names, properties
        As in :func:`propense.read_events`; the folder of a saved log is read as the table it holds.
    event_id
        Column of ids that tell apart events that are otherwise the same; left out: ``event_id`` if
        there is such a column.
    number_ties
        Where there are no ids: whether rows that are alike in user, time and type are numbered, so
        that each of them counts. The numbers do not depend on the order of the rows.

    Raises
    ------
    DataError
        As :func:`propense.read_events`, or a property has the name of a column of another role.
    """
    saved = _saved_part(source, "events.arrow")
    if saved is not None:
        user, time, event = saved.collect_schema().names()[:3]
        source, names = saved, EventColumns(user, time, event)
    with scanned(source, names, properties) as table:
        user_column(table.frame[table.user], table.where)
        ids = _id_column(table.frame, event_id, table.where)
        renamed = {table.user: USER, table.time: TIME, table.event: EVENT}
        renamed |= {} if ids is None else {ids: EVENT_ID}
        frame = _renamed(table.frame, renamed, table.where)
        frame = _flat(frame, [USER, TIME, EVENT, EVENT_ID], table.where)
        frame = frame.with_columns(pl.col(TIME).dt.cast_time_unit("us"))
        if ids is None and number_ties:
            frame = _with_ties_numbered(frame)
    return StoreRows(_with_users(frame, table.where), table.where)


def profile_rows(source: Source, *, user: str = "user_id") -> StoreRows:
    """Read profiles for a store; as :func:`propense.read_profiles` does.

    Raises
    ------
    DataError
        As :func:`propense.read_profiles`.
    """
    saved = _saved_part(source, "profiles.arrow")
    if saved is not None:
        source, user = saved, saved.collect_schema().names()[0]
    frame, where = scan(source, text_columns=(user,))
    schema = schema_of(frame, where)
    kept = property_columns(schema, {"user": user}, None, where)
    table = collect(frame.select(user, *kept), where)
    user_column(table[user], where)
    table = typed_nulls(table.with_columns(*exact_integers(table, kept)), user)
    table = _flat(_renamed(table, {user: USER}, where), [USER], where)
    return StoreRows(_with_users(table, where), where)


def has_saved_profiles(source: Source) -> bool:
    """Say whether the source is the folder of a saved log with profiles."""
    return _saved_part(source, "profiles.arrow") is not None


def _saved_part(source: Source, file: str) -> pl.LazyFrame | None:
    """Give a table of a saved log, if the source is the folder of one and it has that table."""
    only = source[0] if isinstance(source, list) and len(source) == 1 else source
    if not isinstance(only, str | Path) or not (Path(only) / "manifest.json").is_file():
        return None
    return saved_table(only, file)


def _id_column(frame: pl.DataFrame, event_id: str | None, where: str) -> str | None:
    if event_id is None:
        return EVENT_ID if EVENT_ID in frame.columns else None
    if event_id not in frame.columns:
        raise DataError(
            f"{where} has no column {event_id!r} for the event ids"
            f"{did_you_mean(event_id, frame.columns)}"
        )
    return event_id


def _renamed(frame: pl.DataFrame, renamed: dict[str, str], where: str) -> pl.DataFrame:
    for name, role in renamed.items():
        if name != role and role in frame.columns and role not in renamed:
            raise DataError(
                f"{where}: the property {role!r} has the name of a column of the store; rename it, "
                "or leave it out with properties=…"
            )
    return frame.rename(renamed)


def _flat(frame: pl.DataFrame, texts: Sequence[str], where: str) -> pl.DataFrame:
    """Bring columns to text, numbers and booleans; leave out times, which a store does not keep."""
    kept = frame.select(
        pl.col(name).cast(pl.String)
        if (name in texts and name != TIME) or dtype in (pl.Categorical, pl.Enum)
        else pl.col(name).cast(pl.Float64)
        if dtype.is_decimal()
        else pl.col(name)
        for name, dtype in frame.schema.items()
        if name == TIME or not dtype.is_temporal()
    )
    left_out = [name for name in frame.columns if name not in kept.columns]
    if left_out:
        message = f"{where}: left out times, which a store keeps of events only: "
        warnings.warn(message + ", ".join(left_out), PropenseWarning, stacklevel=4)
    return kept


def _with_users(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    kept = frame.filter(pl.col(USER).is_not_null())
    dropped = frame.height - kept.height
    if dropped:
        message = f"{where}: {dropped:,} rows without a user id were dropped"
        warnings.warn(message, PropenseWarning, stacklevel=4)
    return kept


def _with_ties_numbered(frame: pl.DataFrame) -> pl.DataFrame:
    """Give all but one of the rows with the same user, time and type a number as their id."""
    place = "\0place"
    tied = frame.with_row_index(place).filter(pl.struct(_IDENTITY).is_duplicated())
    if tied.is_empty():
        return frame
    number = pl.int_range(pl.len()).over(_IDENTITY)
    ids = tied.sort([name for name in tied.columns if name != place]).select(
        place, pl.when(number > 0).then((number + 1).cast(pl.String)).alias(EVENT_ID)
    )
    numbered = frame.with_row_index(place).join(ids, on=place, how="left", maintain_order="left")
    return numbered.drop(place)


def _encoded(start: int, frame: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame, bytes]]:
    arrow_ipc = _arrow_stream(frame)
    if len(arrow_ipc) <= BATCH_BYTES or frame.height == 1:
        yield start, frame, arrow_ipc
        return
    half = frame.height // 2
    yield from _encoded(start, frame.slice(0, half))
    yield from _encoded(start + half, frame.slice(half))


def _arrow_stream(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    # The newest layout of texts would carry the whole frame's along with every slice.
    frame.write_ipc_stream(buffer, compat_level=pl.CompatLevel.oldest())
    return buffer.getvalue()
