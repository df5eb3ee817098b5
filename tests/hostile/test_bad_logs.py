"""Logs and profiles that cannot be used are refused with the file, column and row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import propense as pp

GOOD = pl.DataFrame(
    {
        "user_id": ["a", "b", "c"],
        "ts": ["2024-01-01", "2024-01-02", "2024-01-03"],
        "event": ["x", "y", "x"],
        "price": [1.0, 2.0, None],
    }
)


def refused(source: Any, *parts: str, **roles: Any) -> None:
    with pytest.raises(pp.DataError) as error:
        pp.read_events(source, **roles)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


def written(frame: pl.DataFrame, folder: Path, ending: str = ".parquet") -> Path:
    path = folder / f"log{ending}"
    writers: dict[str, Callable[[Path], Any]] = {
        ".parquet": frame.write_parquet,
        ".csv": frame.write_csv,
        ".jsonl": frame.write_ndjson,
    }
    writers[ending](path)
    return path


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_missing_columns_are_named_with_the_nearest(ending: str, tmp_path: Path) -> None:
    path = written(
        GOOD.rename({"user_id": "userid", "event": "evnt", "ts": "when"}), tmp_path, ending
    )
    refused(path, str(path), "time columns", "ts", "time=", "userid, when")
    refused(path, str(path), "'user_id'", "user", "did you mean 'userid'", time="when")
    found = {"user": "userid", "time": "when"}
    refused(path, "'event'", "event_constant=", "did you mean 'evnt'", **found)
    refused(path, "'whn'", "did you mean 'when'", user="userid", time="whn", event="evnt")
    refused(path, "'prise'", "did you mean 'price'", event="evnt", properties=["prise"], **found)


def test_one_column_cannot_play_two_roles() -> None:
    refused(GOOD, "two roles", user="event")


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_unparsable_times_name_the_row(ending: str, tmp_path: Path) -> None:
    times = [f"2024-01-{day:02}T10:00:00" for day in range(1, 31)]
    times[17] = "yesterday"
    times[23] = "2024-02-30T10:00:00"
    frame = pl.DataFrame({"user_id": ["u"] * 30, "ts": times, "event": ["x"] * 30})
    path = written(frame, tmp_path, ending)
    refused(path, str(path), "row 17", "'ts'", "'yesterday'", "2 rows", "2024-05-01T12:00:00Z")


def test_missing_times_name_the_row() -> None:
    holed = GOOD.with_columns(ts=pl.Series(["2024-01-01", None, "2024-01-03"]))
    refused(holed, "row 1", "'ts'")
    refused(holed.with_columns(pl.col("ts").str.to_datetime()), "row 1", "'ts'")


def test_missing_event_types_name_the_row_of_the_file() -> None:
    holed = pl.DataFrame(
        {
            "user_id": [None, "a", None, "b"],
            "ts": ["2024-01-01"] * 4,
            "event": ["x", "x", "x", None],
        }
    )
    refused(holed, "row 3", "event")


@pytest.mark.parametrize(
    ("times", "options", "row"),
    [
        ([0, 10**16, 5], {"time_unit": "s"}, "row 1"),
        ([0, 5, -(10**17)], {"time_unit": "ms"}, "row 2"),
    ],
)
def test_times_beyond_the_range_name_the_row(times: list[int], options: Any, row: str) -> None:
    refused(GOOD.with_columns(ts=pl.Series(times)), row, "'ts'", "292,000 years", **options)


def test_millisecond_timestamps_beyond_the_range_name_the_row() -> None:
    times = pl.Series([0, 2**62, 0]).cast(pl.Datetime("ms"))
    refused(GOOD.with_columns(ts=times), "row 1", "'ts'", "292,000 years")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_unsigned_times_beyond_64_bits_name_the_row(unit: str) -> None:
    times = pl.Series([0, 2**64 - 1, 0], dtype=pl.UInt64)
    refused(GOOD.with_columns(ts=times), "row 1", "'ts'", time_unit=unit)


def test_integer_times_need_a_unit() -> None:
    numbered = GOOD.with_columns(ts=pl.Series([1, 2, 3]))
    refused(numbered, "'ts'", "time_unit=")
    refused(numbered, "time_unit=", time_unit="minutes")


@pytest.mark.parametrize("times", [[1.5, 2.5, 3.5], [True, False, True]])
def test_other_times_are_refused(times: list[Any]) -> None:
    refused(GOOD.with_columns(ts=pl.Series(times)), "'ts'", "expected timestamps")


@pytest.mark.parametrize("dtype", [pl.String, pl.Int64, pl.Null])
def test_all_ids_missing_is_an_error(dtype: Any) -> None:
    refused(GOOD.with_columns(user_id=pl.lit(None, dtype)), "all 3 user ids are missing")


@pytest.mark.parametrize("ids", [[1.0, 2.0, 3.0], [True, False, True], [b"a", b"b", b"c"]])
def test_ids_of_other_types_are_refused(ids: list[Any]) -> None:
    refused(GOOD.with_columns(user_id=pl.Series(ids)), "'user_id'", "expected text or integers")


def test_ids_beyond_64_bits_name_the_row() -> None:
    ids = pl.Series([1, 2, 2**64 - 1], dtype=pl.UInt64)
    refused(GOOD.with_columns(user_id=ids), "row 2")


def test_event_types_that_are_no_text_are_refused() -> None:
    refused(GOOD.with_columns(event=pl.Series([1.5, 2.5, 3.5])), "event", "expected text")


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_an_empty_log_is_an_error(ending: str, tmp_path: Path) -> None:
    path = written(GOOD.clear() if ending != ".jsonl" else GOOD.head(0), tmp_path, ending)
    refused(path, str(path))


def test_an_empty_frame_says_it_has_no_rows() -> None:
    refused(GOOD.clear(), "it has no rows")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_parquet_file_is_named(share: float, tmp_path: Path) -> None:
    path = written(GOOD, tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(path, str(path))
    GOOD.write_parquet(tmp_path / "a-good-one.parquet")
    refused(str(tmp_path / "*.parquet"), str(tmp_path))
    with pytest.raises(pp.DataError, match="log.parquet"):
        pp.read_profiles(path)


def test_damage_inside_a_parquet_file_is_an_error(tmp_path: Path) -> None:
    frame = pl.concat([GOOD] * 1_000)
    path = written(frame, tmp_path)
    data = bytearray(path.read_bytes())
    data[20:200] = bytes(180)
    path.write_bytes(data)
    refused(path, str(path))


@pytest.mark.parametrize("text", ["{", '{"user_id": 1}\n{"user_id":', "[1, 2]"])
def test_broken_json_lines_are_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    refused(path, str(path))


def test_ragged_csv_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user_id,ts,event\na,2024-01-01,x\nb,2024-01-01,x,9,9\n")
    refused(path, str(path))


def test_files_that_are_not_there_or_of_no_kind(tmp_path: Path) -> None:
    refused(tmp_path / "absent.parquet", "absent.parquet", "no file matches")
    refused(str(tmp_path / "*.csv"), "*.csv", "no file matches")
    refused([], "no file")
    (tmp_path / "log.xlsx").write_bytes(b"PK")
    refused(tmp_path / "log.xlsx", "log.xlsx", ".parquet, .csv")
    folder = tmp_path / "empty"
    folder.mkdir()
    refused(folder, "empty")
    written(GOOD, tmp_path, ".csv")
    written(GOOD, tmp_path, ".jsonl")
    refused([tmp_path / "log.csv", tmp_path / "log.jsonl"], "mixes kinds")


@pytest.mark.parametrize("source", [None, 3, {"user_id": ["a"]}, object(), b"log.parquet"])
def test_what_is_no_table_is_refused(source: Any) -> None:
    refused(source, type(source).__name__)


def test_profiles_are_checked() -> None:
    def refused_profiles(frame: pl.DataFrame, *parts: str) -> None:
        with pytest.raises(pp.DataError) as error:
            pp.read_profiles(frame)
        assert all(part in str(error.value) for part in parts), error.value

    table = pl.DataFrame({"user_id": ["a", "b", "a"], "age": [1, 2, 3]})
    refused_profiles(table, "a")
    refused_profiles(table.rename({"user_id": "usr_id"}), "'user_id'", "did you mean 'usr_id'")
    holed = pl.DataFrame({"user_id": ["a", None], "age": [1, 2]})
    refused_profiles(holed, "user_id")
    refused_profiles(table.with_columns(user_id=pl.lit(0.5)), "expected text or integers")
