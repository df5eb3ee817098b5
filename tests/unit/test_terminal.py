"""What commands print fits a terminal, and the commands that they name are there."""

from __future__ import annotations

import json
import math
import shlex
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import typer
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

import propense as pp
from propense.cli.app import app, hint, in_shell
from propense.cli.audit import CHOSEN, HIT, group_table
from propense.cli.deliveries import show
from propense.cli.demo import next_commands
from propense.cli.demo_serve import asking
from propense.cli.explain import user_table
from propense.cli.validate import drift_table
from propense.delivery.control import DestinationState
from propense.event_table import EventColumns
from propense.store import Store
from propense.store_rows import event_rows

WIDTH = 80


def shown(table: Table) -> str:
    """Render for a terminal of the usual width."""
    console = Console(width=WIDTH)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_an_audits_tables_hide_no_number() -> None:
    rng = np.random.default_rng(1)
    users = [f"u{n}" for n in range(4_000)]
    scores = pl.DataFrame({"user_id": users, "score": rng.random(4_000).astype(np.float32)})
    tier = np.where(scores["score"] > 0.8, "most_likely", "least_likely")
    profiles = pl.DataFrame(
        {
            "user_id": users,
            "country": rng.choice(["Bosnia and Herzegovina", "GB"], 4_000),
            "age": rng.integers(18, 80, 4_000),
        }
    )
    found = pp.audit(
        scores.with_columns(tier=pl.Series(tier)),
        pp.read_profiles(profiles),
        {"country": None, "age": [30, 45]},
    )
    for table in (found.groups, found.pairs):
        rate = table["selection_rate"].drop_nulls()[0]
        text = shown(group_table(table, "groups", CHOSEN))
        assert "…" not in text
        assert f"{rate:.1%}" in text
    row = {name: 0.25 for each in HIT for name in (each, f"{each}_low", f"{each}_high")}
    hit = pl.DataFrame(
        [{"by": "country × age", "group": "GB × 45 and over", "people": 40_204} | row]
    )
    assert "…" not in shown(group_table(hit, "groups", HIT))
    missing = hit.with_columns(group=pl.lit("DE × (missing)"), recall_high=1.0)
    assert "…" not in shown(group_table(missing, "groups", HIT))


def test_the_demo_names_commands_that_there_are() -> None:
    scores = pl.DataFrame({"user_id": ["u1", "u2"], "score": [0.2, 0.9]})
    lines = next_commands(Path("demo"), "buys", scores, "2025-05-25", 2.6)
    group = typer.main.get_command(app)
    assert {line.split()[1] for line in lines} == {"explain", "plan", "audit", "validate"}
    assert " u2 " in lines[0]
    assert " --target 3 " in lines[1]
    # Of the scores alone an audit cannot say what the model reads.
    assert lines[2].startswith("propense audit demo/models/buys --events ")
    for line in lines:
        _, name, *arguments = shlex.split(line)
        command = group.commands[name]  # type: ignore[attr-defined]
        # An option that there is not is an error.
        command.make_context(name, arguments)


def test_the_demo_asks_a_server_as_of_the_instant_that_it_compared_at() -> None:
    grpcurl, python = asking("127.0.0.1:50051", "u2", datetime(2025, 5, 25, tzinfo=UTC))
    request = json.loads(shlex.split(grpcurl)[3])
    assert request == {"user_id": "u2", "as_of": "2025-05-25T00:00:00Z"}
    assert ".score_user('u2', as_of='2025-05-25T00:00:00Z')" in shlex.split(python)[2]


@pytest.mark.parametrize(("others", "said"), [(0.5, False), (-2.0, True)])
def test_an_explanation_keeps_odds_and_probabilities_apart(others: float, said: bool) -> None:
    frame = pl.DataFrame(
        {
            "feature": ["(base)", "count_all", "(others)"],
            "contribution": [-3.5, 1.0, others],
            "words": ["where everyone starts", "9 events", "all other features"],
        },
        schema_overrides={"contribution": pl.Float32},
    )
    table = user_table("u1", "most likely", frame)
    cells = {str(column.header): list(column.cells) for column in table.columns}
    total = 1 / (1 + math.exp(3.5 - 1.0 - others))
    assert cells["odds"] == ["", "× 2.72", f"× {math.exp(others):.2f}", ""]
    assert cells["probability"] == ["2.9%", "", "", f"{total:.1%}"]
    assert ("--top" in str(table.caption)) is said


def test_attributes_without_profiles_are_asked_for() -> None:
    log = pp.read_events(
        pl.DataFrame({"user_id": ["a"], "ts": [1], "event": ["visit"]}), time_unit="s"
    )
    with pytest.raises(pp.ExpressionError) as caught:
        pp.compute_features(log, ["attr(age)"], as_of="2025-01-01")
    asked = ["propense", "score", "models/buys", "--events", "log.parquet"]
    assert "--profiles" in hint(caught.value, asked)
    assert hint(caught.value, [*asked, "--profiles", "profiles.parquet"]) == ""


def test_of_a_served_model_that_cannot_be_explained_importance_is_offered() -> None:
    refused = pp.ServiceError("model buys: it is no sum of trees", reason="NOT_EXPLAINED")
    assert " --importance permutation " in hint(refused, ["propense", "explain"])
    assert hint(pp.ServiceError("gone", reason="USER_UNKNOWN"), ["propense", "explain"]) == ""


def test_what_moved_is_named_in_full() -> None:
    name = "email_received_recency_per_email_received_gap_mean_by_name"
    row = {"of": "feature", "name": name, "stability": 1.7, "chance": 0.002, "reading": "shifted"}
    found = SimpleNamespace(drift=pl.DataFrame([row]))
    text = shown(drift_table(found))  # type: ignore[arg-type]
    assert "…" not in text
    cells = [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")]
    assert "".join(cells) == name


@pytest.mark.parametrize("width", [40, WIDTH, 200])
def test_how_deliveries_stand_fits_a_terminal(width: int) -> None:
    counts = dict.fromkeys(("unread", "waiting", "retrying", "held", "dead", "dropped"), 0)
    state = DestinationState(
        name="warehouse",
        kind="postgresql",
        read_up_to=12,
        **counts,
        delivered=1_234,
        failures=7,
        oldest_s=None,
        missing_segments={},
        paused="by hand",
        last_error=None,
        last_error_at=None,
        last_delivered_at=None,
    )
    console = Console(width=width, force_terminal=True, highlight=False)
    with console.capture() as capture:
        show([state], console)
    text = capture.get()
    assert "…" not in text
    said = " ".join(text.split())
    for part in ("warehouse", "postgresql", "paused: by hand", "1,234", "retrying", "failures"):
        assert part in said


def test_a_store_that_is_open_says_how_to_go_on() -> None:
    held = pp.DataError("store/ is open elsewhere; a store has one writer at a time")
    assert "--server" in hint(held, ["propense", "ingest"])
    only = "; stop the server that has it open"
    assert hint(held, ["propense", "store", "check", "ingest"]) == only


def test_where_no_server_answers_one_is_to_be_started() -> None:
    nobody = pp.UnavailableError("failed to connect to all addresses", code="UNAVAILABLE")
    assert "propense serve" in hint(nobody, ["propense", "clock"])
    stopping = pp.UnavailableError("the server is stopping", code="UNAVAILABLE", reason="STOPPING")
    assert hint(stopping, ["propense", "clock"]) == ""


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        (["who", "ts", "event"], "--user …"),
        (["user_id", "when", "event"], "--time …"),
        (["user_id", "ts", "kind"], "--event … or give --event-constant …"),
        (["user_id", "ts", "event"], "--time-unit 's', 'ms'"),
    ],
)
def test_options_are_named_and_not_parameters(columns: list[str], named: str) -> None:
    with pytest.raises(pp.DataError) as caught:
        pp.read_events(pl.DataFrame([["a"], [1], ["visit"]], schema=columns))
    said = in_shell(str(caught.value))
    assert named in said
    assert "=" not in said
    assert in_shell("gone; list_segments() names all") == "gone; propense segments names all"


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("train", ['name = "buys_again"', 'when = "count(purchase) >= 1"', 'horizon = "90d"']),
        ("segments put", ['name = "at_risk"', "rule = \"count(support_contact, '30d') >= 3\""]),
    ],
)
def test_an_example_in_help_can_be_copied(
    name: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    shown = CliRunner().invoke(app, [*name.split(), "--help"]).output.splitlines()
    assert [line.strip() for line in shown if " = " in line] == lines


@pytest.mark.parametrize("name", ["plan", "audit", "validate"])
def test_paragraphs_of_help_flow(name: str) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    assert "\n\n" in command.help
    assert "\n" not in command.help.replace("\n\n", "")


def test_what_is_read_of_a_store_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = pl.DataFrame({"user_id": ["a"], "ts": [1], "event": ["visit"]})
    folder = tmp_path / "store"
    with Store(folder) as store:
        store.ingest(
            event_rows(events, EventColumns(time_unit="s"), event_id=None, number_ties=True)
        )
        store.compact()
    with pp.progress_shown():
        pp.open_log(folder)
    said = capsys.readouterr().err
    assert f"reading {folder}: " in said
    assert "reading the lazy frame" not in said.split("compacting")[-1]
