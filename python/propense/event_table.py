"""Event logs as tables: the columns with a role found and checked, the rest typed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from propense.columns import event_time, event_type, first_present, property_columns
from propense.progress import track
from propense.sources import Source, collect, scan, schema_of

_TIME_COLUMNS = ("event_time", "ts", "timestamp", "time")


@dataclass(frozen=True)
class EventColumns:
    """How a log's columns are called; as the parameters of :func:`propense.read_events`."""

    user: str = "user_id"
    time: str | None = None
    event: str = "event"
    event_constant: str | None = None
    time_unit: str | None = None


@dataclass(frozen=True)
class EventTable:
    """A log as a table: ids as they came, times in microseconds UTC, event types as text.

    The rest are properties; integers that f64 cannot hold exactly are text.
    """

    frame: pl.DataFrame
    user: str
    time: str
    event: str
    where: str


@contextmanager
def scanned(
    source: Source, names: EventColumns, properties: Sequence[str] | None
) -> Iterator[EventTable]:
    """Read a log's table; the bar lasts as long as the work done with it.

    Raises
    ------
    DataError
        As :func:`propense.read_events`.
    """
    frame, where = scan(source, text_columns=(names.user,))
    schema = schema_of(frame, where)
    time = names.time or first_present(schema, _TIME_COLUMNS, where)
    roles, event = {"user": names.user, "time": time}, names.event
    if names.event_constant is None:
        roles["event"] = event
    else:
        while event in schema:
            event += "_"
        frame = frame.with_columns(pl.lit(names.event_constant).alias(event))
    kept = property_columns(schema, roles, properties, where)
    with track(f"reading {where}"):
        table = collect(frame.select(names.user, time, event, *kept), where)
        table = event_time(table, time, names.user, names.time_unit, where)
        table = table.with_columns(event_type(table[event], where), *exact_integers(table, kept))
        yield EventTable(typed_nulls(table, names.user, event), names.user, time, event, where)


def typed_nulls(table: pl.DataFrame, *texts: str) -> pl.DataFrame:
    """Give columns without any value a type: text where that is the role, else numbers."""
    empty = [name for name, dtype in table.schema.items() if dtype == pl.Null]
    typed = [pl.col(name).cast(pl.String if name in texts else pl.Float64) for name in empty]
    return table.with_columns(typed)


def exact_integers(table: pl.DataFrame, columns: Sequence[str]) -> list[pl.Series]:
    """Turn integer columns with values beyond ±2^53, which f64 cannot hold exactly, into text."""
    wide = [table[name] for name in columns if table.schema[name] in (pl.Int64, pl.UInt64)]
    limit = 2**53
    beyond = [column for column in wide if not column.is_between(-limit, limit).all()]
    return [column.cast(pl.String) for column in beyond]
