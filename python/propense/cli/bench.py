"""The command ``bench``."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from propense.bench.forests import ForestSize
from propense.bench.generator import LogSize
from propense.bench.machine import usable_cores
from propense.bench.plan import SECTIONS, BenchPlan
from propense.bench.race import Pace
from propense.bench.run import run, write
from propense.output import check_writable
from propense.terminal import verbatim_console

FEWEST_EVENTS = 10_000
_USERS_A_MILLION = 20_000


def bench(
    events: Annotated[
        int, typer.Option("--events", min=FEWEST_EVENTS, help="Events of the log.")
    ] = 2_000_000,
    users: Annotated[
        int | None, typer.Option("--users", min=100, help="Users; left out: one for 50 events.")
    ] = None,
    trees: Annotated[
        int, typer.Option("--trees", min=1, help="Trees of the model from events to tiers.")
    ] = 500,
    leaves: Annotated[int, typer.Option("--leaves", min=2, help="Leaves of each of them.")] = 31,
    rows: Annotated[
        int, typer.Option("--rows", min=100, help="Rows that the forests score.")
    ] = 50_000,
    only: Annotated[
        str, typer.Option("--only", help="Sections, separated by commas.", metavar="SECTIONS")
    ] = ",".join(SECTIONS),
    scaling: Annotated[
        str | None,
        typer.Option("--scaling", help="Sizes to compare, such as 1000000,10000000,100000000."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="For every contender; all cores.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Alternating timed runs.")] = 5,
    seconds: Annotated[
        float, typer.Option("--seconds", help="After so long a contender has two runs at least.")
    ] = 6.0,
    full: Annotated[
        bool, typer.Option("--full", help="Race every plan of every peer; takes long.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path("runs"),
    name: Annotated[str, typer.Option("--name", help="Name of the results.")] = "bench",
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Also draw a plot, as .svg and .png.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder for logs and models; OUT/cache.")
    ] = None,
) -> None:
    """Measure every target side by side with its peers, and say which are met.

    Answers are compared before anything is timed. Peers that are not installed are skipped, with a
    line that says how to install them: pip install 'propense[bench]'.
    """
    chosen = [section.strip() for section in only.split(",") if section.strip()]
    check_writable(out / f"{name}.csv")
    # Tables are cut to 80 columns where there is no terminal to ask.
    console = verbatim_console(width=None if sys.stdout.isatty() else 150)
    log_console = verbatim_console(stderr=True)
    started = time.monotonic()

    def say(line: str) -> None:
        elapsed = f"{time.monotonic() - started:6.1f} s  "
        log_console.print(elapsed + line, soft_wrap=True)

    size = LogSize(events, users or max(100, events * _USERS_A_MILLION // 1_000_000))
    sizes = asked_sizes(scaling) if scaling else [events // 4, events]
    plan = BenchPlan(
        log=size,
        scaling_events=tuple(sizes),
        forest_rows=rows,
        fusion_forest=ForestSize(trees, leaves),
        threads=threads or usable_cores(),
        pace=Pace(rounds, seconds),
        cache=cache or out / "cache",
        say=say,
        full=full,
    )
    command = "propense " + shlex.join(sys.argv[1:])
    results = run(plan, only=chosen, name=name, command=command, console=console)
    write(results, out, plot, console)


def asked_sizes(text: str) -> list[int]:
    """Read numbers of events, apart by commas."""
    sizes = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if min(sizes) < FEWEST_EVENTS:
        raise typer.BadParameter(
            f"--scaling {text}: expected whole numbers from {FEWEST_EVENTS:,} up, apart by commas, "
            "such as 1000000,10000000"
        )
    return sizes
