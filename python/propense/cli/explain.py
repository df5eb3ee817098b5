"""The command ``explain``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer
from rich.table import Table

from propense.cli import options
from propense.cli.commands import STDOUT, put
from propense.cli.importance import asked_kind, in_shell, ranked
from propense.cli.options import LogOptions
from propense.cli.watch import printable
from propense.events import EventLog
from propense.exceptions import DataError, ModelError
from propense.explain import BASE, OTHERS
from propense.instants import from_us, in_words, to_us
from propense.model import Model, load_model
from propense.output import check_writable
from propense.terminal import verbatim_console

if TYPE_CHECKING:
    from propense.client import Client, Standing


def explain(
    model: Annotated[
        Path,
        typer.Argument(
            help="Folder of the model, or with --server its name.", metavar="models/NAME"
        ),
    ],
    user: Annotated[
        str | None,
        typer.Argument(help="Id of a user; left out: what sets each tier apart.", metavar="USER"),
    ] = None,
    *,
    events: options.MaybeEvents = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            help="Instead of --events: a running server, by whose store and model of that name "
            "the USER is explained.",
            metavar="A",
        ),
    ] = None,
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
            "--since",
            help="An earlier as_of: say what changed the score from then.",
            metavar="T",
            callback=options.checked_instant,
        ),
    ] = None,
    importance: Annotated[
        str | None,
        typer.Option(
            "--importance",
            help="Instead: which features matter to the model as a whole. By gain, without --events; "
            "or, with them, by permutation, for any model, or by contribution.",
            metavar="KIND",
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Features to list.")] = 5,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", help="File for the table: .parquet, .csv or .jsonl; - is CSV to the pipe."
        ),
    ] = None,
    token: options.Token = None,
    ca: options.Authority = None,
) -> None:
    """Say why a user has their score, in words, or what sets each tier apart.

    What is listed adds up, exactly, to the logit of the score. With --importance, say which
    features matter; --out then has all of them.
    """
    kind = None
    if importance is not None:
        if user is not None or server is not None or since is not None:
            raise typer.BadParameter("--importance is of a model's folder, without USER or --since")
        kind = asked_kind(importance, with_log=events is not None)
    elif (events is None) == (server is None):
        raise typer.BadParameter("give --events, or --server to ask a running server")
    elif user is None and since is not None:
        raise typer.BadParameter("--since compares the scores of one USER; give the user's id")
    if out is not None and out != STDOUT:
        check_writable(out)
    if server is not None:
        if user is None:
            raise typer.BadParameter("--server explains one USER; give the user's id")
        with options.client(server, token, ca) as client:
            frame, table = served(client, str(model), user, as_of, since, top)
    else:
        loaded, log = load_model(model), None
        if events is not None:
            asked = LogOptions(
                events, profiles, user_column, time, event, event_constant, time_unit
            )
            log = asked.read()
        try:
            if kind is not None:
                frame, table = ranked(loaded, kind, log, as_of, top)
            elif log is not None:
                frame, table = in_log(loaded, log, user, as_of, since, top)
        except ModelError as error:
            raise in_shell(error, model) from error
    if out is not None:
        put(frame, out)
    verbatim_console(stderr=out == STDOUT).print(table)


def in_log(
    model: Model, log: EventLog, user: str | None, as_of: str | None, since: str | None, top: int
) -> tuple[pl.DataFrame, Table]:
    """Explain a user of a log, or the tiers: all of it, and what is shown."""
    if user is None:
        frame = model.explain_tiers(log, as_of=as_of, top=top)
        return frame, tiers_table(model, frame)
    if since is None:
        frame = model.explain(log, users=[user], as_of=as_of, top=top)
        return frame, user_table(user, standing(model, log, frame, as_of), frame)
    frame = model.explain_change(log, users=[user], before=since, after=as_of, top=top)
    before, after = (standing(model, log, frame, instant) for instant in (since, as_of))
    return frame, change_table(user, before, after, frame)


def served(
    client: Client, name: str, user: str, as_of: str | None, since: str | None, top: int
) -> tuple[pl.DataFrame, Table]:
    """Explain a user of a server's store: all of it, and what is shown."""
    # Dates mean the same as for a log: days in the model's time zone.
    timezone = client.get_model(name).timezone
    now, earlier = (
        None if instant is None else from_us(to_us(instant, timezone)) for instant in (as_of, since)
    )
    found = client.explain(user, name, as_of=now, since=earlier, top=top)
    if not found.now.in_audience:
        raise DataError(
            f"user {user!r} is not in the audience as of {in_words(to_us(found.now.as_of))}; "
            "the model says nothing of users outside"
        )
    if found.before is None:
        return found.frame(), user_table(user, said(found.now), found.frame())
    if not found.before.in_audience:
        shown = user_table(user, f"{said(found.now)}\nbefore: {said(found.before)}", found.frame())
        return found.frame(), shown
    return found.frame(), change_table(user, said(found.before), said(found.now), found.frame())


def said(standing: Standing) -> str:
    """Say a standing that a server gave."""
    as_of_us = to_us(standing.as_of)
    if standing.tier is None or standing.score is None or standing.percentile is None:
        return f"not in the audience (as of {in_words(as_of_us)})"
    return in_short(standing.tier, standing.score, standing.percentile, as_of_us)


def user_table(user: str, standing: str, frame: pl.DataFrame) -> Table:
    """Show what moved one user's score, as factors of the odds, from one probability to another."""
    table = Table(title=f"{printable(user)}: {standing}", title_justify="left")
    table.add_column("what")
    for head in ("logit", "odds", "probability"):
        table.add_column(head, justify="right")
    for row in frame.iter_rows(named=True):
        moved = row["contribution"]
        starts = row["feature"] == BASE
        cells = ("", chance(moved)) if starts else (f"× {math.exp(moved):.2f}", "")
        table.add_row(printable(row["words"]), f"{moved:+.3f}", *cells)
    table.add_section()
    total = float(frame["contribution"].cast(pl.Float64).sum())
    table.add_row("score", f"{total:+.3f}", "", chance(total))
    return with_rest(table, frame, "contribution")


def chance(logit: float) -> str:
    """Say the probability that a logit is."""
    return f"{1 / (1 + math.exp(-logit)):.1%}"


def with_rest(table: Table, frame: pl.DataFrame, moved: str) -> Table:
    """Say below a table when what it sums up weighs more than what it lists."""
    rest = pl.col("feature").cast(pl.String) == OTHERS
    listed = ~rest & (pl.col("feature").cast(pl.String) != BASE)
    unsaid, said = (float(frame.filter(rows)[moved].sum()) for rows in (rest, listed))
    if abs(unsaid) > abs(said):
        table.caption = "all other features weigh more than those listed; --top N lists more"
        table.caption_justify = "left"
    return table


def standing(model: Model, log: EventLog, frame: pl.DataFrame, as_of: str | None) -> str:
    """Say the user's score and tier at an as_of."""
    ids = frame[log.user_column.name].head(1).implode()
    scores = model.score(log, as_of=as_of)
    row = scores.filter(pl.col(log.user_column.name).is_in(ids)).row(0, named=True)
    as_of_us = log.span_us[1] + 1 if as_of is None else to_us(as_of, model.features.timezone)
    return in_short(row["tier"], row["score"], row["percentile"], as_of_us)


def in_short(tier: str, score: float, percentile: float, as_of_us: int) -> str:
    """Say a score and a tier."""
    return (
        f"{tier.replace('_', ' ')}, score {score:.4f}, percentile {percentile:.0f} "
        f"(as of {in_words(as_of_us)})"
    )


def change_table(user: str, before: str, after: str, frame: pl.DataFrame) -> Table:
    """Show what changed one user's score."""
    table = Table(title=f"{printable(user)}: {after}\nbefore: {before}", title_justify="left")
    table.add_column("what")
    table.add_column("logit", justify="right")
    table.add_column("odds", justify="right")
    for row in frame.iter_rows(named=True):
        odds = f"× {math.exp(row['change']):.2f}"
        table.add_row(printable(row["words"]), f"{row['change']:+.3f}", odds)
    table.add_section()
    total = float(frame["change"].sum())
    table.add_row("change", f"{total:+.3f}", f"× {math.exp(total):.2f}")
    return with_rest(table, frame, "change")


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
        table.add_row(name, printable(row["words"]), f"{row['apart']:+.3f}")
        last = row["tier"]
    return table
