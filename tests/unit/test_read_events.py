"""One log in every form that can be read; ids and times as they came."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import propense as pp

TEXTS = [
    "count(*)",
    "sum(buy.amount, '90d')",
    "distinct(view.category)",
    "count(*, '7d') FILTER (WHERE flag)",
    "recency(*)",
    "first(buy.quantity)",
]
AS_OF = "2024-06-01"


def features_of(source: Any, **roles: Any) -> pl.DataFrame:
    return pp.compute_features(pp.read_events(source, **roles), TEXTS, as_of=AS_OF)


@pytest.fixture(scope="module")
def events(random_events: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    events = random_events(31, rows=800)
    return events.with_columns(pl.col("user_id").cast(pl.String).str.zfill(3))


@pytest.fixture(scope="module")
def expected(events: pl.DataFrame) -> pl.DataFrame:
    return features_of(events)


def write_parquet(events: pl.DataFrame, folder: Path) -> Any:
    events.write_parquet(folder / "log.parquet")
    return folder / "log.parquet"


def write_csv(events: pl.DataFrame, folder: Path) -> Any:
    events.write_csv(folder / "log.csv")
    return str(folder / "log.csv")


def write_tsv(events: pl.DataFrame, folder: Path) -> Any:
    events.write_csv(folder / "log.tsv", separator="\t")
    return folder / "log.tsv"


def write_json_lines(events: pl.DataFrame, folder: Path) -> Any:
    events.write_ndjson(folder / "log.jsonl")
    return folder / "log.jsonl"


def write_glob(events: pl.DataFrame, folder: Path) -> Any:
    for number in range(3):
        part = events.filter(pl.int_range(pl.len()) % 3 == number)
        part.write_parquet(folder / f"part-{number}.parquet")
    return str(folder / "part-*.parquet")


def write_folder(events: pl.DataFrame, folder: Path) -> Any:
    write_glob(events, folder)
    (folder / "_SUCCESS").touch()
    return folder


def write_list(events: pl.DataFrame, folder: Path) -> Any:
    write_glob(events, folder)
    return sorted(folder.glob("*.parquet"))


def write_csv_glob(events: pl.DataFrame, folder: Path) -> Any:
    for number, part in enumerate(events.iter_slices(300)):
        part.write_csv(folder / f"{number}.csv")
    return str(folder / "*.csv")


def as_pandas(events: pl.DataFrame, _: Path) -> Any:
    pytest.importorskip("pandas")
    return events.to_pandas()


FORMS: dict[str, Callable[[pl.DataFrame, Path], Any]] = {
    "parquet": write_parquet,
    "csv": write_csv,
    "tsv": write_tsv,
    "json lines": write_json_lines,
    "glob": write_glob,
    "csv glob": write_csv_glob,
    "folder": write_folder,
    "list": write_list,
    "lazy frame": lambda events, _: events.lazy(),
    "pandas": as_pandas,
    "pyarrow": lambda events, _: events.to_arrow(),
}


DUCKDB_SCRIPT = """
import sys, duckdb
sys.path.insert(0, sys.argv[1])
from test_read_events import features_of
features_of(duckdb.connect().read_parquet(sys.argv[2])).write_ipc(sys.argv[3])
"""


def test_a_duckdb_relation_gives_the_same_log(
    events: pl.DataFrame, expected: pl.DataFrame, tmp_path: Path
) -> None:
    """In a process of its own: DuckDB prints pages about its bindings when its process ends."""
    if find_spec("duckdb") is None:
        pytest.skip("duckdb is not installed")
    paths = [Path(__file__).parent, write_parquet(events, tmp_path), tmp_path / "features.arrow"]
    command = [sys.executable, "-c", DUCKDB_SCRIPT, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert pl.read_ipc(paths[2]).equals(expected)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_log(
    form: str, events: pl.DataFrame, expected: pl.DataFrame, tmp_path: Path
) -> None:
    found = features_of(FORMS[form](events, tmp_path))
    assert found.equals(expected)
    assert found["user_id"][0].startswith("0")  # 007 stays text


def test_columns_can_have_other_names(events: pl.DataFrame, expected: pl.DataFrame) -> None:
    renamed = events.rename({"user_id": "Kunde Nr", "event_time": "wann", "event": "was"})
    found = features_of(renamed, user="Kunde Nr", time="wann", event="was")
    assert found.rename({"Kunde Nr": "user_id"}).equals(expected)


@pytest.mark.parametrize("name", ["ts", "timestamp", "time"])
def test_the_usual_time_columns_are_found(
    name: str, events: pl.DataFrame, expected: pl.DataFrame
) -> None:
    assert features_of(events.rename({"event_time": name})).equals(expected)


def test_a_log_without_event_types_gets_one(events: pl.DataFrame) -> None:
    log = pp.read_events(events.drop("event"), event_constant="purchase")
    assert log.event_types == ["purchase"]
    counted = pp.compute_features(log, ["count(purchase)"], as_of="2030-01-01")
    assert counted["purchase_count"].sum() == events.height
    # An event column that is there is then a property like any other.
    log = pp.read_events(events, event_constant="row", event="kind")
    assert log.event_types == ["row"]
    assert log.properties["event"] == "text"


def test_the_log_says_what_it_holds(events: pl.DataFrame) -> None:
    log = pp.read_events(events)
    assert log.n_events == events.height
    assert log.n_users == events["user_id"].n_unique()
    assert log.event_types == ["buy", "open", "view"]
    kinds = {"amount": "number", "category": "text", "flag": "boolean", "quantity": "number"}
    assert log.properties == kinds
    assert log.first.replace(tzinfo=None) == events["event_time"].min()
    assert log.last.replace(tzinfo=None) == events["event_time"].max()
    assert str(log.n_users) in repr(log)


INTEGERS = [pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64]


@pytest.mark.parametrize("width", INTEGERS, ids=str)
@pytest.mark.parametrize("form", ["polars", "pyarrow", "parquet"])
def test_integer_ids_come_back_as_they_came(width: Any, form: str, tmp_path: Path) -> None:
    low, high = pl.select(width.min(), width.max().alias("high")).row(0)
    ids = [min(high, 2**63 - 1), 7, low]
    frame = pl.DataFrame(
        {"user_id": pl.Series(ids, dtype=width), "ts": ["2024-01-01"] * 3, "event": ["a"] * 3}
    )
    source = {"polars": frame, "pyarrow": frame.to_arrow()}.get(form)
    if source is None:
        source = write_parquet(frame, tmp_path)
    found = pp.compute_features(pp.read_events(source), ["count(a)"], as_of="2024-02-01")
    assert found["user_id"].dtype == width
    assert found["user_id"].to_list() == sorted(ids)


def test_text_ids_come_back_as_they_came() -> None:
    ids = ["007", "7", " 7", "ä", "Z", "zürich 🎫", "", "null", "1e5"]
    frame = pl.DataFrame({"user_id": ids, "ts": ["2024-01-01"] * 9, "event": ["a"] * 9})
    found = pp.compute_features(pp.read_events(frame), ["count(a)"], as_of="2024-02-01")
    assert found["user_id"].dtype == pl.String
    assert found["user_id"].to_list() == sorted(ids)


@pytest.mark.parametrize("kind", ["categorical", "enum", "dictionary"])
def test_coded_columns_are_text(kind: str, events: pl.DataFrame, expected: pl.DataFrame) -> None:
    names = ["user_id", "event", "category"]
    if kind == "enum":
        kinds = {name: pl.Enum(events[name].drop_nulls().unique()) for name in names}
        coded: Any = events.cast(kinds)  # type: ignore[arg-type]
    else:
        coded = events.cast(dict.fromkeys(names, pl.Categorical))
        coded = coded.to_arrow() if kind == "dictionary" else coded
    assert features_of(coded).equals(expected)


def test_rows_without_a_user_are_counted_and_dropped(events: pl.DataFrame) -> None:
    missing = pl.int_range(pl.len()) % 10 == 3
    holed = events.with_columns(user_id=pl.when(~missing).then("user_id"))
    missing_ids = holed["user_id"].null_count()
    with pytest.warns(pp.PropenseWarning, match=f" {missing_ids} rows without a user id"):
        log = pp.read_events(holed)
    assert log.dropped == missing_ids
    assert log.n_events == events.height - log.dropped
    found = pp.compute_features(log, TEXTS, as_of=AS_OF)
    assert found.equals(features_of(holed.drop_nulls("user_id")))


def test_leftover_folders_and_files_are_not_read_unless_named(
    events: pl.DataFrame, tmp_path: Path
) -> None:
    root = tmp_path / "_logs"  # named, so read
    kept = ["day=1/part.parquet", "_day=2/part.parquet"]
    left = [
        "_temporary/0/part.parquet",
        ".ipynb_checkpoints/part.parquet",
        "day=1/_old/part.parquet",
    ]
    for place in [*kept, *left, "_part.parquet"]:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        events.write_parquet(root / place)

    def files(source: str | Path) -> int:
        return pp.read_events(source).n_events // events.height

    assert files(root) == files(root / "*" / "**" / "*.parquet") == 2
    assert files(root / "*" / "*.parquet") == 2
    assert files(root / "_temporary") == files(root / "_temporary" / "*" / "part.parquet") == 1
    assert files(root / "_t*" / "**" / "*.parquet") == files(root / "_*.parquet") == 1
    assert files(root / "_part.parquet") == 1


WITHOUT_TIMES: list[tuple[list[Any], dict[str, Any]]] = [
    (["2024-01-01", None, "soon", "2024-01-02"], {}),
    ([datetime(2024, 1, 1), None, None, datetime(2024, 1, 2)], {}),
    ([1_700_000_000, None, 2**62, 1_700_000_001], {"time_unit": "s"}),
]


@pytest.mark.parametrize(("times", "options"), WITHOUT_TIMES)
def test_rows_without_a_user_need_no_time(times: list[Any], options: dict[str, Any]) -> None:
    frame = pl.DataFrame(
        {"user_id": ["a", None, None, "b"], "ts": times, "event": ["x", None, "x", "x"]}
    )
    with pytest.warns(pp.PropenseWarning, match=" 2 rows without a user id"):
        log = pp.read_events(frame, **options)
    assert (log.n_events, log.dropped, log.event_types) == (2, 2, ["x"])


def test_lines_of_commas_are_rows_without_a_user(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user_id,ts,event,p\na,2024-01-01,x,1\n,,,\nb,2024-01-02,y,2\n,,,\n")
    with pytest.warns(pp.PropenseWarning, match=" 2 rows without a user id"):
        assert pp.read_events(path).n_events == 2
    path.write_text("user_id,ts,event,p\n,,,\nb,soon,y,2\n")
    with pytest.raises(pp.DataError, match=r"row 1 .*'soon'.*one row is so"):
        pp.read_events(path)


def test_properties_can_be_chosen_and_nested_ones_are_left_out(events: pl.DataFrame) -> None:
    assert list(pp.read_events(events, properties=["amount"]).properties) == ["amount"]
    assert pp.read_events(events, properties=[]).properties == {}
    nested = events.with_columns(tags=pl.concat_list("category"), box=pl.struct("amount", "flag"))
    with pytest.warns(pp.PropenseWarning, match="tags, box"):
        log = pp.read_events(nested)
    assert "tags" not in log.properties
    assert "amount" in log.properties


def test_integers_beyond_f64_are_kept_as_text() -> None:
    wide = [2**53 + 1, 2**53 + 2, None]
    frame = pl.DataFrame(
        {"user_id": [1, 1, 1], "ts": ["2024-01-01"] * 3, "event": ["a"] * 3, "order": wide}
    )
    log = pp.read_events(frame)
    assert log.properties == {"order": "text"}
    found = pp.compute_features(log, ["distinct(a.order)"], as_of="2024-02-01")
    assert found.to_series(1).to_list() == [2]


def test_profiles_join_by_id_and_must_be_of_its_type(events: pl.DataFrame) -> None:
    table = pl.DataFrame({"user_id": ["001", "000", "none"], "age": [20, 30, 40]})
    log = pp.read_events(events, profiles=pp.read_profiles(table))
    found = pp.compute_features(log, ["attr(age)"], as_of=AS_OF).fill_nan(None)
    assert found.head(3).to_series(1).to_list() == [30, 20, None]
    assert log.attributes == {"age": "number"}
    assert len(pp.read_profiles(table)) == 3
    assert "age" in repr(pp.read_profiles(table))
    numbered = pp.read_profiles(table.with_columns(user_id=pl.Series([1, 0, 2])))
    with pytest.raises(pp.DataError, match="integer user ids but events have text"):
        pp.read_events(events, profiles=numbered)
