"""The command ``ingest``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from propense.cli import options
from propense.cli.ending import if_interrupted
from propense.event_table import EventColumns
from propense.receipt import NOTHING_WRITTEN
from propense.store import Store
from propense.store_rows import event_rows, has_saved_profiles, profile_rows
from propense.terminal import verbatim_console

Log = Annotated[
    list[str],
    typer.Argument(
        help="Event log: paths or globs of .parquet, .csv or .jsonl files, or the folder of a saved log.",
        metavar="LOG…",
    ),
]

KEPT = "what was acknowledged so far is kept, and sending all of it again is harmless"


def ingest(
    log: Log,
    store: Annotated[
        Path | None,
        typer.Option("--store", help="Folder of the store; made if it is not there.", metavar="S"),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server", help="Or a running server, which has its store open.", metavar="A"
        ),
    ] = None,
    profiles: options.ProfilesPath = None,
    user: options.UserColumn = "user_id",
    time: options.TimeColumn = None,
    event: options.EventColumn = "event",
    event_id: Annotated[
        str | None,
        typer.Option(
            "--event-id",
            help="Column of ids of events; left out: event_id if there is one, else rows alike in "
            "user, time and type are numbered, so that each counts.",
            metavar="C",
        ),
    ] = None,
    event_constant: options.EventConstant = None,
    time_unit: options.TimeUnit = None,
    token: options.Token = None,
    ca: options.Authority = None,
) -> None:
    """Put a log into a store; when it returns, every event is safe on disk.

    Doing it again changes nothing: events that the store has already are counted, not kept twice.
    """
    if (store is None) == (server is None):
        raise typer.BadParameter("give --store, or --server if one has the store open")
    if profiles is None and has_saved_profiles(log):
        profiles = log[0]
    names = EventColumns(user, time, event, event_constant, time_unit)
    users, taken = 0, NOTHING_WRITTEN
    with if_interrupted(KEPT):
        if server is not None:
            with options.client(server, token, ca) as client:
                if profiles is not None:
                    users = client.put_profiles(profiles, user=user).accepted
                taken = client.ingest(log, event_id=event_id, **asdict(names))
        elif store is not None:
            # Read first: a log that cannot be read leaves no store behind.
            known = None if profiles is None else profile_rows(profiles, user=user)
            events = event_rows(log, names, event_id=event_id, number_ties=True)
            with Store(store) as opened:
                if known is not None:
                    users = opened.put_profiles(known).accepted
                taken = opened.ingest(events)
    parts = [f"{taken.accepted:,} events taken"]
    parts += [f"{taken.duplicates:,} were there already"] if taken.duplicates else []
    parts += [f"{taken.erased:,} of erased users dropped"] if taken.erased else []
    parts += [f"{users:,} profiles written"] if users else []
    verbatim_console().print(f"{store or server}: {', '.join(parts)}", soft_wrap=True)
