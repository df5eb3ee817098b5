"""Names and values of users' data that mean something to a terminal are printed as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from propense.cli.app import app
from propense.progress import progress_shown

# An end of markup that never began, an emoji's name, and a style.
ODD, HOME = "[/x] :x: [red]", "[/home] [red]"
WHEN = f"count(buy) FILTER (WHERE category = '{ODD}') >= 1"
GOAL = f"""
name = "buys"
when = "{WHEN}"
horizon = "30d"

[features]
expressions = ["count(view) FILTER (WHERE category = '{ODD}')", "recency(*)", 'attr("{HOME}")']
"""
GROUPS = ("[unknown]", "[/b]", ":x:")
LOG = ("--events", "@/log[b].parquet", "--profiles", "@/people[b].parquet")
MODEL = "@/models/[red]"


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, random_events: Callable[..., pl.DataFrame]
) -> Path:
    folder = tmp_path_factory.mktemp("odd") / "[bold]"
    folder.mkdir()
    events = random_events(5, rows=20_000, users=600)
    odd = pl.format("[/u{}]", "user_id").alias("user_id")
    category = pl.col("category").replace("ale", ODD)
    events.with_columns(odd, category).write_parquet(folder / "log[b].parquet")
    users = events.select(pl.col("user_id").unique().sort())
    groups = pl.Series(HOME, [GROUPS[place % 3] for place in range(users.height)])
    users.select(odd, groups).write_parquet(folder / "people[b].parquet")
    (folder / "goal.toml").write_text(GOAL)
    return folder


@pytest.fixture
def run(place: Path) -> Callable[..., str]:
    """Run the program and give what it printed, on one line; ``@`` in an argument is the place."""

    def call(*arguments: str) -> str:
        given = [argument.replace("@", str(place)) for argument in arguments]
        with progress_shown():
            done = CliRunner(env={"COLUMNS": "250", "NO_COLOR": "1"}).invoke(app, given)
        assert done.exit_code == 0, (done.output, done.exception)
        return " ".join(done.output.split())

    return call


def test_what_users_data_holds_is_printed_as_it_is(run: Callable[..., str], place: Path) -> None:
    out = run("train", "@/goal.toml", *LOG, "--as-of", "2024-06-15", "--out", MODEL)
    assert f"model: {place}/models/[red]" in out
    assert f"reading {place}/log[b].parquet: " in out

    out = run("score", MODEL, *LOG, "--out", "@/scores[b].csv")
    assert WHEN in out
    assert f"scores: {place}/scores[b].csv" in out

    scores = pl.read_csv((place / "scores[b].csv").read_bytes())
    best, worst = (scores.sort("score")["user_id"][row] for row in (-1, 0))
    for user in (best, worst):
        out = run("explain", MODEL, user, *LOG, "--top", "3")
        assert f"{user}: " in out
        assert f"views with category = {ODD}" in out
        assert any(f"{HOME} {group}" in out for group in GROUPS)
    assert f"views with category = {ODD}" in run("explain", MODEL, *LOG)
    assert f"{best}: " in run("explain", MODEL, best, *LOG, "--since", "2024-06-01")

    assert WHEN in run("plan", MODEL, "--target", "100", "--scores", "@/scores[b].csv")
    assert f"report: {place}/report[b].html" in run("report", MODEL, "--out", "@/report[b].html")
    out = run("validate", MODEL, *LOG, "--out", "@/found[b].json")
    assert WHEN in out
    assert f"validation: {place}/found[b].json" in out

    for what in (("@/scores[b].csv", *LOG[2:]), (MODEL, *LOG)):
        out = run("audit", *what, "--protected", HOME, "--out", "@/audit[b].json")
        assert HOME in out
        for group in GROUPS:
            assert f" {group} " in out
        assert f"audit: {place}/audit[b].json" in out


def test_segments_of_odd_names_are_printed_as_they_are(
    run: Callable[..., str], place: Path
) -> None:
    (place / "views[b].toml").write_text(
        f'name = "views"\nrule = "count(view) FILTER (WHERE category = \'{ODD}\') > 1"\n'
    )
    out = run("segment", *LOG[:2], "--segments", "@/views[b].toml", "--out", "@/members[b].csv")
    assert f"segments: {place}/members[b].csv" in out
    assert f"{place}/store[b]: " in run("ingest", LOG[1], "--store", "@/store[b]")
