"""The features by DuckDB, from a table in its memory."""

from __future__ import annotations

from typing import Any, Literal

import duckdb
import numpy as np
import polars as pl

from propense.bench.contender import Answer, Contender, features_answer
from propense.bench.peers import sql_plans
from propense.bench.peers.grouped import grouped_events, raw_events
from propense.bench.peers.sql_plans import Dialect


class _Duckdb(Dialect):
    def total(self, value: str, where: str) -> str:
        return f"coalesce(sum({value}) FILTER ({where}), 0)"

    def aggregate(self, function: str, value: str, where: str) -> str:
        name = {"mean": "avg", "std": "stddev_samp"}.get(function, function)
        return f"{name}({value}) FILTER ({where})"

    def number(self, where: str) -> str:
        return f"count(*) FILTER ({where})"

    def distinct(self, value: str, where: str) -> str:
        return f"count(DISTINCT {value}) FILTER ({where})"

    def at(self, value: str, by: str, where: str, *, last: bool) -> str:
        return f"{'arg_max' if last else 'arg_min'}({value}, {by}) FILTER ({where})"

    def narrow(self, value: str) -> str:
        return f"CAST({value} AS FLOAT)"

    def half(self, exponent: str) -> str:
        return f"pow(0.5, {exponent})"


class DuckdbFeatures(Contender):
    """Gives an Arrow table of the user and one FLOAT column a feature.

    With ``grouped`` the table is sorted by user code and time beforehand. Event types and categories
    are enums, times integers.
    """

    def __init__(
        self, events: str, *, plan: Literal["filtered", "slices"], grouped: bool = True
    ) -> None:
        self._path, self._grouped = events, grouped
        make = sql_plans.slices if plan == "slices" else sql_plans.filtered
        self._query = make(_Duckdb(), "events", "user" if grouped else "user_id").replace(
            "SELECT user AS u", 'SELECT "user" AS u'
        )

    def prepare(self) -> None:
        """Load the table."""
        threads = pl.thread_pool_size()
        self._connection = duckdb.connect(config={"threads": threads})
        if self._grouped:
            events, self._ids = grouped_events(self._path)
        else:
            events = raw_events(self._path)
        events = events.with_columns(time_us=pl.col("event_time").to_physical()).drop("event_time")
        self._connection.execute("SET preserve_insertion_order = false")
        self._connection.execute("CREATE TABLE events AS SELECT * FROM events")

    def run(self) -> Any:
        """Run the query."""
        return self._connection.sql(self._query).to_arrow_table()

    def answer(self, result: Any) -> Answer:
        """Users and matrix."""
        frame = pl.DataFrame(result)
        user = self._ids.gather(frame["u"]) if self._grouped else frame["u"]
        matrix = frame.drop("u").to_numpy()
        return features_answer(user.to_numpy().astype(np.str_), matrix)
