"""The features by ClickHouse's engine, in process, from a table in its memory."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl
from chdb import session

from propense.bench.contender import Answer, Contender, features_answer
from propense.bench.peers import sql_plans
from propense.bench.peers.grouped import grouped_events, raw_events
from propense.bench.peers.sql_plans import Dialect


class _Clickhouse(Dialect):
    def total(self, value: str, where: str) -> str:
        return f"sumIf({value}, {where})"

    def aggregate(self, function: str, value: str, where: str) -> str:
        name = {"mean": "avg", "std": "stddevSamp"}.get(function, function)
        return (
            f"{name}IfOrNull({value}, {where})"
            if name != function
            else (f"{name}OrNullIf({value}, {where})")
        )

    def number(self, where: str) -> str:
        return f"countIf({where})"

    def distinct(self, value: str, where: str) -> str:
        return f"uniqExactIf({value}, {where})"

    def at(self, value: str, by: str, where: str, *, last: bool) -> str:
        return f"{'argMax' if last else 'argMin'}OrNullIf({value}, {by}, {where})"

    def narrow(self, value: str) -> str:
        return f"CAST({value} AS Nullable(Float32))"

    def half(self, exponent: str) -> str:
        return f"exp2(-({exponent}))"


class ChdbFeatures(Contender):
    """Gives an Arrow table of the user and one Float32 column a feature.

    With ``grouped`` the table is sorted by user code and time, and declared so; otherwise it is an
    unsorted table in memory. Event types and categories are enums, times integers; amounts are 0
    where there are none, which spares the engine a column of nulls.
    """

    def __init__(
        self, events: str, *, plan: Literal["filtered", "slices"], grouped: bool = True
    ) -> None:
        self._path, self._grouped = events, grouped
        make = sql_plans.slices if plan == "slices" else sql_plans.filtered
        query = make(_Clickhouse(), "events", "user" if grouped else "user_id")
        self._query = query.replace(" // ", " DIV ").replace(" % ", " MOD ")

    def prepare(self) -> None:
        """Load the table."""
        threads = pl.thread_pool_size()
        self._session = session.Session()
        if self._grouped:
            events, self._ids = grouped_events(self._path)
        else:
            events = raw_events(self._path)
        table = events.with_columns(
            pl.col("event", "category").cast(pl.String),
            amount=pl.col("amount").fill_null(0.0),
            time_us=pl.col("event_time").to_physical(),
        ).drop("event_time")
        table = table.to_arrow()  # found by its name in the query
        user = "user UInt32" if self._grouped else "user_id String"
        enums = ", ".join(
            f"{name} Enum8({', '.join(repr(value) for value in events[name].dtype.categories)})"  # type: ignore[attr-defined]
            for name in ("event", "category")
        )
        engine = "MergeTree ORDER BY (user, time_us)" if self._grouped else "Memory"
        columns = f"{user}, {enums}, amount Float64, time_us Int64"
        self._session.query(f"SET max_threads = {threads}")
        self._session.query("CREATE DATABASE IF NOT EXISTS bench")
        self._session.query("USE bench")
        self._session.query(f"CREATE TABLE events ({columns}) ENGINE = {engine}")
        names = ", ".join(table.column_names)
        self._session.query(f"INSERT INTO events ({names}) SELECT {names} FROM Python(table)")

    def run(self) -> Any:
        """Run the query."""
        return self._session.query(self._query, "ArrowTable")

    def answer(self, result: Any) -> Answer:
        """Users and matrix."""
        frame = pl.DataFrame(result)
        user = self._ids.gather(frame["u"]) if self._grouped else frame["u"].cast(pl.String)
        matrix = frame.drop("u").cast(pl.Float32).to_numpy()
        return features_answer(user.to_numpy().astype(np.str_), matrix)
