"""The command ``report``: a model on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from propense.exceptions import OutputError
from propense.model import load_model
from propense.output import check_folder
from propense.report import report as report_of
from propense.terminal import verbatim_console


def report(
    model: Annotated[Path, typer.Argument(help="Folder of the model.", metavar="models/NAME")],
    out: Annotated[
        Path, typer.Option("--out", help="File for the page; its charts go beside it.", metavar="F")
    ] = Path("report.html"),
    previous: Annotated[
        Path | None,
        typer.Option(
            "--previous", help="Folder of the model before, to say what changed.", metavar="OLD"
        ),
    ] = None,
) -> None:
    """Write a model's report: one page of HTML for marketers and data scientists, without scripts.

    Quality in a word, lift against the rule and random, calibration, tiers, past dates, drivers. The
    charts are also written as PNG and SVG into a folder beside the page.
    """
    if out.suffix not in (".html", ".htm"):
        raise OutputError(f"{out} has an unknown ending; expected .html")
    check_folder(out)
    loaded = load_model(model)
    before = None if previous is None else load_model(previous)
    made = report_of(loaded, before)
    made.save(out)
    console = verbatim_console()
    console.print(f"report: {out}", soft_wrap=True)
    charts = out.with_name(f"{out.stem}_charts")
    console.print(f"charts: {charts} ({len(made.charts)} as PNG and SVG)", soft_wrap=True)
