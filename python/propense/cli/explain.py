"""The command ``explain``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from propense.cli import options
from propense.cli.commands import STDOUT, put
from propense.cli.options import LogOptions
from propense.events import EventLog
from propense.explain import BASE
from propense.instants import in_words, to_us
from propense.model import Model, load_model
from propense.output import check_writable


def explain(
    model: Annotated[Path, typer.Argument(help="Folder of the model.", metavar="models/NAME")],
    user: Annotated[
        str | None,
        typer.Argument(help="Id of a user; left out: what sets each tier apart.", metavar="[USER]"),
    ] = None,
    *,
    events: options.Events,
    profiles: options.ProfilesPath = None,
    user_column: options.UserColumn = "user_id",
    time: options.TimeColumn = None,
    event: options.EventColumn = "event",
    event_constant: options.EventConstant = None,
    time_unit: options.TimeUnit = None,
    as_of: options.AsOf = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", help="An earlier as_of: say what changed the score from then.", metavar="T"
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Features to list.")] = 5,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", help="File for the table: .parquet, .csv or .jsonl; - is CSV to the pipe."
        ),
    ] = None,
) -> None:
    """Say why a user has their score, in words, or what sets each tier apart.

    What is listed adds up, exactly, to the logit of the score.
    """
    if user is None and since is not None:
        raise typer.BadParameter("--since compares the scores of one USER; give the user's id")
    if out is not None and out != STDOUT:
        check_writable(out)
    loaded = load_model(model)
    log = LogOptions(events, profiles, user_column, time, event, event_constant, time_unit).read()
    if user is None:
        frame = loaded.explain_tiers(log, as_of=as_of, top=top)
        shown = [tiers_table(loaded, frame)]
    elif since is None:
        frame = loaded.explain(log, users=[user], as_of=as_of, top=top)
        shown = [user_table(loaded, log, user, frame, as_of)]
    else:
        frame = loaded.explain_change(log, users=[user], before=since, after=as_of, top=top)
        shown = [change_table(loaded, log, user, frame, since, as_of)]
    if out is not None:
        put(frame, out)
    console = Console(stderr=out == STDOUT)
    for table in shown:
        console.print(table)


def user_table(
    model: Model, log: EventLog, user: str, frame: pl.DataFrame, as_of: str | None
) -> Table:
    """Show what moved one user's score, as factors of the odds."""
    table = Table(title=f"{user}: {standing(model, log, frame, as_of)}", title_justify="left")
    table.add_column("what")
    table.add_column("logit", justify="right")
    table.add_column("odds", justify="right")
    for row in frame.iter_rows(named=True):
        moved = row["contribution"]
        odds = (
            f"{1 / (1 + math.exp(-moved)):.1%}"
            if row["feature"] == BASE
            else f"× {math.exp(moved):.2f}"
        )
        table.add_row(row["words"], f"{moved:+.3f}", odds)
    table.add_section()
    total = frame["contribution"].cast(pl.Float64).sum()
    table.add_row("score", f"{total:+.3f}", f"{1 / (1 + math.exp(-total)):.1%}")
    return table


def standing(model: Model, log: EventLog, frame: pl.DataFrame, as_of: str | None) -> str:
    """Say the user's score and tier at an as_of."""
    ids = frame[log.user_column.name].head(1).implode()
    scores = model.score(log, as_of=as_of)
    row = scores.filter(pl.col(log.user_column.name).is_in(ids)).row(0, named=True)
    as_of_us = log.span_us[1] + 1 if as_of is None else to_us(as_of, model.features.timezone)
    return (
        f"{row['tier'].replace('_', ' ')}, score {row['score']:.4f}, percentile "
        f"{row['percentile']:.0f} (as of {in_words(as_of_us)})"
    )


def change_table(
    model: Model, log: EventLog, user: str, frame: pl.DataFrame, since: str, as_of: str | None
) -> Table:
    """Show what changed one user's score."""
    before, after = (standing(model, log, frame, instant) for instant in (since, as_of))
    table = Table(title=f"{user}: {after}\nbefore: {before}", title_justify="left")
    table.add_column("what")
    table.add_column("logit", justify="right")
    table.add_column("odds", justify="right")
    for row in frame.iter_rows(named=True):
        table.add_row(row["words"], f"{row['change']:+.3f}", f"× {math.exp(row['change']):.2f}")
    table.add_section()
    total = float(frame["change"].sum())
    table.add_row("change", f"{total:+.3f}", f"× {math.exp(total):.2f}")
    return table


def tiers_table(model: Model, frame: pl.DataFrame) -> Table:
    """Show what sets each tier apart."""
    title = f"{model.goal.name}: what sets each tier apart, by what it adds to the logit"
    table = Table(title=title, title_justify="left")
    table.add_column("tier")
    table.add_column("typical")
    table.add_column("logit", justify="right")
    last = None
    for row in frame.iter_rows(named=True):
        if last not in (None, row["tier"]):
            table.add_section()
        name = "" if row["tier"] == last else row["tier"].replace("_", " ")
        table.add_row(name, row["words"], f"{row['apart']:+.3f}")
        last = row["tier"]
    return table
