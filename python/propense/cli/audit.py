"""The command ``audit``: are groups chosen alike, and may the scores be acted on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from propense.audit import Audit, audit
from propense.audit.groups import Edges
from propense.audit.verdict import LEVELS, Verdict
from propense.cli import options
from propense.cli.options import LogOptions
from propense.cli.watch import printable
from propense.events import read_profiles
from propense.exceptions import DataError
from propense.model import load_model
from propense.sources import collect, scan
from propense.terminal import verbatim_console

COLOURS = {"pass": "green", "warn": "yellow", "block": "red"}


def audit_command(
    what: Annotated[
        Path,
        typer.Argument(
            help="Folder of a model, which then scores --events; or a file of scores.",
            metavar="MODEL|SCORES",
        ),
    ],
    profiles: Annotated[
        str, typer.Option("--profiles", help="One row a user of attributes.", metavar="P")
    ],
    protected: Annotated[
        list[str] | None,
        typer.Option(
            "--protected",
            help="Attribute to compare by; may be given again. Bands of a number: age:30,45,60. "
            "Left out: those that were kept out of the model's features.",
            metavar="A",
        ),
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option("--events", help="Event log, for a model; as for score.", metavar="LOG"),
    ] = None,
    user: options.UserColumn = "user_id",
    time: options.TimeColumn = None,
    event: options.EventColumn = "event",
    event_constant: options.EventConstant = None,
    time_unit: options.TimeUnit = None,
    as_of: options.AsOf = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File for everything found (JSON).", metavar="F")
    ] = None,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish",
            help="Put the audit beside the model's folder, for segments that require one: "
            "NAME.audit.json.",
        ),
    ] = False,
    require: Annotated[
        str | None,
        typer.Option(
            "--require", help="Exit with code 9 unless the verdict is pass (or warn).", metavar="V"
        ),
    ] = None,
) -> None:
    """Say whether users of different groups are chosen alike: pass, warn or block, and why.

    Chosen are those in the tier most likely. With a model whose log goes on for the whole horizon
    after --as-of, precision, recall and calibration by group are of what then happened; and features
    that stand in for a protected attribute are found.
    """
    if require is not None and require not in LEVELS:
        raise DataError(f"--require: expected {', '.join(LEVELS)}, found {require!r}")
    asked = dict(_attribute(text) for text in protected or ())
    if what.is_dir():
        if not events:
            raise DataError(f"{what} is a model; give the log that it scores by --events")
        model = load_model(what)
        attributes = asked or dict.fromkeys(model.training.get("protected", ()))
        if not attributes:
            raise DataError("name the attributes to compare by, such as --protected age:30,45,60")
        known = read_profiles(profiles, user=user)
        log = LogOptions(events, profiles, user, time, event, event_constant, time_unit).read()
        found = model.audit(log, known, attributes, as_of=as_of)
    else:
        frame, where = scan(what, text_columns=(user,))
        scores = collect(frame, where)
        if user not in scores.columns:
            raise DataError(f"{where} has no column {user!r}; name the user column by --user")
        if not asked:
            raise DataError("name the attributes to compare by, such as --protected age:30,45,60")
        ordered = scores.select(user, pl.exclude(user))
        found = audit(ordered, read_profiles(profiles, user=user), asked)
    console = verbatim_console()
    for title, table in (("groups", found.groups), ("pairs of groups", found.pairs)):
        if table.height:
            console.print(group_table(table, title, CHOSEN))
            if any(name in table.columns for name in HIT):
                console.print(group_table(table, f"what happened then, by {title}", HIT))
    if found.proxies is not None and found.proxies.height:
        console.print(proxy_table(found.proxies))
    show_verdict(found, console)
    if out is not None:
        found.save(out)
        console.print(f"audit: {out}", soft_wrap=True)
    if publish:
        console.print(f"published: {found.publish(what)}", soft_wrap=True)
    if require is not None:
        level: Verdict = LEVELS[LEVELS.index(require)]
        found.require(level)


def show_verdict(found: Audit, console: Console) -> None:
    """Print the verdict, its reasons, and what was not looked at."""
    console.print(found.verdict, style=COLOURS[found.verdict], end="")
    console.print(f": {found.people:,} users, chosen are {found.selected}")
    for text in found.reasons:
        console.print(f"  {text}", soft_wrap=True)
    for text in found.notes:
        console.print(f"  note: {text}", soft_wrap=True)


CHOSEN = {"selection_rate": "chosen", "ratio": "ratio"}
HIT = {"precision": "precision", "recall": "recall", "calibration": "outcomes\n÷ scores"}


def group_table(groups: pl.DataFrame, title: str, shown: dict[str, str]) -> Table:
    """Show groups with some of their rates, intervals below them."""
    table = Table(title=title, title_justify="left")
    columns = [name for name in shown if name in groups.columns]
    table.add_column("by", overflow="fold")
    table.add_column("group", overflow="fold")
    table.add_column("people", justify="right", no_wrap=True)
    for name in columns:
        table.add_column(shown[name], justify="right", no_wrap=True)
    if shown is CHOSEN:
        table.add_column("finding", no_wrap=True)
    for row in groups.iter_rows(named=True):
        cells = [printable(row["by"]), printable(row["group"]), f"{row['people']:,}"]
        cells += [_cell(row, name) for name in columns]
        table.add_row(*cells, *([row["finding"]] if shown is CHOSEN else []))
    return table


def proxy_table(proxies: pl.DataFrame) -> Table:
    """Show how well features tell groups apart."""
    table = Table(title="can features tell the groups apart?", title_justify="left")
    for head in ("by", "group", "AUC", "most of all by"):
        table.add_column(head, justify="right" if head == "AUC" else "left", overflow="fold")
    for row in proxies.iter_rows(named=True):
        texts = [printable(row[name]) for name in ("by", "group", "tells_most")]
        table.add_row(*texts[:2], f"{row['auc']:.2f}", texts[2])
    return table


def _attribute(text: str) -> tuple[str, Edges]:
    """Read ``age`` or ``age:30,45,60``."""
    name, _, edges = text.partition(":")
    try:
        return name, [float(edge) for edge in edges.split(",")] if edges else None
    except ValueError:
        raise DataError(f"--protected {text}: expected numbers after the colon: 30,45,60") from None


def _cell(row: dict[str, float | None], name: str) -> str:
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value is None:
        return "–"
    style = ".1%" if name in ("selection_rate", "precision", "recall") else ".2f"
    if low is None or high is None:
        return format(value, style)
    return f"{value:{style}}\n({low:{style}}–{high:{style}})"
