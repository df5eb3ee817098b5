"""The command ``validate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from propense.cli import options
from propense.cli.options import LogOptions
from propense.exceptions import OutputError
from propense.instants import local_day
from propense.model import load_model
from propense.sources import collect, scan
from propense.terminal import verbatim_console
from propense.validate import Validation

_MOST_MOVED = 8
HOLDS = (
    "as many reached the goal as was forecast, and scores rank users and are spread as at training; "
    "a feature that moved without them is no reason to train again"
)


def validate(
    model: Annotated[Path, typer.Argument(help="Folder of the model.", metavar="models/NAME")],
    events: options.Events,
    profiles: options.ProfilesPath = None,
    user: options.UserColumn = "user_id",
    time: options.TimeColumn = None,
    event: options.EventColumn = "event",
    event_constant: options.EventConstant = None,
    time_unit: options.TimeUnit = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores",
            help="What was predicted then, by propense score; left out: scored now, as of then.",
            metavar="FILE",
        ),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            help="When it was predicted; left out: the model's own as_of.",
            metavar="T",
            callback=options.checked_instant,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File for all of it: .json.", metavar="FILE")
    ] = None,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish",
            help="Put the numbers beside the model's folder, for the metrics of a server: "
            "NAME.validation.json.",
        ),
    ] = False,
) -> None:
    """Compare what was predicted with what happened, once a horizon has passed.

    Needs events up to the end of the horizon. Says whether the model holds, is to be watched or is
    to be trained again, and why.
    """
    if out is not None and out.suffix != ".json":
        raise OutputError(f"{out} has an unknown ending; expected .json")
    loaded = load_model(model)
    log = LogOptions(events, profiles, user, time, event, event_constant, time_unit).read()
    given = None if scores is None else collect(*scan(scores, text_columns=(user,)))
    found = loaded.validate(log, scores=given, as_of=as_of)
    console = verbatim_console()
    console.print(outcome_table(found, loaded.features.timezone))
    console.print(quality_table(found))
    if found.drift is not None:
        console.print(drift_table(found))
    if found.unknown:
        console.print(f"{found.unknown:,} scored users are not in this log's audience; left out")
    console.print(f"verdict: {found.verdict}")
    for reason in found.reasons or (HOLDS,):
        console.print(f"  {reason}", soft_wrap=True)
    if out is not None:
        write_json(found, out)
        console.print(f"validation: {out}", soft_wrap=True)
    if publish:
        console.print(f"published: {found.publish(model)}", soft_wrap=True)


def outcome_table(found: Validation, timezone: str) -> Table:
    """Show predictions beside outcomes, by tier; the horizon by its days in a time zone."""
    goal = found.goal
    start, end = (local_day(instant, timezone) for instant in (found.as_of, found.ends))
    title = f"{goal.name}: {goal.when} in [{start}, {end})"
    table = Table(title=title, title_justify="left")
    table.add_column("tier")
    interval = f"{found.forecast.level:.0%} interval"
    for head in ("users", "expected", interval, "actual", "rate", "95% interval"):
        table.add_column(head, justify="right")
    for row in found.table.iter_rows(named=True):
        if row["tier"] == "all":
            table.add_section()
        rate = interval = "–"
        if row["rate"] is not None:
            rate, interval = (
                f"{row['rate']:.4f}",
                f"{row['rate_low']:.4f} to {row['rate_high']:.4f}",
            )
        table.add_row(
            row["tier"].replace("_", " "),
            f"{row['users']:,}",
            f"{row['expected']:,.0f}",
            f"{row['low']:,} to {row['high']:,}",
            f"{row['actual']:,}{'' if row['inside'] else ' !'}",
            rate,
            interval,
        )
    return table


def quality_table(found: Validation) -> Table:
    """Show quality now beside quality at training."""
    table = Table(title="quality", title_justify="left")
    table.add_column("metric")
    for head in ("at training", "now"):
        table.add_column(head, justify="right")
    for name, label in (
        ("auc", "AUC"),
        ("average_precision", "average precision"),
        ("brier", "Brier score"),
        ("expected_calibration_error", "expected calibration error"),
    ):
        values = [metrics[name]["value"] for metrics in (found.then, found.metrics)]
        table.add_row(label, *("–" if value is None else f"{value:.4f}" for value in values))
    return table


def drift_table(found: Validation) -> Table:
    """Show how far the score, and the features that moved most, are from training."""
    table = Table(title="drift since training", title_justify="left")
    for head in ("of", "population stability", "by chance", "reading"):
        left = head in ("of", "reading")
        table.add_column(head, justify="left" if left else "right", overflow="fold")
    rows = found.drift.head(1 + _MOST_MOVED) if found.drift is not None else None
    for row in rows.iter_rows(named=True) if rows is not None else ():
        name = "the score" if row["of"] == "score" else row["name"]
        values = (f"{row['stability']:.3f}", f"{row['chance']:.3f}")
        table.add_row(name, *values, row["reading"])
    return table


def write_json(found: Validation, out: Path) -> None:
    """Write everything as JSON, aside and then renamed."""
    aside = out.with_name(f".{out.name}.new")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(found.as_dict(), indent=2, ensure_ascii=False), "utf-8")
        aside.replace(out)
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror or error}") from error
