"""The same events in any order of arrival, some late and some twice, are the same log to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense.event_table import EventColumns
from propense.store import Store
from propense.store_rows import event_rows

PERMUTATIONS = 20
FEATURES = [
    "count(*)",
    "count(buy, '30d')",
    "sum(buy.amount)",
    "mean(view.amount, '90d')",
    "std(view.amount)",
    "first(view.amount)",
    "last(buy.amount)",
    "distinct(view.category, '90d')",
    "gap_std(open)",
    "recency(view) / tenure(open)",
    "decayed_count(open, '7d')",
    "hour_share(*, 18, 23)",
]


def bits(log: pp.EventLog) -> tuple[pl.Series, np.ndarray]:
    frame = pp.compute_features(log, pp.FeatureSet(FEATURES), as_of="2024-06-15").sort("user_id")
    return frame["user_id"], frame.drop("user_id").to_numpy().view(np.uint32)


@pytest.fixture(scope="module")
def events(random_events: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    frame = random_events(3, rows=8_000, users=80).drop("flag", "quantity")
    return frame.with_row_index("event_id").with_columns(
        pl.col("event_id", "user_id").cast(pl.String)
    )


@pytest.mark.parametrize("seed", range(PERMUTATIONS))
def test_late_and_repeated_events_change_no_bit(
    seed: int, events: pl.DataFrame, tmp_path: Path
) -> None:
    shuffled = events.sample(fraction=1.0, shuffle=True, seed=seed)
    late = shuffled.height // 10
    twice = shuffled.sample(fraction=0.05, seed=seed)
    arrivals = [*shuffled[late:].iter_slices(1_500), twice]
    with Store(tmp_path / "store") as store:

        def arrive(frame: pl.DataFrame) -> tuple[int, int]:
            receipt = store.ingest(event_rows(frame, EventColumns(), number_ties=False))
            return receipt.accepted, receipt.duplicates

        taken = [arrive(frame) for frame in arrivals]
        # What is late comes to events that are sealed already.
        store.log()
        taken.append(arrive(shuffled[:late]))
        found_users, found = bits(store.log())
    assert sum(accepted for accepted, _ in taken) == events.height
    assert sum(duplicates for _, duplicates in taken) == twice.height
    users, expected = bits(pp.read_events(events.drop("event_id")))
    assert found_users.equals(users)
    assert np.array_equal(found, expected)
