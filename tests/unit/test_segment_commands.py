"""The commands about segments of a server: what they print, on a terminal, in a pipe, for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

import propense as pp
from propense.cli import app as cli

pytest.importorskip("grpc")

from segment_stand_in import StandIn, standing_in

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def servicer() -> StandIn:
    servicer = StandIn()
    servicer.breaks = []
    return servicer


@pytest.fixture
def address(servicer: StandIn) -> Iterator[str]:
    with standing_in(servicer) as address:
        yield address


@pytest.fixture
def run(
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run the program in this process, on the stand-in."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "150")
        monkeypatch.setattr("sys.argv", ["propense", *arguments, "--server", address])
        monkeypatch.setattr("warnings.showwarning", None)
        with pytest.raises(SystemExit) as left:
            cli.main()
        code, written = left.value.code, capsys.readouterr()
        return (code if isinstance(code, int) else 0), written.out, written.err

    return call


def test_a_pipe_gets_a_line_a_segment(run: Run) -> None:
    code, out, _ = run("segments")
    assert code == 0
    assert out == "buys.most_likely\t2\ttier of buys\nvip\t3\tcount(buy) > 9\n"


def test_a_terminal_gets_a_tree(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    code, out, _ = run("segments")
    assert code == 0
    assert "9 users at 1970-01-01T00:00:07Z" in out
    assert "vip  3 members  (33.3 %)  count(buy) > 9" in out
    assert "the tiers of the model buys" in out
    assert "buys.most_likely  2 members  (22.2 %)" in out
    (row,) = (line for line in out.splitlines() if "50.0 %" in line)
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "buys.most_likely",
        "vip",
        "1",
        "50.0 %",
        "33.3 %",
    ]


def test_a_program_gets_json(run: Run) -> None:
    held = json.loads(run("segments", "--json")[1])
    assert (held["users"], held["last_transition"]) == (9, 2)
    assert held["overlaps"] == [{"segments": ["buys.most_likely", "vip"], "users": 1}]
    tier, vip = held["segments"]
    assert (tier["name"], tier["tier_of"], tier["members"]) == ("buys.most_likely", "buys", 2)
    assert (vip["rule"], vip["reads_models"]) == ("count(buy) > 9", ["buys"])
    assert vip["valid_from"] == "1970-01-01T00:00:00.000005+00:00"
    assert json.loads(run("segments", "show", "vip", "--json")[1]) == vip


def test_one_segment_is_shown_as_its_file(run: Run) -> None:
    code, out, _ = run("segments", "show", "vip")
    assert code == 0
    shown = pp.Segment.from_toml(out)
    assert (shown.name, shown.rule) == ("vip", "count(buy) > 9")
    assert "# 3 members" in out
    assert "# a tier of the model buys" in run("segments", "show", "buys.most_likely")[1]
    code, _, error = run("segments", "show", "absent")
    assert code == 8
    assert "no segment 'absent'" in error


@pytest.mark.parametrize(
    "command", [["watch", "--after", "0", "--count", "1"], ["clock"], ["segments"]]
)
def test_a_server_may_still_be_called_an_address(
    command: list[str],
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["propense", *command, "--address", address])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert not left.value.code
    monkeypatch.setattr("sys.argv", ["propense", *command, "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    shown = capsys.readouterr().out
    assert "--server" in shown
    assert "--address" not in shown


def test_members_are_csv_or_a_file(run: Run, tmp_path: Path) -> None:
    assert run("segments", "members", "vip")[1] == "user_id\na\nb\nc\n"
    assert run("segments", "members", "vip", "--out", "vip.parquet")[0] == 0
    assert pl.read_parquet(tmp_path / "vip.parquet")["user_id"].to_list() == ["a", "b", "c"]
    code, _, error = run("segments", "members", "vip", "--out", "vip.xls")
    assert code == 7
    assert "vip.xls" in error


def test_files_are_put_together(run: Run, servicer: StandIn, tmp_path: Path) -> None:
    (tmp_path / "vip.toml").write_text("name = 'vip'\nrule = 'count(buy) > 9'")
    servicer.backfills = 3
    code, out, _ = run("segments", "put", "vip.toml")
    assert (code, out) == (0, "vip: changed, 3 members\n")
    assert servicer.backfills == 0
    code, out, _ = run("segments", "put", "vip.toml", "--dry-run")
    assert out == "vip: would change\n"
    assert servicer.seen[-1].dry_run
    (tmp_path / "bad.toml").write_text("name = 'bad'\nrule = 'count(buy'")
    code, _, error = run("segments", "put", "vip.toml", "bad.toml")
    assert code == 4
    assert "bad.toml" in error
    assert servicer.seen[-1].dry_run, "nothing was sent"


def test_what_is_said_before_the_subcommand_counts(
    run: Run, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # --address is what the option was called at first.
    for option in ("--server", "--address"):
        monkeypatch.setattr("sys.argv", ["propense", "segments", option, address, "show", "vip"])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert not left.value.code
        assert "# 3 members" in capsys.readouterr().out
    assert json.loads(run("segments", "--json", "show", "vip")[1])["members"] == 3


def test_a_watch_prints_a_line_a_transition(run: Run, servicer: StandIn) -> None:
    code, out, error = run("watch", "vip", "--after", "8", "--count", "2")
    assert code == 0
    assert out.splitlines() == [
        "1970-01-01T00:00:00Z  exit   vip  u9  time  9",
        "1970-01-01T00:00:00Z  enter  vip  u10  time  10",
    ]
    assert "watching vip" in error
    assert "after transition 8" in error
    out = run("watch", "--after", "9", "--count", "1", "--json")[1]
    assert json.loads(out) == {
        "number": 10,
        "user_id": "u10",
        "segment": "vip",
        "kind": "enter",
        "time": "1970-01-01T00:00:00.000010+00:00",
        "cause": "time",
    }
    code, _, error = run("watch", "--after", "11")
    assert code == 8
    assert "the last transition is 10" in error


def test_a_users_id_does_not_steer_the_terminal() -> None:
    from propense.cli.watch import printable

    assert printable("\x1b[2Jü\n\u202e") == "\\x1b[2Jü\\n\\u202e"


def test_a_clock_is_told_and_advanced(run: Run, servicer: StandIn) -> None:
    assert run("clock")[1] == "1970-01-01T00:00:00Z (simulated)\n"
    code, out, _ = run("clock", "--advance", "30d")
    assert (code, out) == (0, "1970-01-01T00:00:00Z (1 transition)\n")
    assert servicer.seen[-1].by.ToSeconds() == 30 * 86_400
    assert run("clock", "--advance", "1d", "--until", "2026-01-01")[0] == 2
    code, _, error = run("clock", "--advance", "a month")
    assert code == 4
    assert "a month" in error
