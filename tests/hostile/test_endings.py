"""A program cut short: by Ctrl-C it says what holds, by a closed pipe it says nothing and goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

PROGRAM = [sys.executable, "-c", "from propense.cli import main; main()"]
GOAL = """
name = "buys"
when = "count(buy) >= 1"
horizon = "30d"

[features]
expressions = ["count(*)"]
"""


@pytest.fixture
def place(tmp_path: Path, random_events: Callable[..., pl.DataFrame]) -> Path:
    random_events(3).write_parquet(tmp_path / "log.parquet")
    (tmp_path / "goal.toml").write_text(GOAL)
    return tmp_path


def interrupted(place: Path, *arguments: str, at: str) -> tuple[int, list[str]]:
    """Run the program; Ctrl-C comes while a function, named by its module, is at work."""
    module, _, name = at.rpartition(".")
    script = (
        f"import os, signal, time, {module} as module\n"
        "def stop(*_args, **_kwargs):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(60)\n"
        f"module.{name} = stop\n"
        "from propense.cli import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=place, capture_output=True, check=False
    )
    assert b"Traceback" not in ended.stderr
    return ended.returncode, ended.stderr.decode().splitlines()


def test_an_interrupted_training_says_that_nothing_was_written(place: Path) -> None:
    train = ("train", "goal.toml", "--events", "log.parquet", "--out", "model")
    for at in ("propense.cli.commands.train_model", "propense.cli.options.read_events"):
        code, lines = interrupted(place, *train, at=at)
        assert code == 130
        assert lines[-1] == "interrupted: nothing was written"
        assert sum("interrupted" in line for line in lines) == 1
    assert not (place / "model").exists()


def test_an_interrupted_ingest_says_what_is_kept(place: Path) -> None:
    ingest = ("ingest", "log.parquet", "--store", "store")
    code, lines = interrupted(place, *ingest, at="propense.cli.ingest.event_rows")
    assert code == 130
    kept = (
        "interrupted: what was acknowledged so far is kept, and sending all of it again is harmless"
    )
    assert lines[-1] == kept


def test_other_commands_say_that_they_were_interrupted(place: Path) -> None:
    export = ("export", "goal.toml", "--events", "log.parquet", "--out", "frame.csv")
    code, lines = interrupted(place, *export, at="propense.cli.commands.export_training")
    assert (code, lines[-1]) == (130, "interrupted")


def closed(place: Path, *arguments: str) -> tuple[int, str]:
    """Run the program with a pipe to write to that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody:
        ended = subprocess.run(
            [*PROGRAM, *arguments], cwd=place, stdout=nobody, stderr=subprocess.PIPE, check=False
        )
    return ended.returncode, ended.stderr.decode()


@pytest.mark.parametrize("arguments", ["--help", "--version", "train --help", "segments --help"])
def test_help_for_nobody_ends_quietly(arguments: str, tmp_path: Path) -> None:
    assert closed(tmp_path, *arguments.split()) == (0, "")


def test_what_is_printed_for_nobody_does_not_keep_files_from_being_written(place: Path) -> None:
    train = ("train", "goal.toml", "--events", "log.parquet", "--out", "model")
    code, error = closed(place, *train)
    assert code == 0
    assert "Broken" not in error
    assert (place / "model" / "manifest.json").is_file()
    code, error = closed(place, "plan", "model")
    assert (code, error) == (0, "")
    score = ("score", "model", "--events", "log.parquet", "--out")
    for out in ("-", "scores.csv"):
        code, error = closed(place, *score, out)
        assert code == 0
        assert "Broken" not in error
    assert (place / "scores.csv").is_file()


def test_an_audit_for_nobody_still_writes_and_requires(tmp_path: Path) -> None:
    tiers = ["most_likely", "least_likely"] * 400
    sex = ["f", "m"] * 400
    users = range(800)
    scores = pl.DataFrame({"user_id": users, "score": [0.9, 0.1] * 400, "tier": tiers})
    scores.write_csv(tmp_path / "scores.csv")
    pl.DataFrame({"user_id": users, "sex": sex}).write_csv(tmp_path / "people.csv")
    audit = ("audit", "scores.csv", "--profiles", "people.csv", "--protected", "sex")
    code, error = closed(tmp_path, *audit, "--out", "audit.json")
    assert (code, error) == (0, "")
    assert (tmp_path / "audit.json").is_file()
    code, error = closed(tmp_path, *audit, "--require", "pass")
    assert code == 9
    assert error.startswith("error: ")


def test_an_error_for_nobody_keeps_its_code(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody:
        for arguments, codes in ((["plan", "absent"], [6]), (["plan", "--wrong"], [1, 2])):
            ended = subprocess.run(
                [*PROGRAM, *arguments], cwd=tmp_path, stdout=nobody, stderr=nobody, check=False
            )
            assert ended.returncode in codes
