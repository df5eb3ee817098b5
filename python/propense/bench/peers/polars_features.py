"""The features by Polars."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl

from propense.bench.contender import Answer, Contender, features_answer
from propense.bench.declared import declared
from propense.bench.peers.grouped import grouped_events, raw_events
from propense.bench.peers.polars_plans import Engine, filtered
from propense.bench.peers.polars_slices import slices


class PolarsFeatures(Contender):
    """Gives a frame of the user and one Float32 column a feature, in whatever order is quickest.

    ``plan`` is ``filtered`` (one group-by, every aggregate filters its events) or ``slices`` (partial
    aggregates by user, event type and slice, then accumulated). With ``grouped`` the events are sorted
    by user code and time beforehand; otherwise the work starts from the table as it came.
    """

    def __init__(
        self,
        events: str,
        *,
        plan: Literal["filtered", "slices"],
        engine: Engine = "in-memory",
        grouped: bool = True,
    ) -> None:
        self._path, self._plan, self._engine, self._grouped = events, plan, engine, grouped

    def prepare(self) -> None:
        """Read the table, and sort it if that is not to be timed."""
        if self._grouped:
            self._events, self._ids = grouped_events(self._path)
        else:
            self._events = raw_events(self._path)

    def run(self) -> Any:
        """Compute the features of everyone with an event before the as_of."""
        return polars_features(self._events, self._plan, self._engine, grouped=self._grouped)

    def answer(self, result: Any) -> Answer:
        """Users and matrix."""
        frame: pl.DataFrame = result
        if self._grouped:
            user = self._ids.gather(frame["user"]).to_numpy()
        else:
            user = frame["user_id"].to_numpy()
        matrix = frame.select(feature.text for feature in declared()).to_numpy()
        return features_answer(user.astype(np.str_), matrix)


def polars_features(
    events: pl.DataFrame, plan: str, engine: Engine, *, grouped: bool
) -> pl.DataFrame:
    """Compute the features by one of the plans; the user's column is ``user`` if grouped."""
    if plan == "filtered":
        return filtered(events.lazy(), "user" if grouped else "user_id", engine)
    if grouped:
        users = int(events["user"][-1]) + 1
        return slices(events.lazy(), users, engine, ordered=True)
    coded, ids = with_codes(events)
    frame = slices(coded.lazy(), len(ids), engine, ordered=False)
    return frame.with_columns(user_id=ids.gather(frame["user"])).drop("user")


def with_codes(events: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """Give the events with users as numbers, and the ids that they stand for."""
    ids = events["user_id"].unique(maintain_order=True)
    codes = pl.DataFrame({"user_id": ids, "user": np.arange(len(ids), dtype=np.uint32)})
    joined = events.join(codes, on="user_id", how="left", maintain_order="left")
    return joined.drop("user_id"), ids
