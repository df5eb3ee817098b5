"""The program: its commands, one-line errors and exit codes."""

from __future__ import annotations

import gc
import inspect
import re
import sys
import warnings
from typing import Annotated

import typer

import propense
from propense.cli import commands
from propense.cli.audit import audit_command
from propense.cli.bench import bench
from propense.cli.clock import clock
from propense.cli.deliveries import deliveries
from propense.cli.demo import demo
from propense.cli.ending import by_closed_pipe, flush_for_whoever_reads, interruption
from propense.cli.explain import explain
from propense.cli.ingest import ingest
from propense.cli.options import ADDRESS_IS_SERVER
from propense.cli.plan import plan
from propense.cli.report import report
from propense.cli.segment import segment
from propense.cli.segments import segments
from propense.cli.serve import serve
from propense.cli.store import store
from propense.cli.validate import validate
from propense.cli.watch import watch
from propense.exceptions import (
    DataError,
    DeliveryError,
    ExpressionError,
    FairnessError,
    GoalError,
    ModelError,
    OutputError,
    PlanError,
    PropenseError,
    SegmentError,
    ServiceError,
    TrainingError,
    UnavailableError,
)
from propense.progress import progress_shown
from propense.terminal import verbatim_console

EXIT_CODES: dict[type[PropenseError], int] = {
    PlanError: 2,
    DataError: 3,
    ExpressionError: 4,
    DeliveryError: 4,
    GoalError: 4,
    SegmentError: 4,
    TrainingError: 5,
    ModelError: 6,
    OutputError: 7,
    ServiceError: 8,
    FairnessError: 9,
}

_PARAMETER = re.compile(r"\b(user|time|event|event_constant|time_unit)=(?=…|'s')")

EPILOG = (
    "Exit codes: 0 done; 2 wrong usage; 3 events or profiles cannot be read; 4 a goal, segment, "
    "destination or expression is not valid; 5 the log does not allow the training; 6 a model cannot "
    "be used; 7 a result cannot be written; 8 a server cannot be reached or started, or refuses; 9 an "
    "audit's verdict is not the one required; 130 interrupted. "
    "Results go to standard output, everything else to standard error."
)

app = typer.Typer(
    name="propense",
    help="From an event log to intent: train on a goal, score users, cut them into tiers.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(commands.train)
app.command()(commands.score)
app.command()(commands.export)
app.command()(segment)
app.command()(report)
app.command()(explain)
app.command()(plan)
app.command("audit")(audit_command)
app.command()(validate)
app.command()(ingest)
app.command()(serve)
app.add_typer(segments)
app.command(context_settings=ADDRESS_IS_SERVER)(watch)
app.command(context_settings=ADDRESS_IS_SERVER)(clock)
app.add_typer(deliveries)
app.add_typer(store)
app.command()(demo)
app.command()(bench)


def _let_flow(typers: list[typer.Typer]) -> None:
    """Let paragraphs of help flow, the lines of docstrings are for code; examples keep theirs."""
    for command in (command for each in typers for command in each.registered_commands):
        paragraphs = (inspect.getdoc(command.callback) or "").split("\n\n")
        command.help = "\n\n".join(
            f"\b{text}" if text.startswith(" ") else " ".join(text.split()) for text in paragraphs
        )


_let_flow([app, segments, deliveries, store])


def _version(asked: bool) -> None:
    if asked:
        print(f"propense {propense.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """From an event log to intent: train on a goal, score users, cut them into tiers."""


def hint(error: PropenseError, arguments: list[str]) -> str:
    """Say which option is missing, or what there is instead."""
    if isinstance(error, ServiceError) and error.reason == "NOT_EXPLAINED":
        command = "propense explain models/NAME --importance permutation --events LOG"
        return f"; {command} says for any model which features matter"
    if isinstance(error, UnavailableError) and error.reason is None:
        return "; is a server running there? propense serve starts one"
    if isinstance(error, DataError) and "is open elsewhere" in str(error):
        instead = (
            ", or ingest with --server instead of --store" if arguments[1:2] == ["ingest"] else ""
        )
        return f"; stop the server that has it open{instead}"
    if isinstance(error, ExpressionError | SegmentError):
        for what, option in (("attribute", "--profiles"), ("model", "--models")):
            if f"unknown {what} " in str(error) and option not in arguments:
                return f"; {what}s come with {option}"
    return ""


def in_shell(text: str) -> str:
    """Name options and commands where the library and servers name parameters and calls."""
    text = text.replace("list_segments() names", "propense segments names")
    return _PARAMETER.sub(lambda found: f"--{found[1].replace('_', '-')} ", text)


def main() -> None:
    """Run the program; errors are one line on standard error and an exit code."""
    console = verbatim_console(stderr=True, soft_wrap=True)

    def show_warning(message: Warning | str, *_args: object, **_kwargs: object) -> None:
        console.print("note: ", style="yellow", end="")
        console.print(str(message))

    warnings.showwarning = show_warning
    code: str | int | None = 0
    try:
        with progress_shown():
            app()
    except PropenseError as error:
        console.print("error: ", style="red", end="")
        # Blanks stay as they are: a place in a rule is counted with them.
        lines = " ".join(line.strip() for line in str(error).splitlines())
        text = in_shell(lines) + hint(error, sys.argv)
        console.print(text)
        codes = (EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)
        code = next(codes, 1)
    except SystemExit as end:
        interrupted = interruption(end)
        if interrupted is not None:
            console.print(interrupted)
        code = 0 if by_closed_pipe(end) else end.code
    flush_for_whoever_reads()
    # What an error held on to goes now: gRPC's calls cannot be let go once its threads are gone.
    gc.collect()
    sys.exit(code)
