"""Which features matter to a model as a whole: ``propense explain --importance``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import cast, get_args

import polars as pl
import typer
from rich.table import Table

from propense.cli.watch import printable
from propense.events import EventLog
from propense.exceptions import ModelError
from propense.explain.importance import Kind
from propense.instants import Instant
from propense.model import Model
from propense.report.words import feature_words

KINDS: tuple[str, ...] = get_args(Kind)
_MEASURED = {
    "gain": ("by what splits on it gained in training", "share"),
    "permutation": ("by what the AUC loses without it", "AUC lost"),
    "contribution": ("by how far it moves the logit, on average", "logit"),
}
_IN_PYTHON = 'model.importance("permutation", log=log)'


def asked_kind(kind: str, *, with_log: bool) -> Kind:
    """Check the kind of importance that was asked for, and that it has the log it needs."""
    if kind not in KINDS:
        raise typer.BadParameter(f"--importance {kind}: expected one of {', '.join(KINDS)}")
    if kind == "gain" and with_log:
        raise typer.BadParameter("--importance gain is of the training: leave --events out")
    if kind != "gain" and not with_log:
        raise typer.BadParameter(f"--importance {kind} is measured on a log: give --events")
    return cast(Kind, kind)


def ranked(
    model: Model, kind: Kind, log: EventLog | None, as_of: Instant | None, top: int
) -> tuple[pl.DataFrame, Table]:
    """Give every feature's importance, and a table of the first."""
    frame = model.importance(kind, log=log, as_of=as_of)
    by, head = _MEASURED[kind]
    table = Table(title=f"{model.goal.name}: what matters to the model, {by}", title_justify="left")
    table.add_column("feature", overflow="fold")
    table.add_column("in words", overflow="fold")
    for name in (head, "spread")[: frame.width - 1]:
        table.add_column(name, justify="right", no_wrap=True)
    expressions = dict(zip(model.features.names, model.features.expressions, strict=True))
    for name, *values in frame.head(top).iter_rows():
        style = ".1%" if kind == "gain" else ".4f"
        words = printable(feature_words(expressions[name]))
        table.add_row(printable(name), words, *(format(value, style) for value in values))
    return frame, table


def in_shell(error: ModelError, model: Path) -> ModelError:
    """Name the command where the library names its method."""
    folder = shlex.quote(str(model))
    command = f"propense explain {folder} --importance permutation --events LOG"
    return ModelError(str(error).replace(_IN_PYTHON, command))
