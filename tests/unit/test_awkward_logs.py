"""Logs as they are found: empty columns, odd names, parts that differ, types that come late."""

from __future__ import annotations

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
    }
)


def counted(log: pp.EventLog, text: str) -> list[float]:
    return pp.compute_features(log, [text], as_of="2024-02-01").to_series(1).to_list()


EMPTY_TYPES = [pl.Null, pl.String, pl.Categorical, pl.Enum([]), pl.Boolean, pl.Int8, pl.Date]


@pytest.mark.parametrize("dtype", EMPTY_TYPES, ids=str)
@pytest.mark.parametrize("form", ["frame", "arrow", "parquet"])
def test_a_property_without_any_value_is_missing(dtype: Any, form: str, tmp_path: Path) -> None:
    frame = GOOD.with_columns(p=pl.lit(None, dtype))
    source: Any = frame.to_arrow() if form == "arrow" else frame
    if form == "parquet":
        source = tmp_path / "log.parquet"
        frame.write_parquet(source)
    log = pp.read_events(source)
    assert list(log.properties) == ["p"]
    assert counted(log, "count(x.p)") == [0, 0, 0]
    profiles = pp.read_profiles(frame.select("user_id", "p"))
    assert len(profiles) == 3


def test_a_column_of_null_in_json_lines_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    GOOD.with_columns(p=pl.lit(None)).write_ndjson(path)
    assert pp.read_events(path).n_events == 3


@pytest.mark.parametrize("name", ["event", "event_", "event (constant)"])
def test_a_constant_event_type_clashes_with_no_column(name: str) -> None:
    frame = GOOD.rename({"event": name})
    log = pp.read_events(frame, event_constant="row")
    assert log.event_types == ["row"]
    assert log.properties == {name: "text"} or name == "event"


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_names_with_glob_signs_are_names_where_they_exist(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"part[1] * ?.{ending}"
    write = {"parquet": GOOD.write_parquet, "csv": GOOD.write_csv, "jsonl": GOOD.write_ndjson}
    write[ending](path)  # type: ignore[operator]
    assert pp.read_events(path).n_events == 3


@pytest.mark.parametrize("late", ["1.5", "oops", ""])
def test_csv_types_that_show_late_are_still_read(late: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    rows = [f"u{n % 7},2024-01-01T00:00:{n % 60:02},x,{n}" for n in range(12_000)]
    rows[11_990] = f"u1,2024-01-01,x,{late}"
    path.write_text("\n".join(["user_id,ts,event,q", *rows]) + "\n")
    log = pp.read_events(path)
    assert log.n_events == 12_000
    assert log.properties == {"q": "text" if late == "oops" else "number"}


def test_a_bad_time_late_in_a_csv_file_names_its_row(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    rows = [f"u{n % 7},2024-01-01T00:00:{n % 60:02},x" for n in range(12_000)]
    rows[11_990] = "u1,soon,x"
    path.write_text("\n".join(["user_id,ts,event", *rows]) + "\n")
    with pytest.raises(pp.DataError, match=r"log\.csv: row 11990 .*'ts' holds 'soon'"):
        pp.read_events(path)


@pytest.mark.parametrize("text", ["01/02/2024", "1.2.2024", "Jan 2, 2024", "20240102", "2024-1-2"])
@pytest.mark.parametrize("ending", ["frame", ".csv"])
def test_dates_that_mean_different_days_to_different_people_are_refused(
    text: str, ending: str, tmp_path: Path
) -> None:
    frame = GOOD.with_columns(ts=pl.lit(text))
    source: Any = frame
    if ending == ".csv":
        source = tmp_path / "log.csv"
        frame.write_csv(source, quote_style="always")
    with pytest.raises(pp.DataError, match="'ts'"):
        pp.read_events(source)


@pytest.mark.parametrize("name", ["user_id", "as_of", "label"])
def test_features_cannot_hide_the_frames_own_columns(name: str) -> None:
    log = pp.read_events(GOOD)
    goal = pp.Goal("g", "count(x) >= 1", horizon="1d")
    features = pp.FeatureSet({name: "count(*)"})
    with pytest.raises(pp.ExpressionError, match=f"'{name}'"):
        pp.export_training(log, goal, features=features)
    if name == "user_id":
        with pytest.raises(pp.ExpressionError, match=f"'{name}'"):
            pp.compute_features(log, features, as_of="2024-02-01")


@pytest.mark.parametrize("name", ["score", "percentile", "tier"])
def test_user_columns_cannot_be_hidden_by_scores(name: str, model: pp.Model) -> None:
    named = pl.DataFrame({name: ["a"], "ts": ["2024-01-01"], "event": ["app_open"]})
    properties = named.with_columns(price=pl.lit(1.0), age=pl.lit(3))
    profiles = pp.read_profiles(properties.select(name, "age"), user=name)
    log = pp.read_events(properties, user=name, profiles=profiles)
    with pytest.raises(pp.PropenseError, match=name):
        model.score(log, as_of="2024-02-01")


def test_whole_numbers_of_other_widths_are_numbers() -> None:
    log = pp.read_events(
        GOOD.with_columns(a=pl.lit(3, pl.Int8), b=pl.lit("1.50").cast(pl.Decimal(9, 2)))
    )
    assert log.properties == {"a": "number", "b": "number"}
    with pytest.warns(pp.PropenseWarning, match="wide"):
        log = pp.read_events(GOOD.with_columns(wide=pl.lit(5, pl.Int128)))
    assert log.n_events == 3


def test_parts_may_differ_a_little(tmp_path: Path) -> None:
    GOOD.with_columns(price=pl.lit(1), n=pl.lit(1, pl.Int32)).write_parquet(tmp_path / "1.parquet")
    GOOD.with_columns(price=pl.lit(1.5), n=pl.lit(1)).write_parquet(tmp_path / "2.parquet")
    GOOD.write_parquet(tmp_path / "3.parquet")
    log = pp.read_events(str(tmp_path / "*.parquet"))
    assert log.n_events == 9
    assert counted(log, "sum(x.price)") == [2.5, 0, 2.5]


def test_event_types_may_be_integers_but_nothing_else() -> None:
    log = pp.read_events(GOOD.with_columns(pl.Series("event", [1, 2, 1])))
    assert log.event_types == ["1", "2"]
    with pytest.raises(pp.DataError, match="'event' are Boolean; expected text or integers"):
        pp.read_events(GOOD.with_columns(pl.lit(True).alias("event")))
