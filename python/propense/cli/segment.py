"""The command ``segment``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.table import Table

from propense.cli import options
from propense.cli.commands import STDOUT, put
from propense.cli.options import LogOptions
from propense.output import check_writable
from propense.segments.files import read_segments
from propense.segments.membership import segment as members_of
from propense.terminal import verbatim_console


def segment(
    events: options.Events,
    segments: Annotated[
        list[Path],
        typer.Option(
            "--segments",
            help="Folder of segment files (TOML), or one of them; may be given again.",
            metavar="FOLDER",
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", help="File for the frame: .parquet, .csv or .jsonl; - is CSV to the pipe."
        ),
    ],
    models: Annotated[
        Path | None,
        typer.Option("--models", help="Folder whose folders are the models.", metavar="M"),
    ] = None,
    profiles: options.ProfilesPath = None,
    user: options.UserColumn = "user_id",
    time: options.TimeColumn = None,
    event: options.EventColumn = "event",
    event_constant: options.EventConstant = None,
    time_unit: options.TimeUnit = None,
    as_of: options.AsOf = None,
) -> None:
    """Say who is in which segment: user_id and a true or false for each segment and tier.

    A server with these events, models and segments gives the same answer at the same instant.
    """
    if out != STDOUT:
        check_writable(out)
    asked = read_segments(segments)
    log = LogOptions(events, profiles, user, time, event, event_constant, time_unit).read()
    frame = members_of(log, asked, models, as_of=as_of)
    put(frame, out)
    console = verbatim_console(stderr=out == STDOUT)
    console.print(_counted(frame.drop(log.user_column.name)))
    if out != STDOUT:
        console.print(f"segments: {out}", soft_wrap=True)


def _counted(members: pl.DataFrame) -> Table:
    table = Table(title=f"{members.height:,} users", title_justify="left")
    table.add_column("segment", overflow="fold")
    table.add_column("members", justify="right")
    table.add_column("share", justify="right")
    for column in members:
        inside = int(column.sum())
        share = f"{100 * inside / members.height:.1f} %" if members.height else "–"
        table.add_row(column.name, f"{inside:,}", share)
    return table
