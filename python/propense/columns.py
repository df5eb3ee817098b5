"""Which column of a table plays which role, and whether it can."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from propense.exceptions import DataError, PropenseWarning
from propense.goal_types import did_you_mean

_I64_LIMIT = 2**63 - 1
_UNITS_US = {"s": 1_000_000, "ms": 1_000, "us": 1}


@dataclass(frozen=True)
class UserColumn:
    """Name and type of the user ids as they came, to be given back so."""

    name: str
    dtype: pl.DataType


def first_present(schema: pl.Schema, candidates: Sequence[str], where: str) -> str:
    """Give the first of the candidates that is a column."""
    for name in candidates:
        if name in schema:
            return name
    raise DataError(
        f"{where} has none of the time columns {', '.join(candidates)}; name it with time=… "
        f"(columns: {', '.join(schema)})"
    )


def property_columns(
    schema: pl.Schema, roles: dict[str, str], wanted: Sequence[str] | None, where: str
) -> list[str]:
    """Give the columns that become properties, once those with a role are known to be there."""
    for role, name in roles.items():
        if name not in schema:
            hint = " or give event_constant=… to name all events alike" if role == "event" else ""
            raise DataError(
                f"{where} has no column {name!r} for the {role}{did_you_mean(name, schema)}; "
                f"name the column with {role}=…{hint} (columns: {', '.join(schema)})"
            )
    if len(set(roles.values())) < len(roles):
        raise DataError(f"one column cannot play two roles: {roles}")
    taken = set(roles.values())
    for name in wanted or ():
        if name not in schema:
            raise DataError(f"{where} has no column {name!r}{did_you_mean(name, schema)}")
    kept = [name for name in (wanted if wanted is not None else schema) if name not in taken]
    nested = [name for name in kept if not _is_flat(schema[name])]
    if nested:
        message = f"{where}: left out columns that are not numbers, text, booleans or times: "
        warnings.warn(message + ", ".join(nested), PropenseWarning, stacklevel=3)
    return [name for name in kept if name not in nested]


def user_column(ids: pl.Series, where: str) -> UserColumn:
    """Check that a column can hold user ids."""
    text = ids.dtype in (pl.String, pl.Categorical, pl.Null) or isinstance(ids.dtype, pl.Enum)
    whole = ids.dtype.is_integer() and ids.dtype not in (pl.Int128, pl.UInt128)
    if not text and not whole:
        raise DataError(
            f"{where}: user ids in {ids.name!r} are {ids.dtype}; expected text or integers"
        )
    return UserColumn(ids.name, pl.String() if text else ids.dtype)


def event_type(kinds: pl.Series, where: str) -> pl.Series:
    """Check that a column can hold event types; whole numbers become text."""
    if kinds.dtype.is_integer():
        return kinds.cast(pl.String)
    text = kinds.dtype in (pl.String, pl.Categorical, pl.Null) or isinstance(kinds.dtype, pl.Enum)
    if not text:
        raise DataError(
            f"{where}: event types in {kinds.name!r} are {kinds.dtype}; expected text or integers. "
            "Name another column with event=…, or all events alike with event_constant=…"
        )
    return kinds


def event_time(
    table: pl.DataFrame, name: str, user: str, time_unit: str | None, where: str
) -> pl.DataFrame:
    """Bring a time column to microseconds UTC, or say which row cannot be.

    Rows without a user are dropped later; their times do not matter.
    """
    of_user = table[user].is_not_null()
    times = table.select(pl.when(of_user).then(name)).to_series()
    if times.dtype == pl.String:
        parsed = _from_text(times)
    elif times.dtype.is_integer():
        parsed = _from_integers(times, time_unit, where)
    elif isinstance(times.dtype, pl.Datetime):
        parsed = _from_timestamps(times, where)
    elif times.dtype == pl.Date:
        parsed = times.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    else:
        raise DataError(f"{where}: times in {name!r} are {times.dtype}; expected timestamps")
    failed = ((parsed.is_null() | times.is_null()) & of_user).arg_true()
    if len(failed):
        row, so = failed[0], "one row is" if len(failed) == 1 else f"{len(failed):,} rows are"
        raise DataError(
            f"{where}: row {row} (counted from 0) of {name!r} holds {times[row]!r}, which is no "
            f"time; {so} so. Expected timestamps or text such as "
            "2024-05-01T12:00:00Z"
        )
    return table.with_columns(parsed.alias(name))


def _from_text(times: pl.Series) -> pl.Series:
    """Parse ISO 8601 only: other texts, such as 01/02/2024, mean different dates to different people."""
    iso = times.str.contains(r"^\s*[+-]?\d{4,}-\d{2}-\d{2}")
    known = pl.select(pl.when(iso).then(times)).to_series().str.strip_chars()
    return known.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)


def _from_integers(times: pl.Series, time_unit: str | None, where: str) -> pl.Series:
    if time_unit not in ("s", "ms", "us", "ns"):
        raise DataError(
            f"{where}: times in {times.name!r} are integers; say what they count since 1970 with "
            "time_unit='s', 'ms', 'us' or 'ns'"
        )
    factor = _UNITS_US.get(time_unit, 1)
    _refuse_beyond(times, _I64_LIMIT // factor, where)
    whole = times.cast(pl.Int64)
    scaled = whole // 1_000 if time_unit == "ns" else whole * factor
    return scaled.cast(pl.Datetime("us", "UTC"))


def _from_timestamps(times: pl.Series, where: str) -> pl.Series:
    unit = times.dtype.time_unit if isinstance(times.dtype, pl.Datetime) else "us"
    if unit == "ms":
        _refuse_beyond(times.to_physical(), _I64_LIMIT // _UNITS_US["ms"], where)
    return times.dt.cast_time_unit("us").to_physical().cast(pl.Datetime("us", "UTC"))


def _refuse_beyond(times: pl.Series, limit: int, where: str) -> None:
    """Refuse what does not fit 64 bits of microseconds."""
    beyond = (~times.cast(pl.Int128).is_between(-limit, limit)).arg_true()
    if len(beyond):
        row = beyond[0]
        raise DataError(
            f"{where}: row {row} (counted from 0) of {times.name!r} holds {times[row]}, which lies "
            "outside ±292,000 years; is the time unit right?"
        )


def _is_flat(dtype: pl.DataType) -> bool:
    return (
        (dtype.is_numeric() and dtype not in (pl.Int128, pl.UInt128))
        or dtype in (pl.Boolean, pl.String, pl.Categorical, pl.Date, pl.Null)
        or isinstance(dtype, pl.Datetime | pl.Enum)
    )
