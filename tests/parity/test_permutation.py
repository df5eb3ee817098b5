"""The same set of events, in any order and form of arrival, gives the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import propense as pp

AS_OF = "2024-06-01"
TEXTS = [
    "sum(buy.amount)",
    "sum(buy.amount, '60d')",
    "mean(view.amount)",
    "std(buy.amount)",
    "first(buy.amount)",
    "last(view.amount)",
    "last(buy.quantity)",
    "gap_std(*)",
    "decayed_count(*, '10d')",
    "distinct(view.category)",
    "sum(buy.amount) FILTER (WHERE flag)",
]


def _bits(events: object) -> pl.DataFrame:
    log = pp.read_events(events)  # type: ignore[arg-type]
    frame = pp.compute_features(log, TEXTS, as_of=AS_OF)
    bits = [pl.Series(n, frame[n].to_numpy().view(np.uint32)) for n in frame.columns[1:]]
    return frame.select(pl.col("user_id").cast(pl.String)).hstack(bits).sort("user_id")


@pytest.fixture(scope="module")
def events(random_events: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    """Amounts whose sum depends on the order in which it is taken."""
    events = random_events(21)
    rng = np.random.default_rng(0)
    drawn = rng.choice([1e16, -1e16, 1.0, 3.3, 1e-9, 7e8], events.height)
    return events.with_columns(
        amount=pl.when(pl.col("amount").is_null()).then(None).otherwise(pl.Series(drawn))
    )


@pytest.fixture(scope="module")
def expected(events: pl.DataFrame) -> pl.DataFrame:
    return _bits(events)


def test_order_would_matter_if_it_were_not_fixed(events: pl.DataFrame) -> None:
    def sums(frame: pl.DataFrame) -> list[float]:
        buys = frame.filter(pl.col("event") == "buy").drop_nulls("amount")
        return [
            float(np.cumsum(part["amount"].to_numpy())[-1])
            for _, part in sorted(buys.group_by("user_id"))
        ]

    assert sums(events) != sums(events.reverse())


@pytest.mark.parametrize("seed", range(5))
def test_permuting_rows_changes_no_bit(
    seed: int, events: pl.DataFrame, expected: pl.DataFrame
) -> None:
    shuffled = events.sample(fraction=1.0, shuffle=True, seed=seed)
    assert _bits(shuffled).equals(expected)


def test_sorting_rows_and_permuting_columns_changes_no_bit(
    events: pl.DataFrame, expected: pl.DataFrame
) -> None:
    assert _bits(events.sort("event_time")).equals(expected)
    assert _bits(events.sort("event_time", descending=True)).equals(expected)
    assert _bits(events.sort("user_id", "amount")).equals(expected)
    assert _bits(events.select(reversed(events.columns))).equals(expected)


def test_splitting_changes_no_bit(
    events: pl.DataFrame, expected: pl.DataFrame, tmp_path: Path
) -> None:
    shuffled = events.sample(fraction=1.0, shuffle=True, seed=9)
    parts = [shuffled.slice(start, 450) for start in range(0, shuffled.height, 450)]
    assert _bits(pl.concat(parts, rechunk=False)).equals(expected)
    for number, part in enumerate(parts):
        part.write_parquet(tmp_path / f"{number}.parquet")
    files = sorted(tmp_path.glob("*.parquet"))
    assert _bits(files).equals(expected)
    assert _bits(list(reversed(files))).equals(expected)


@pytest.mark.parametrize("kind", ["text", "categories", "enum", "narrow integers"])
def test_the_form_of_ids_and_texts_changes_no_bit(
    kind: str, events: pl.DataFrame, expected: pl.DataFrame
) -> None:
    user, other = pl.col("user_id"), pl.col("event", "category")
    if kind == "text":
        other_form = events.with_columns(user.cast(pl.String))
    elif kind == "narrow integers":
        other_form = events.with_columns(user.cast(pl.UInt8), pl.col("quantity").cast(pl.Int8))
    elif kind == "categories":
        as_text = user.cast(pl.String).cast(pl.Categorical)
        other_form = events.with_columns(as_text, other.cast(pl.Categorical))
    else:
        # Enums number their texts in an order of their own.
        ids = pl.Enum([str(number) for number in reversed(range(100))])
        texts = pl.Enum(["view", "open", "buy", "dot", "cup", "bar", "ale"])
        other_form = events.with_columns(user.cast(pl.String).cast(ids), other.cast(texts))
    assert _bits(other_form).equals(expected)


def test_one_event_more_changes_a_bit(events: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert not _bits(pl.concat([events, events.head(1)])).equals(expected)
