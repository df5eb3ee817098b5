"""Times of every kind mean the instant they say."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import propense as pp
from propense.instants import to_us

INSTANT_US = to_us("2024-05-01T12:34:56Z")


def log_of(times: pl.Series, **options: Any) -> pp.EventLog:
    n = len(times)
    frame = pl.DataFrame({"user_id": ["u"] * n, "ts": times, "event": ["a"] * n})
    return pp.read_events(frame, **options)


def instants_of(times: pl.Series, **options: Any) -> tuple[int, int]:
    return log_of(times, **options).span_us


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo", "America/New_York"])
def test_timestamps_of_every_unit_and_zone(unit: Any, zone: str | None) -> None:
    times = pl.Series([datetime(2024, 5, 1, 12, 34, 56)]).dt.cast_time_unit(unit)
    times = times.dt.replace_time_zone("UTC")
    times = times.dt.replace_time_zone(None) if zone is None else times.dt.convert_time_zone(zone)
    assert instants_of(times) == (INSTANT_US, INSTANT_US)


def test_nanoseconds_are_cut_to_microseconds_downwards() -> None:
    times = pl.Series([1_001, -1], dtype=pl.Int64).cast(pl.Datetime("ns"))
    assert instants_of(times) == (-1, 1)
    assert instants_of(pl.Series([1_001, -1]), time_unit="ns") == (-1, 1)


def test_dates_are_their_first_instant() -> None:
    assert instants_of(pl.Series([date(2024, 5, 1)])) == (to_us("2024-05-01"),) * 2


TEXT_US = {
    "2024-05-01T12:34:56Z": INSTANT_US,
    "2024-05-01T12:34:56": INSTANT_US,
    "2024-05-01 12:34:56": INSTANT_US,
    "2024-05-01T14:34:56+02:00": INSTANT_US,
    "2024-05-01T05:34:56-07:00": INSTANT_US,
    "2024-05-01T12:34:56.25Z": INSTANT_US + 250_000,
    "2024-05-01T12:34:56.000001+00:00": INSTANT_US + 1,
    "2024-05-01": to_us("2024-05-01"),
}


@pytest.mark.parametrize("text", TEXT_US)
@pytest.mark.parametrize("ending", ["frame", ".csv", ".jsonl"])
def test_texts_mean_what_they_say(text: str, ending: str, tmp_path: Path) -> None:
    if ending == "frame":
        assert instants_of(pl.Series([text, text])) == (TEXT_US[text],) * 2
        return
    frame = pl.DataFrame({"user_id": ["1", "2"], "ts": [text] * 2, "event": ["a"] * 2})
    path = tmp_path / f"log{ending}"
    if ending == ".csv":
        frame.write_csv(path)
    else:
        frame.write_ndjson(path)
    assert pp.read_events(path).span_us == (TEXT_US[text],) * 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2024-05-01T12:34:56+02:00", "2024-01-01T12:34:56+01:00"),  # summer and winter time
        ("2024-05-01T12:34:56Z", "2024-05-01T12:34:56.5Z"),  # as many printers leave out zeros
        ("2024-05-01T12:34:56.5Z", "2024-05-01T12:34:56Z"),
        ("2024-05-01T12:34:56Z", "2024-05-01T12:34:56+02:00"),
        ("2024-05-01 12:34:56", "2024-05-01T12:34:56"),
        ("2024-05-01", "2024-05-01T12:34:56"),
    ],
)
def test_texts_of_one_column_may_differ_in_form(first: str, second: str) -> None:
    wanted = sorted(to_us(text) for text in (first, second))
    assert list(instants_of(pl.Series([first, second]))) == wanted


@pytest.mark.parametrize(
    ("unit", "per_second"), [("s", 1), ("ms", 1_000), ("us", 10**6), ("ns", 10**9)]
)
@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64])
def test_integers_count_what_time_unit_says(unit: str, per_second: int, dtype: Any) -> None:
    count = INSTANT_US // 10**6 * per_second
    times = pl.Series([count], dtype=dtype)
    assert instants_of(times, time_unit=unit) == (INSTANT_US,) * 2


def test_narrow_integers_are_scaled_without_overflow() -> None:
    times = pl.Series([1_714_566_896], dtype=pl.Int32)
    assert instants_of(times, time_unit="s") == (INSTANT_US,) * 2


def test_whole_range_of_64_bits_can_be_read() -> None:
    edges = [-(2**63 - 1), 2**63 - 1]
    times = pl.Series(edges, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    log = log_of(times)
    assert log.span_us == tuple(edges)
    assert "from 1970" in repr(log)
    found = pp.compute_features(
        log, ["tenure(a)", "count(a)"], as_of=datetime(2024, 1, 1, tzinfo=UTC)
    )
    assert found.row(0)[2] == 1
    assert found.row(0)[1] == pytest.approx(1.0677e8, rel=1e-3)


def test_time_of_a_property_is_compared_as_an_instant() -> None:
    frame = pl.DataFrame(
        {
            "user_id": [1, 1],
            "ts": [datetime(2024, 5, 1), datetime(2024, 5, 2)],
            "event": ["a", "a"],
            "due": [date(2024, 6, 1), None],
        }
    )
    log = pp.read_events(frame)
    assert log.properties == {"due": "time"}
    found = pp.compute_features(log, ["count(a.due)"], as_of="2024-05-03")
    assert found.row(0) == (1, 1.0)
