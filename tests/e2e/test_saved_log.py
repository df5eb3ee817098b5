"""A saved log is the log: for features and scores to the bit, for other readers row by row."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import propense as pp
from propense.simulator import Simulation


@pytest.fixture(scope="module")
def folder(log: pp.EventLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return log.save(tmp_path_factory.mktemp("logs") / "log")


@pytest.fixture(scope="module")
def opened(folder: Path) -> pp.EventLog:
    return pp.open_log(folder)


def test_a_saved_log_says_the_same_of_itself(log: pp.EventLog, opened: pp.EventLog) -> None:
    assert repr(opened) == repr(log)
    assert opened.properties == log.properties
    assert opened.attributes == log.attributes
    assert opened.user_column == log.user_column
    assert opened.dropped == log.dropped
    before = log.span_us[1]
    assert opened.core.summary(before) == log.core.summary(before)


def test_features_are_the_same_to_the_bit(
    log: pp.EventLog, opened: pp.EventLog, features: pp.FeatureSet, sim: Simulation
) -> None:
    automatic = pp.FeatureSet.auto(log)
    for wanted in (features, automatic):
        ours = pp.compute_features(log, wanted, as_of=sim.as_of)
        assert_frame_equal(
            pp.compute_features(opened, wanted, as_of=sim.as_of), ours, check_exact=True
        )


def test_scores_are_the_same_to_the_bit(
    log: pp.EventLog, opened: pp.EventLog, model: pp.Model, sim: Simulation
) -> None:
    ours = model.score(log, as_of=sim.as_of)
    assert_frame_equal(model.score(opened, as_of=sim.as_of), ours, check_exact=True)


def test_a_saved_log_is_taken_wherever_a_log_is(folder: Path, opened: pp.EventLog) -> None:
    for source in (folder, str(folder), [str(folder)]):
        assert repr(pp.read_events(source)) == repr(opened)


def as_read(frame: pl.DataFrame) -> pl.DataFrame:
    """Undo what a saved log does to types: dictionaries, narrow numbers, truth values as 1 and 0."""
    return frame.select(
        pl.col("user_id").cast(pl.Int64),
        pl.col("event_time").dt.replace_time_zone(None),
        pl.col("event").cast(pl.String),
        pl.col("amount").cast(pl.Float64),
        pl.col("category").cast(pl.String),
        pl.col("flag").cast(pl.Boolean),
        pl.col("quantity").cast(pl.Int64),
    )


def test_polars_and_pyarrow_read_the_events_as_they_are(
    random_events: Callable[..., pl.DataFrame], tmp_path: Path
) -> None:
    frame = random_events(3)
    folder = pp.read_events(frame).save(tmp_path / "log")
    path = folder / "events.arrow"
    columns = frame.columns
    expected = frame.sort(columns)
    assert_frame_equal(as_read(pl.read_ipc(path)).select(columns).sort(columns), expected)
    lazy = pl.scan_ipc(path).filter(pl.col("event") == "buy", pl.col("category") == "bar")
    wanted = expected.filter(pl.col("event") == "buy", pl.col("category") == "bar")
    assert_frame_equal(as_read(lazy.collect()).select(columns).sort(columns), wanted)
    arrow = pytest.importorskip("pyarrow")
    table = arrow.ipc.open_file(arrow.memory_map(str(path))).read_all()
    table.validate(full=True)
    assert_frame_equal(as_read(pl.DataFrame(table)).select(columns).sort(columns), expected)


def test_the_files_are_grouped_by_user(folder: Path, log: pp.EventLog) -> None:
    events = pl.read_ipc(folder / "events.arrow")
    users = pl.read_ipc(folder / "users.arrow")
    profiles = pl.read_ipc(folder / "profiles.arrow")
    assert users.height == profiles.height == log.n_users
    assert users["user_id"].is_sorted()
    assert users["user_id"].n_unique() == log.n_users
    assert users["events"].sum() == events.height == log.n_events
    assert_frame_equal(users.select("user_id"), profiles.select("user_id"))
    rows = events.with_row_index("row").with_columns(
        pl.col("user_id").cast(users.schema["user_id"])
    )
    found = rows.group_by("user_id", maintain_order=True).agg(
        first_event=pl.col("row").first().cast(pl.UInt64),
        events=pl.len().cast(pl.UInt64),
        last=pl.col("row").last(),
        in_order=pl.col("event_time").is_sorted(),
    )
    assert_frame_equal(found.select("user_id", "first_event", "events"), users)
    assert (found["last"] - found["first_event"] + 1 == found["events"]).all()
    assert found["in_order"].all()


def test_the_user_column_keeps_its_name_and_type(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "customer": pl.Series([3, 1, None, 3], dtype=pl.UInt16),
            "ts": ["2024-01-01"] * 4,
            "event": ["a"] * 4,
            "user_id": ["x", "y", "z", None],
        }
    )
    with pytest.warns(pp.PropenseWarning, match="1 rows without a user id"):
        log = pp.read_events(frame, user="customer")
    opened = pp.open_log(str(log.save(str(tmp_path / "log"))))
    counts = pp.compute_features(opened, ["count(a)"], as_of="2024-02-01")
    assert counts.schema["customer"] == pl.UInt16
    assert counts["customer"].to_list() == [1, 3]
    assert opened.dropped == 1
    table = pl.read_ipc(tmp_path / "log" / "events.arrow")
    assert table["user_id_"].to_list() == [1, 3, 3]
    assert sorted(table["user_id"].cast(pl.String).fill_null("-")) == ["-", "x", "y"]


def test_a_log_is_replaced_while_it_is_open(
    random_events: Callable[..., pl.DataFrame], tmp_path: Path
) -> None:
    logs = [pp.read_events(random_events(seed, rows=500)) for seed in (1, 2)]
    expressions = ["count(*)", "sum(buy.amount)"]
    answers = [pp.compute_features(log, expressions, as_of="2024-07-01") for log in logs]
    assert not answers[0].equals(answers[1])
    folder = logs[0].save(tmp_path / "log")
    kept = pp.open_log(folder)
    wrong: list[pl.DataFrame] = []
    done = threading.Event()

    def reading() -> None:
        while not done.is_set():
            answer = pp.compute_features(pp.open_log(folder), expressions, as_of="2024-07-01")
            if not any(answer.equals(known) for known in answers):
                wrong.append(answer)

    reader = threading.Thread(target=reading)
    reader.start()
    for turn in range(1, 30):
        logs[turn % 2].save(folder)
    done.set()
    reader.join()
    assert not wrong
    assert pp.compute_features(kept, expressions, as_of="2024-07-01").equals(answers[0])
    pp.verify_log(folder)


MEMORY = """
import sys
from pathlib import Path
import polars as pl
import propense as pp

def anonymous():
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024

expressions = ["count(*)", "sum(buy.amount, '90d')", "distinct(view.category)", "recency(*)"]
small, large = (pp.open_log(folder) for folder in sys.argv[1:])
pp.compute_features(small, expressions, as_of="2030-01-01")  # starts threads and their memory
before = anonymous()
frame = pp.compute_features(large, expressions, as_of="2030-01-01")
print(anonymous() - before, float(frame["all_count"].sum()) if "all_count" in frame else frame.height)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_computing_over_a_saved_log_takes_no_memory_for_its_events(
    random_events: Callable[..., pl.DataFrame], tmp_path: Path
) -> None:
    frame = random_events(5, rows=20_000, users=200)
    small = pp.read_events(frame).save(tmp_path / "small")
    many = pl.concat([frame.with_columns(pl.col("user_id") + 200 * part) for part in range(100)])
    large = pp.read_events(many).save(tmp_path / "large")
    size = (large / "events.arrow").stat().st_size
    command = [sys.executable, "-c", MEMORY, str(small), str(large)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    # A page of a mapped file is not anonymous memory: the system can drop it when memory runs short.
    assert int(answer[0]) < size / 10, (answer, size)
