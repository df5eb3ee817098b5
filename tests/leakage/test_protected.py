"""Protected attributes stay out of features, and features that stand in for them are found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense.features import names_of_attributes
from propense.simulator import Simulation, write

GOAL = """
name = "buys_ticket"
when = "count(purchase) >= 1"
horizon = "30d"

[features]
protected = ["age", "plan"]
"""


@pytest.fixture(scope="module")
def marked(sim: Simulation, log: pp.EventLog) -> pp.EventLog:
    return log.with_profiles(pp.read_profiles(sim.profiles, protected=["age", "country"]))


def test_automatic_features_read_no_protected_attribute(
    log: pp.EventLog, marked: pp.EventLog
) -> None:
    assert names_of_attributes(pp.FeatureSet.auto(log), ["age", "country"])
    features = pp.FeatureSet.auto(marked)
    assert names_of_attributes(features, ["age", "country"]) == []
    assert names_of_attributes(features, ["plan"])
    assert marked.with_protected([]).protected == ()
    plain = log.with_profiles(pp.read_profiles(pl.DataFrame({"user_id": ["u"], "age": [3]})))
    assert plain.protected == ()


def test_a_feature_that_is_named_stays_and_is_told_of(
    marked: pp.EventLog, goal: pp.Goal, sim: Simulation
) -> None:
    texts = ["count(*)", "attr(age)", "attr(country) = 'GB'"]
    with pytest.warns(pp.PropenseWarning, match="protected .* and stay: age, country_is_gb"):
        frame = pp.export_training(marked, goal, features=texts, as_of=sim.as_of)
    assert "age" in frame.columns


def test_the_audit_of_a_model_knows_outcomes_and_what_it_reads(
    model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    found = model.audit(log, sim.profiles, {"age": [30], "plan": None}, as_of=sim.as_of)
    assert any("age: read by the model itself: age" in reason for reason in found.reasons)
    assert not any("plan: read by" in reason for reason in found.reasons)
    assert found.groups["recall"].is_not_null().any()
    assert found.proxies is not None
    ended = log.span_us[1]
    assert ended // 86_400_000_000 > 0
    later = model.audit(log, sim.profiles, ["plan"], as_of="2025-06-20")
    assert "recall" not in later.groups.columns
    assert any("outcomes are not known" in note for note in later.notes)


def test_a_stand_in_is_found_and_named() -> None:
    rng = np.random.default_rng(1)
    users = 2_000
    country = rng.choice(["GB", "DE"], users)
    # Whoever lives in DE reads on other hours; nothing else tells them apart.
    ids = [f"u{place}" for place in range(users)]
    times = [
        np.datetime64("2024-03-01", "us") + np.timedelta64(int(day * 24 + hour), "h")
        for where in country
        for day, hour in zip(
            rng.integers(0, 60, 5),
            rng.integers(0, 6, 5) + (12 if where == "DE" else 6),
            strict=True,
        )
    ]
    events = pl.DataFrame(
        {"user_id": np.repeat(ids, 5), "ts": np.array(times), "event": "open", "n": 1.0}
    )
    log = pp.read_events(events)
    features = pp.FeatureSet(["hour_share(open, 12, 17)", "count(open, '30d')"])
    frame = pp.compute_features(log, features, as_of="2024-05-01")
    scores = frame.select(
        "user_id",
        score=pl.Series(rng.random(frame.height), dtype=pl.Float32),
        tier=pl.Series(rng.choice(["most_likely", "least_likely"], frame.height)),
    )
    profiles = pl.DataFrame({"user_id": ids, "country": country})
    found = pp.audit(
        scores, profiles, ["country"], features=(features, frame.sample(1_500, seed=1))
    )
    assert found.proxies is not None
    assert (found.proxies["auc"] > 0.95).all()
    assert found.verdict == "warn"
    assert "other features tell this group from the rest" in found.reasons[0]
    assert "most of all open_hour_share_12_17" in found.reasons[0]
    # Profiles that have nothing to do with what users did are told apart no better than by guessing.
    shuffled = profiles.with_columns(pl.col("country").shuffle(seed=3))
    blind = pp.audit(scores, shuffled, ["country"], features=(features, frame))
    assert blind.proxies is not None
    assert ((blind.proxies["auc"] - 0.5).abs() < 0.06).all()
    assert blind.verdict == "pass"
    with pytest.raises(pp.DataError, match="no column 'open_count_30d'"):
        pp.audit(scores, profiles, ["country"], features=(features, frame.drop("open_count_30d")))


def test_from_the_command_line(sim: Simulation, tmp_path: Path) -> None:
    write(sim, tmp_path)
    (tmp_path / "goal.toml").write_text(GOAL)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from propense.cli import main; main()", *arguments]
        environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
        )

    log = ("--events", "events.parquet", "--profiles", "profiles.parquet", "--as-of", "2025-05-25")
    assert run("train", "goal.toml", *log, "--out", "model").returncode == 0
    trained = pp.load_model(tmp_path / "model")
    assert trained.training["protected"] == ["age", "plan"]
    assert names_of_attributes(trained.features, ["age", "plan"]) == []
    done = run("audit", "model", *log, "--out", "audit.json")
    assert done.returncode == 0, done.stderr
    for part in ("plan", "under", "× ", "recall", "can features tell the groups apart?", "users, "):
        assert part in done.stdout
    assert (tmp_path / "audit.json").exists()
    assert run("score", "model", *log, "--out", "scores.csv").returncode == 0
    short = ("--profiles", "profiles.parquet", "--protected", "age:30,45")
    done = run("audit", "scores.csv", *short)
    assert done.returncode == 0, done.stderr
    assert "30–44" in done.stdout
    for wrong, said, code in (
        (("audit", "model", "--profiles", "profiles.parquet"), "give the log", 3),
        (("audit", "scores.csv", "--profiles", "profiles.parquet"), "name the attributes", 3),
        (("audit", "scores.csv", *short[:3], "age:old"), "expected numbers after", 3),
        (("audit", "scores.csv", *short[:3], "agee"), "did you mean 'age'", 3),
        (("audit", "scores.csv", *short, "--require", "maybe"), "expected pass, warn, block", 3),
        (("audit", "absent", *short), "absent", 3),
    ):
        failed = run(*wrong)
        assert failed.returncode == code, failed.stderr
        assert said in failed.stderr
        assert len(failed.stderr.strip().splitlines()) == 1
    biased = pl.read_csv(tmp_path / "scores.csv").join(sim.profiles, on="user_id", how="left")
    tier = pl.when(pl.col("plan") == "plus").then(pl.lit("most_likely")).otherwise("tier")
    biased.with_columns(tier=tier).drop("plan").write_csv(tmp_path / "biased.csv")
    gate = ("audit", "biased.csv", *short[:3], "plan", "--require", "pass")
    failed = run(*gate)
    assert failed.returncode == 9
    assert "the audit says block, pass is required" in failed.stderr
