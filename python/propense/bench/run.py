"""One run: every section that is asked for, then the table, the JSON and the plot."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from propense.bench.features_race import race_features
from propense.bench.forest_race import race_forests
from propense.bench.fusion_race import race_fusion
from propense.bench.limits_race import measure_limits
from propense.bench.machine import commit, machine, versions
from propense.bench.plan import SECTIONS, BenchPlan
from propense.bench.plot import NEEDS, plot
from propense.bench.results import Results, targets_table, timings_table
from propense.bench.scaling_race import race_scaling
from propense.exceptions import PropenseError

_RACES: dict[str, Callable[[BenchPlan, Results], None]] = {
    "features": race_features,
    "forest": race_forests,
    "fusion": race_fusion,
    "scaling": race_scaling,
    "limits": measure_limits,
}


def run(
    plan: BenchPlan,
    *,
    only: Sequence[str] = SECTIONS,
    name: str = "bench",
    command: str = "propense bench",
    console: Console | None = None,
) -> Results:
    """Measure.

    Parameters
    ----------
    plan
        Sizes and limits.
    only
        Which sections.
    name, command
        Kept with the results.
    console
        Where the tables go.

    Raises
    ------
    PropenseError
        There is no such section.
    """
    unknown = [section for section in only if section not in SECTIONS]
    if unknown:
        raise PropenseError(f"no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    console = console or Console()
    results = Results(
        name=name,
        command=command,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit(),
        machine=machine(),
        versions=versions(),
        sizes={
            "log": asdict(plan.log),
            "forest_rows": plan.forest_rows,
            "fusion_forest": asdict(plan.fusion_forest),
            "threads": plan.threads,
            "rounds": plan.pace.rounds,
        },
    )
    for section in only:
        _RACES[section](plan, results)
    for section in dict.fromkeys(timing["section"] for timing in results.timings):
        console.print(timings_table(results, section))
    console.print(targets_table(results))
    return results


def write(results: Results, folder: Path, picture: Path | None, console: Console) -> None:
    """Write the JSON, and the plot if it is asked for and can be drawn."""
    path = results.write(folder)
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    if picture is None:
        return
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        console.print("no plot: pip install altair vl-convert-python", highlight=False)
        return
    for file in plot(results, picture):
        console.print(f"wrote {file}", highlight=False, soft_wrap=True)
