"""The features in SQL, for DuckDB and for ClickHouse's engine.

Two plans: ``filtered`` aggregates all events of a user with a condition an aggregate; ``slices`` first
aggregates by user, event type, category and slice between windows, then filters those few rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from propense.bench.declared import WINDOWS, Declared, declared
from propense.bench.generator import AS_OF

DAY_US = 86_400_000_000
AS_OF_US = int(AS_OF.timestamp()) * 1_000_000


class Dialect(ABC):
    """How an engine writes conditional aggregates; they are NULL or NaN where nothing is chosen."""

    @abstractmethod
    def total(self, value: str, where: str) -> str:
        """Sum, 0 where nothing is chosen."""

    @abstractmethod
    def aggregate(self, function: str, value: str, where: str) -> str:
        """One of ``min``, ``max``, ``mean``, ``std``."""

    @abstractmethod
    def number(self, where: str) -> str:
        """How many rows."""

    @abstractmethod
    def distinct(self, value: str, where: str) -> str:
        """How many values, exactly."""

    @abstractmethod
    def at(self, value: str, by: str, where: str, *, last: bool) -> str:
        """Value where another is smallest, or largest."""

    @abstractmethod
    def narrow(self, value: str) -> str:
        """Cast to 32-bit floating point."""

    @abstractmethod
    def half(self, exponent: str) -> str:
        """0.5 to a power."""


def known(table: str, user: str) -> str:
    """Give the events before the as_of with what the features ask of each, worked out once."""
    bounds = [days * DAY_US for days in WINDOWS if days is not None]
    place = "CASE " + " ".join(f"WHEN age <= {bound} THEN {i}" for i, bound in enumerate(bounds))
    return (
        f"SELECT {user} AS u, event, category, amount, time_us, age, {place} ELSE {len(bounds)} END "
        f"AS slice, time_us // {DAY_US} AS day, time_us % {DAY_US} // 3600000000 AS hour FROM "
        f"(SELECT *, {AS_OF_US} - time_us AS age FROM {table} WHERE time_us < {AS_OF_US})"
    )


def filtered(dialect: Dialect, table: str, user: str) -> str:
    """One aggregation of all events."""
    columns = [_filtered(feature, dialect) for feature in declared()]
    named = ", ".join(
        f'{dialect.narrow(column)} AS "f{place}"' for place, column in enumerate(columns)
    )
    return f"SELECT u, {named} FROM ({known(table, user)}) GROUP BY u"


def slices(dialect: Dialect, table: str, user: str) -> str:
    """Partial aggregates first, then one aggregation of those; days apart."""
    cells = (
        "SELECT u, event, category, slice, count(*) AS n, min(age) AS new, max(age) AS old, "
        "sum(amount) AS total, max(amount) AS top, sum(amount * amount) AS squares, "
        f"{dialect.at('amount', 'time_us', 'TRUE', last=False)} AS first_amount, "
        f"{dialect.at('amount', 'time_us', 'TRUE', last=True)} AS last_amount, "
        + ", ".join(f"{dialect.number(f'hour // 6 = {q}')} AS quarter_{q}" for q in range(4))
        + f", {dialect.number('(day + 3) % 7 >= 5')} AS weekend, "
        + ", ".join(
            f"sum({dialect.half(f'age / {days * DAY_US}.0')}) AS decay_{days}" for days in (7, 30)
        )
        + " FROM known GROUP BY u, event, category, slice"
    )
    columns = [
        f'{dialect.narrow(_from_cells(feature, dialect))} AS "f{place}"'
        for place, feature in enumerate(declared())
        if feature.kind != "active_days"
    ]
    by_day = "SELECT u, day, min(slice) AS newest, {} AS opened FROM known GROUP BY u, day".format(
        dialect.aggregate("min", "slice", "event = 'app_open'")
    )
    days = [
        dialect.narrow(
            dialect.number(
                f"{'newest' if feature.event is None else 'opened'} <= {feature.slice_bound}"
            )
        )
        + f' AS "f{place}"'
        for place, feature in enumerate(declared())
        if feature.kind == "active_days"
    ]
    chosen = ", ".join(f'"f{place}"' for place in range(len(declared())))
    return (
        f"WITH known AS ({known(table, user)}), "
        f"wide AS (SELECT u, {', '.join(columns)} FROM ({cells}) GROUP BY u), "
        f"days AS (SELECT u, {', '.join(days)} FROM ({by_day}) GROUP BY u) "
        f"SELECT u, {chosen} FROM wide JOIN days USING (u)"
    )


def _where(feature: Declared, *, windowed: bool = True) -> str:
    conditions = []
    if feature.event is not None:
        conditions.append(f"event = '{feature.event}'")
    if windowed and feature.days is not None and feature.kind != "decayed_count":
        conditions.append(f"slice <= {feature.slice_bound}")
    if feature.category is not None:
        conditions.append(f"category = '{feature.category}'")
    return " AND ".join(conditions) or "TRUE"


def _filtered(feature: Declared, dialect: Dialect) -> str:
    where, kind = _where(feature), feature.kind
    shares = {
        "hour_share": "hour BETWEEN {} AND {}".format(*(feature.hours or (0, 23))),
        "weekday_share": "(day + 3) % 7 >= 5",
    }
    makers: dict[str, Callable[[], str]] = {
        "count": lambda: dialect.number(where),
        "sum": lambda: dialect.total("amount", where),
        "first": lambda: dialect.at("amount", "time_us", where, last=False),
        "last": lambda: dialect.at("amount", "time_us", where, last=True),
        "distinct": lambda: dialect.distinct("category", where),
        "active_days": lambda: dialect.distinct("day", where),
        "recency": lambda: f"{dialect.aggregate('min', 'age', where)} / {DAY_US}.0",
        "tenure": lambda: f"{dialect.aggregate('max', 'age', where)} / {DAY_US}.0",
        "gap_mean": lambda: _gap_mean(dialect, "age", "age", dialect.number(where), where),
        "decayed_count": lambda: dialect.total(
            dialect.half(f"age / {(feature.days or 1) * DAY_US}.0"), where
        ),
    }
    if kind in shares:
        chosen = dialect.number(f"{where} AND {shares[kind]}")
        return f"{chosen} / nullif(1.0 * {dialect.number(where)}, 0)"
    if kind in makers:
        return makers[kind]()
    return dialect.aggregate(kind, "amount", where)


def _from_cells(feature: Declared, dialect: Dialect) -> str:
    where, kind = _where(feature), feature.kind
    count, total = dialect.total("n", where), dialect.total("total", where)
    makers: dict[str, Callable[[], str]] = {
        "count": lambda: count,
        "sum": lambda: total,
        "mean": lambda: f"{total} / nullif(1.0 * {count}, 0)",
        "max": lambda: dialect.aggregate("max", "top", where),
        "std": lambda: _std(dialect, where),
        "first": lambda: dialect.at("first_amount", "-old", where, last=False),
        "last": lambda: dialect.at("last_amount", "-new", where, last=True),
        "distinct": lambda: dialect.distinct("category", where),
        "recency": lambda: f"{dialect.aggregate('min', 'new', where)} / {DAY_US}.0",
        "tenure": lambda: f"{dialect.aggregate('max', 'old', where)} / {DAY_US}.0",
        "gap_mean": lambda: _gap_mean(dialect, "old", "new", count, where),
        "decayed_count": lambda: dialect.total(f"decay_{feature.days}", where),
    }
    if kind == "hour_share":
        quarter = (feature.hours or (0, 0))[0] // 6
        return f"{dialect.total(f'quarter_{quarter}', where)} / nullif(1.0 * {count}, 0)"
    if kind == "weekday_share":
        return f"{dialect.total('weekend', where)} / nullif(1.0 * {count}, 0)"
    return makers[kind]()


def _gap_mean(dialect: Dialect, old: str, new: str, count: str, where: str) -> str:
    oldest = dialect.aggregate("max", old, where)
    newest = dialect.aggregate("min", new, where)
    gaps = f"CASE WHEN {count} > 1 THEN {count} - 1.0 END"
    return f"({oldest} - {newest}) / {DAY_US}.0 / ({gaps})"


def _std(dialect: Dialect, where: str) -> str:
    n, total = dialect.total("n", where), dialect.total("total", where)
    squares = dialect.total("squares", where)
    variance = f"({squares} - {total} * {total} / {n}) / ({n} - 1.0)"
    return f"CASE WHEN {n} > 1 THEN sqrt(greatest(0.0, {variance})) END"
