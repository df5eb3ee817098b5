"""The command line end to end on a small simulated log: files, pipes, exit codes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import propense as pp
from propense.cli.app import app
from propense.simulator import Simulation, write

GOAL = """
name = "buys_ticket"
when = "count(purchase) >= 1"
horizon = "30d"

[features]
expressions = ["count(app_open, '30d')", "recency(*)", "count(purchase)", "attr(age)"]
"""


def run(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-c", "from propense.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, cwd=folder, env=environment, check=False)


def done(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    finished = run(*arguments, folder=folder)
    assert finished.returncode == 0, finished.stderr.decode()
    assert b"Traceback" not in finished.stderr
    return finished


def in_process(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).invoke(app, arguments)


@pytest.fixture(scope="module")
def place(sim: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    write(sim, folder)
    (folder / "goal.toml").write_text(GOAL)
    return folder


@pytest.fixture(scope="module")
def log_options(place: Path, sim: Simulation) -> list[object]:
    paths = ["--events", place / "events.parquet", "--profiles", place / "profiles.parquet"]
    return [*paths, "--as-of", f"{sim.as_of:%Y-%m-%d}"]


@pytest.fixture(scope="module")
def trained(place: Path, log_options: list[object]) -> subprocess.CompletedProcess[bytes]:
    return done("train", place / "goal.toml", *log_options, "--out", place / "models" / "buys")


def test_train_writes_a_model_and_prints_its_quality(
    trained: subprocess.CompletedProcess[bytes], place: Path, log: pp.EventLog, sim: Simulation
) -> None:
    printed = trained.stdout.decode()
    for part in ("AUC", "base rate", "held out", "decile", "lift", "models/buys"):
        assert part in printed
    assert [path.name for path in (place / "models").iterdir()] == ["buys"]
    model = pp.load_model(place / "models" / "buys")
    asked = pp.load_goal(place / "goal.toml")
    assert model.goal == asked.goal
    assert isinstance(asked.features.expressions, list)
    features = pp.FeatureSet(asked.features.expressions)
    assert model.features.expressions == features.expressions
    # The library with the same goal gives the same model.
    same = pp.train(log, asked.goal, as_of=sim.as_of, features=features)
    assert same.score(log, as_of=sim.as_of).equals(model.score(log, as_of=sim.as_of))


@pytest.mark.usefixtures("trained")
def test_score_writes_every_kind_and_the_pipe(
    place: Path, log_options: list[object], log: pp.EventLog, sim: Simulation
) -> None:
    model = place / "models" / "buys"
    expected = pp.load_model(model).score(log, as_of=sim.as_of)
    shown = done("score", model, *log_options, "--out", place / "scores.parquet")
    assert pl.read_parquet(place / "scores.parquet").equals(expected)
    for part in ("most likely", "moderately likely", "least likely", "expected", "scores.parquet"):
        assert part in shown.stdout.decode()

    plain = expected.with_columns(pl.col("tier").cast(pl.String))
    schema = plain.schema
    done("score", model, *log_options, "--out", place / "scores.csv")
    assert pl.read_csv(place / "scores.csv", schema=schema).equals(plain)
    done("score", model, *log_options, "--out", place / "scores.jsonl")
    assert pl.read_ndjson(place / "scores.jsonl", schema=schema).equals(plain)
    piped = done("score", model, *log_options, "--out", "-")
    assert pl.read_csv(io.BytesIO(piped.stdout), schema=schema).equals(plain)
    assert "most likely" in piped.stderr.decode()


@pytest.mark.usefixtures("trained")
def test_a_reader_that_stops_early_is_no_crash(place: Path, log_options: list[object]) -> None:
    command = [sys.executable, "-c", "from propense.cli import main; main()", "score"]
    arguments = [place / "models" / "buys", *log_options, "--out", "-"]
    script = '"$0" "$@" | head -c 10 > /dev/null; exit ${PIPESTATUS[0]}'
    finished = subprocess.run(
        ["bash", "-c", script, *command, *map(str, arguments)], capture_output=True, check=False
    )
    assert b"Traceback" not in finished.stderr
    assert b"panicked" not in finished.stderr


def test_export_writes_the_training_frame(
    place: Path, log_options: list[object], log: pp.EventLog, sim: Simulation
) -> None:
    finished = done("export", place / "goal.toml", *log_options, "--out", place / "train.parquet")
    asked = pp.load_goal(place / "goal.toml")
    expressions = asked.features.expressions
    assert isinstance(expressions, list)
    expected = pp.export_training(log, asked.goal, features=expressions, as_of=sim.as_of)
    assert pl.read_parquet(place / "train.parquet").equals(expected)
    said = finished.stdout.decode()
    assert f"{expected.height:,} rows of {expected['as_of'].n_unique()} as_of dates" in said
    assert "4 features" in said


def test_columns_can_be_named(place: Path, sim: Simulation) -> None:
    names = {"user_id": "who", "ts": "when", "event": "what"}
    sim.events.rename(names).head(20_000).write_csv(place / "named.csv")
    roles = ["--user", "who", "--time", "when", "--event", "what"]
    goal = place / "plain.toml"
    goal.write_text(GOAL.replace(', "attr(age)"', ""))
    finished = done(
        "export", goal, "--events", place / "named.csv", *roles, "--out", place / "named.jsonl"
    )
    assert b"named.jsonl" in finished.stdout
    assert pl.read_ndjson(place / "named.jsonl").columns[0] == "who"


@pytest.mark.parametrize("command", ["train", "score", "export", "demo"])
def test_help_names_every_option(command: str) -> None:
    shown = in_process(command, "--help").output
    assert "--out" in shown
    if command != "demo":
        for option in ("--events", "--profiles", "--user", "--time", "--event", "--as-of"):
            assert option in shown
    everything = in_process("--help").output
    assert command in everything
    assert "Exit codes" in everything


def test_version_is_the_packages() -> None:
    assert done("--version").stdout.decode() == f"propense {pp.__version__}\n"


def test_the_installed_program_is_the_same() -> None:
    program = Path(sys.executable).with_name("propense")
    if not program.exists():
        pytest.skip("the package is not installed as a program")
    shown = subprocess.run([program, "--version"], capture_output=True, check=True)
    assert shown.stdout == f"propense {pp.__version__}\n".encode()


def test_wrong_usage_has_its_own_exit_code() -> None:
    assert run("train").returncode == 2
    assert in_process("fly").exit_code == 2
    asked = ("score", "m", "--events", "x.csv", "--out", "y.csv")
    assert in_process(*asked, "--color").exit_code == 2
    assert in_process("demo", "--users", "3").exit_code == 2
