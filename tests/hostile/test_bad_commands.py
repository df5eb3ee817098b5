"""What goes wrong on the command line is one line on standard error, an exit code and no files."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import propense as pp
from propense.cli import app as cli

GOAL = """
name = "buys"
when = "count(buy) >= 1"
horizon = "30d"

[features]
expressions = ["count(*)"]
"""
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def place(
    tmp_path: Path, random_events: Callable[..., pl.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> Path:
    random_events(3).write_parquet(tmp_path / "log.parquet")
    (tmp_path / "goal.toml").write_text(GOAL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program in this process; it must leave the folder as it was."""

    def call(*arguments: str) -> tuple[int, str]:
        before = sorted(place.rglob("*"))
        monkeypatch.setattr("sys.argv", ["propense", *arguments])
        monkeypatch.setattr("warnings.showwarning", None)
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert sorted(place.rglob("*")) == before
        code = left.value.code
        return (code if isinstance(code, int) else 0), capsys.readouterr().err

    return call


def one_line(error: str) -> str:
    """The error, after what progress says of the steps before it."""
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, error
    assert error.splitlines()[-1] == lines[0], error
    return lines[0]


TRAIN = ("train", "goal.toml", "--events", "log.parquet", "--out", "model")


def test_events_that_cannot_be_read_exit_3(run: Run, place: Path) -> None:
    code, error = run("train", "goal.toml", "--events", "absent.parquet", "--out", "model")
    assert code == 3
    assert "absent.parquet" in one_line(error)
    code, error = run(*TRAIN, "--user", "userid")
    assert code == 3
    assert "'userid'" in one_line(error)
    assert "did you mean 'user_id'" in error
    data = (place / "log.parquet").read_bytes()
    (place / "log.parquet").write_bytes(data[: len(data) // 2])
    code, error = run(*TRAIN)
    assert code == 3
    assert "log.parquet" in one_line(error)


@pytest.mark.parametrize(
    ("good", "bad", "found"),
    [
        ("count(buy)", "count(by)", 'did you mean "buy"'),
        ("count(buy) >= 1", "sum(buy.amont) > 3", 'did you mean "amount"'),
        ('horizon = "30d"', 'horizon = "soon"', "goal.toml: horizon"),
        ('name = "buys"', "", "goal.toml: name"),
        ("[features]", "[features", "goal.toml is not TOML"),
        ('"count(*)"', '"cuont(*)"', 'did you mean "count"'),
        ("[features]", '[features]\ntimezone = "Mars/X"', "Mars/X"),
        ("[features]", '[tiers]\npolicy = "best"\n[features]', "goal.toml: tiers"),
        (
            "[features]",
            "[tiers]\nmost = 2.0\n[features]",
            "goal.toml: tiers: quantile tiers: most=2.0",
        ),
        ("[features]", "[tiers]\nmots = 0.5\n[features]", "goal.toml: tiers"),
        ("[features]", '[tiers]\npolicy = "capacity"\nmost = nan\n[features]', "most=nan must be"),
        ("[features]", '[tiers]\npolicy = "capacity"\nmost = inf\n[features]', "most=inf must be"),
    ],
)
def test_goals_that_are_not_valid_exit_4(
    good: str, bad: str, found: str, run: Run, place: Path
) -> None:
    (place / "goal.toml").write_text(GOAL.replace(good, bad))
    code, error = run(*TRAIN)
    assert code == 4
    assert found in one_line(error)


def test_a_goal_file_that_is_not_there_exits_4(run: Run) -> None:
    code, error = run("train", "none.toml", "--events", "log.parquet", "--out", "model")
    assert code == 4
    assert "none.toml cannot be read" in one_line(error)


def test_logs_that_do_not_allow_the_training_exit_5(run: Run, place: Path) -> None:
    code, error = run(*TRAIN, "--as-of", "2020-01-01")
    assert code == 5
    assert "2020-01-01" in one_line(error)
    (place / "goal.toml").write_text(GOAL.replace(">= 1", ">= 1000"))
    code, error = run(*TRAIN)
    assert code == 5
    assert "only 0 reached the goal" in one_line(error)


@pytest.mark.parametrize(
    "command",
    [
        "train goal.toml --out model --as-of",
        "export goal.toml --out frame.csv --as-of",
        "score model --out scores.csv --as-of",
        "segment --segments rules.toml --out members.csv --as-of",
        "explain model u1 --as-of",
        "explain model u1 --since",
        "audit model --profiles people.csv --protected sex --as-of",
        "validate model --as-of",
    ],
)
@pytest.mark.parametrize("instant", ["soon", "2025-13-01", "01.05.2025"])
def test_what_is_no_instant_is_told_before_anything_is_read(
    command: str, instant: str, run: Run, place: Path
) -> None:
    for name in ("log.parquet", "goal.toml"):
        (place / name).write_bytes(b"never read")
    code, error = run(*command.split(), instant, "--events", "log.parquet")
    assert code == 3
    option = command.split()[-1]
    assert f"{option}: {instant!r} is not an instant; write a date such as" in one_line(error)


def test_a_clock_is_told_of_what_is_no_instant_before_it_is_asked(run: Run) -> None:
    code, error = run("clock", "--until", "soon")
    assert code == 3
    assert "--until: 'soon' is not an instant" in one_line(error)


def test_models_that_cannot_be_used_exit_6(run: Run, place: Path) -> None:
    score = ("score", "model", "--events", "log.parquet", "--out", "scores.csv")
    code, error = run(*score)
    assert code == 6
    assert "model is not a model directory" in one_line(error)
    (place / "model").mkdir()
    (place / "model" / "manifest.json").write_text('{"format": 99}')
    code, error = run(*score)
    assert code == 6
    assert "format 99" in one_line(error)


@pytest.mark.parametrize("out", ["goal.toml/model", "goal.toml", "."])
def test_a_model_that_cannot_be_written_exits_7_before_the_log_is_read(
    out: str, run: Run, place: Path
) -> None:
    (place / "log.parquet").write_bytes(b"never read")
    code, error = run("train", "goal.toml", "--events", "log.parquet", "--out", out)
    assert code == 7
    assert out in one_line(error)


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("goal.toml/x.csv", "goal.toml/x.csv cannot be written"),
        ("scores.xlsx", ".parquet, .csv, .jsonl"),
    ],
)
def test_a_table_that_cannot_be_written_exits_7_before_the_log_is_read(
    out: str, said: str, run: Run, place: Path
) -> None:
    (place / "log.parquet").write_bytes(b"never read")
    code, error = run("export", "goal.toml", "--events", "log.parquet", "--out", out)
    assert code == 7
    assert said in one_line(error)


def test_a_place_that_only_writing_tells_of_exits_7(run: Run) -> None:
    code, error = run("export", "goal.toml", "--events", "log.parquet", "--out", "/proc/none/x.csv")
    assert code == 7
    assert "/proc/none/x.csv cannot be written" in one_line(error)


@pytest.mark.parametrize(
    "name", ["events.parquet", "goal.toml", "models/buys_ticket", "demo_store", "report.html"]
)
def test_a_demo_that_would_replace_other_files_exits_7(name: str, run: Run, place: Path) -> None:
    own = place / "mine" / name
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    code, error = run("demo", "--users", "1000", "--out", "mine", "--serve")
    assert code == 7
    assert f"mine/{name} would be lost, and nothing says" in one_line(error)


@pytest.mark.parametrize("scaling", ["1e6", "1000000,", "-5", "100", "ten"])
def test_sizes_that_cannot_be_measured_exit_2(scaling: str, run: Run) -> None:
    code, error = run("bench", "--only", "scaling", "--scaling", scaling)
    assert code == 2
    assert f"--scaling {scaling}: expected whole numbers" in error
    assert "Traceback" not in error


def test_scores_that_are_no_numbers_exit_3(run: Run, place: Path) -> None:
    tiers = ["most_likely", "least_likely"] * 200
    scores = pl.DataFrame({"user_id": range(400), "score": ["0.5", "n/a"] * 200, "tier": tiers})
    scores.write_csv(place / "scores.csv")
    pl.DataFrame({"user_id": range(400), "sex": ["f", "m"] * 200}).write_csv(place / "people.csv")
    code, error = run("audit", "scores.csv", "--profiles", "people.csv", "--protected", "sex")
    assert code == 3
    assert "'score' holds 'n/a'; expected probabilities" in one_line(error)


def test_an_interruption_exits_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("propense.cli.commands.train_model", interrupted)
    code, error = run(*TRAIN)
    assert code == 130
    assert "Traceback" not in error
    assert error.splitlines()[-1] == "interrupted: nothing was written"


def test_an_error_of_our_own_without_a_code_exits_1(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed(*_args: object, **_kwargs: object) -> None:
        raise pp.PropenseError("something [bold]odd[/bold] in a[1].csv")

    monkeypatch.setattr("propense.cli.commands.train_model", failed)
    code, error = run(*TRAIN)
    assert code == 1
    assert one_line(error) == "error: something [bold]odd[/bold] in a[1].csv"


def test_a_rule_is_shown_as_it_was_written_so_that_columns_count(run: Run, place: Path) -> None:
    rule = "count(*)    >=    1 AND count(buuy) > 1"
    (place / "odd.toml").write_text(f'rule = "{rule}"')
    code, error = run("segment", "--events", "log.parquet", "--segments", "odd.toml", "--out", "-")
    assert code == 4
    column = rule.index("buuy") + 1
    assert f'at column {column} of "{rule}"; did you mean "buy"?' in one_line(error)


@pytest.mark.parametrize(
    ("rule", "hint"),
    [("attr(plan) = 'plus'", "--profiles"), ("score(buys) > 0.5", "--models")],
)
def test_a_segment_that_lacks_an_option_is_told_which(
    rule: str, hint: str, run: Run, place: Path
) -> None:
    (place / "odd.toml").write_text(f'rule = "{rule}"')
    code, error = run("segment", "--events", "log.parquet", "--segments", "odd.toml", "--out", "-")
    assert code == 4
    assert one_line(error).endswith(f"s come with {hint}")


def test_warnings_are_notes_in_full(run: Run, place: Path) -> None:
    events = pl.read_parquet(place / "log.parquet")
    holed = events.with_columns(pl.when(pl.int_range(pl.len()) > 5).then("user_id"))
    holed.write_parquet(place / "a[b] [red].parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, error = run(
            "train", "goal.toml", "--events", "a[b] [red].parquet", "--out", "model",
            "--as-of", "2020-01-01",
        )  # fmt: skip
    assert code == 5
    assert "note: a[b] [red].parquet: 6 rows without a user id were dropped" in error
