"""The benchmark measures what it says: same log, same features, same answers, honest tables."""

from __future__ import annotations

import hashlib
import io
import json
import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

import propense as pp
from propense.bench.answers import Tolerance, disagreement
from propense.bench.contender import Entry, made, missing_packages
from propense.bench.declared import declared, texts
from propense.bench.generator import AS_OF, EVENT_TYPES, LogSize, cached_events, make_events
from propense.bench.peers import KINDS
from propense.bench.race import Pace, Timing, race
from propense.bench.results import Results, Row, number, ratio, seconds, targets_table

SMALL = LogSize(events=4_000, users=150, seed=9)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(cached_events(SMALL, tmp_path_factory.mktemp("cache")))


def test_equal_sizes_give_equal_logs(events: str) -> None:
    again = make_events(SMALL)
    assert pl.read_parquet(events).equals(again)
    assert not make_events(replace(SMALL, seed=10)).equals(again)


def test_the_log_is_skewed_late_and_reaches_past_the_as_of() -> None:
    log = make_events(LogSize(events=50_000, users=1_000))
    activity = log["user_id"].value_counts().sort("count", descending=True)["count"]
    assert activity.head(100).sum() > 0.3 * log.height
    assert 0.001 < (log["event_time"].diff() < timedelta(0)).mean() < 0.9
    assert 0 < (log["event_time"] >= AS_OF).mean() < 0.1
    assert log["event"].unique().cast(str).sort().to_list() == sorted(EVENT_TYPES)
    assert (log["amount"].is_not_null() == (log["event"].cast(str) == "purchase")).all()


def test_a_giant_has_the_share_asked_for() -> None:
    size = LogSize(events=20_000, users=500, ids="integer", giant_share=0.5)
    log = make_events(size)
    assert log.schema["user_id"] == pl.Int64
    share = (log["user_id"] == 250).mean()
    assert isinstance(share, float)
    assert share == pytest.approx(0.5, abs=0.02)


def test_there_are_198_features_and_propense_knows_them_all() -> None:
    assert len(declared()) == len(set(texts())) == 198
    assert len(pp.FeatureSet(texts())) == 198


PEERS = [
    *(("polars_features", {"plan": p}) for p in ("slices", "filtered")),
    ("polars_features", {"plan": "slices", "engine": "streaming"}),
    *((kind, {"plan": p}) for kind in ("duckdb_features",) for p in ("slices", "filtered")),
]


@pytest.mark.parametrize(("kind", "parameters"), PEERS)
@pytest.mark.parametrize("grouped", [True, False])
def test_installed_peers_give_the_same_features(
    kind: str, parameters: dict[str, str], grouped: bool, events: str
) -> None:
    missing = missing_packages(kind)
    if missing:
        pytest.skip(f"not installed: {missing}")
    answers = []
    for name, given in (("propense_features", {}), (kind, parameters)):
        contender = made(name, {"events": events, "grouped": grouped, **given})
        contender.prepare()
        answers.append(contender.answer(contender.run()))
    assert answers[0]["matrix"].shape == (len(answers[0]["user"]), 198)
    assert disagreement(answers[0], answers[1], Tolerance()) is None


def test_a_race_times_who_agrees_and_says_who_does_not(events: str) -> None:
    entries = [
        Entry("propense", "propense_features", {"events": events}),
        Entry("Polars", "polars_features", {"events": events, "plan": "slices"}),
        Entry("broken", "polars_features", {"events": "nowhere.parquet", "plan": "slices"}),
    ]
    said: list[str] = []
    ours, theirs, broken = race(
        entries, tolerance=Tolerance(), pace=Pace(rounds=2), say=said.append
    )
    assert len(ours.runs) == len(theirs.runs) == 2
    assert 0 < ours.spread[0] <= ours.median <= ours.spread[1]
    assert broken.runs == []
    assert "nowhere.parquet" in str(broken.skipped)
    assert any(line.startswith("skipped broken") for line in said)


def test_clickhouse_gives_the_same_features(events: str) -> None:
    missing = missing_packages("chdb_features")
    if missing:
        pytest.skip(f"not installed: {missing}")
    entries = [Entry("propense", "propense_features", {"events": events})]
    entries.append(Entry("chDB", "chdb_features", {"events": events, "plan": "slices"}))
    _, theirs = race(entries, tolerance=Tolerance(), pace=Pace(rounds=1))
    assert theirs.skipped is None


def test_every_contender_is_where_it_is_said_to_be() -> None:
    for kind in KINDS.values():
        module = kind.path.split(":")[0].replace(".", "/") + ".py"
        assert (Path(pp.__file__).parents[1] / module).is_file()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_what_the_machine_gives_is_shared_out_evenly(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[bytes] = []
    sha256 = hashlib.sha256

    def counted(block: bytes) -> Any:
        hashed.append(block)
        return sha256(block)

    monkeypatch.setattr(hashlib, "sha256", counted)
    monkeypatch.setenv("RAYON_NUM_THREADS", str(threads))
    contender = made("machine_cores", {})
    contender.prepare()
    digests = contender.answer(contender.run())["digest"]
    assert len(hashed) == 240
    assert [bytes(digest) for digest in digests] == [sha256(hashed[0]).digest()] * threads


def test_disagreement_is_found_and_named() -> None:
    want = {"user": np.array(["a", "b"]), "matrix": np.array([[1.0, np.nan], [2.0, 3.0]])}
    assert disagreement(want, dict(want), Tolerance()) is None
    wrong = want["matrix"].copy()
    wrong[1, 0] = 2.001
    assert "matrix[1, 0]" in str(disagreement(want, want | {"matrix": wrong}, Tolerance()))
    assert disagreement(want, want | {"matrix": wrong}, Tolerance(share=0.5)) is None
    zeros = np.nan_to_num(want["matrix"])
    assert "matrix[0, 1]" in str(disagreement(want, want | {"matrix": zeros}, Tolerance()))
    assert "user[1]" in str(disagreement(want, want | {"user": np.array(["a", "c"])}, Tolerance()))
    assert "shape" in str(disagreement(want, want | {"user": np.array(["a"])}, Tolerance()))
    assert disagreement(want, {"user": want["user"]}, Tolerance()) is not None


def test_rows_meet_their_targets_or_not() -> None:
    assert Row("s", "w", "a", 60.0, 60.0).met is True
    assert Row("s", "w", "a", 59.9, 60.0).met is False
    assert Row("s", "w", "a", 1.3, 1.3, "lower").met is True
    assert Row("s", "w", "a", 1.31, 1.3, "lower").met is False
    assert Row("s", "w", "a", None, 1.3).met is None
    assert Row("s", "w", "a", 2.0).met is None


def test_the_ratio_is_to_the_quickest_of_the_others() -> None:
    ours, slow, quick = (Timing(name, 2, runs=[t, t]) for name, t in (("o", 1), ("s", 9), ("q", 4)))
    skipped = Timing("x", 2, skipped="not installed")
    assert ratio(ours, [slow, quick, skipped]) == (4.0, "q")
    assert ratio(ours, [skipped]) == (None, "x: not installed")


def test_results_are_written_as_json_and_shown(tmp_path: Path) -> None:
    results = Results(
        name="small", command="propense bench", date="2025-06-01T00:00:00+00:00", commit=None,
        machine={"cpu": "c", "cores": 2}, versions={}, sizes={},
    )  # fmt: skip
    results.rows.append(Row("features", "198 features", "Polars", 12.345, 60.0, note="slices"))
    results.rows.append(Row("features", "others", "chDB", None, note="not installed"))
    results.add("features", [Timing("propense", 2, [1.0, 3.0]), Timing("chDB", 2, skipped="no")])
    path = results.write(tmp_path / "runs")
    assert path.name == "2025-06-01-small.json"
    lines = path.with_suffix(".md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 + len(results.rows)
    assert all(line.count("|") == 6 for line in lines)
    content = json.loads(path.read_text())
    assert [row["met"] for row in content["rows"]] == [False, None]
    assert content["timings"][0]["median_s"] == 2.0
    assert "median_s" not in content["timings"][1]
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(targets_table(results))
    shown = console.export_text()
    assert "12.3 ×" in shown
    assert "≥ 60 ×" in shown
    assert "not met" in shown


def test_numbers_have_three_digits() -> None:
    assert [number(v) for v in (0.0, 0.01234, 1.5, 123.4, 12_345.6)] == [
        *("0", "0.0123", "1.5", "123", "12,346"),
    ]  # fmt: skip
    assert [seconds(v) for v in (2.5, 0.25, 2.5e-5, 2.5e-8)] == [
        "2.5 s",
        "250 ms",
        "25 µs",
        "25 ns",
    ]
    assert number(math.nan) == "nan"
