"""Results: rows that compare a measurement with its target, as tables and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from propense.bench.race import Timing


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    section, what, against
        What was measured, and beside what.
    value, target
        The number reached and the one to be reached; the target is None where there is none, the
        value where it could not be measured.
    better
        Which side of the target meets it.
    unit
        Of both.
    note
        What must be known to read the number: a choice made, a size.
    """

    section: str
    what: str
    against: str
    value: float | None
    target: float | None = None
    better: Literal["higher", "lower"] = "higher"
    unit: str = "×"
    note: str = ""

    @property
    def measured(self) -> str:
        """The number reached, with its unit."""
        return "–" if self.value is None else f"{number(self.value)} {self.unit}"

    @property
    def wanted(self) -> str:
        """The target, with its sign and unit; empty without one."""
        sign = {"higher": "≥", "lower": "≤"}[self.better]
        return "" if self.target is None else f"{sign} {number(self.target)} {self.unit}"

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target or a value."""
        if self.target is None or self.value is None or math.isnan(self.value):
            return None
        return self.value >= self.target if self.better == "higher" else self.value <= self.target


@dataclass
class Results:
    """Everything that one run measured."""

    name: str
    command: str
    date: str
    commit: str | None
    machine: dict[str, Any]
    versions: dict[str, str]
    sizes: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)

    def add(self, section: str, timings: Sequence[Timing], **sizes: Any) -> None:
        """Keep the timings of a race."""
        for timing in timings:
            low, high = timing.spread
            stated = {"median_s": timing.median, "min_s": low, "max_s": high}
            kept = {key: value for key, value in stated.items() if not math.isnan(value)}
            self.timings.append({"section": section, **sizes, **asdict(timing), **kept})

    def write(self, folder: Path) -> Path:
        """Write ``DATE-NAME.json``, and the table as Markdown beside it; give the first's path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.date[:10]}-{self.name}.json"
        rows = [asdict(row) | {"met": row.met} for row in self.rows]
        content = asdict(self) | {"rows": rows}
        path.write_text(json.dumps(_finite(content), indent=1) + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(markdown_table(self), encoding="utf-8")
        return path


def ratio(ours: Timing, theirs: Sequence[Timing]) -> tuple[float | None, str]:
    """Give how many times longer the quickest of the others took, and its label.

    None if either was not measured.
    """
    timed = [timing for timing in theirs if timing.runs]
    if not timed or not ours.runs:
        skipped = [timing for timing in (ours, *theirs) if timing.skipped]
        return None, "; ".join(f"{timing.label}: {timing.skipped}" for timing in skipped)
    best = min(timed, key=lambda timing: timing.median)
    return best.median / ours.median, best.label


def targets_table(results: Results) -> Table:
    """Show every row with its target, and whether it is met."""
    table = Table(title=f"propense bench: {results.name}", title_justify="left")
    for head in ("what", "against", "measured", "target", "", "note"):
        table.add_column(head, justify="right" if head in ("measured", "target") else "left")
    section = None
    for row in results.rows:
        if section not in (None, row.section):
            table.add_section()
        section = row.section
        met = {True: Text("met", "green"), False: Text("not met", "red"), None: Text()}[row.met]
        table.add_row(row.what, row.against, row.measured, row.wanted, met, row.note)
    return table


def markdown_table(results: Results) -> str:
    """Give the same rows as a Markdown table."""
    lines = ["| what | against | measured | target | |", "|---|---|---:|---:|---|"]
    for row in results.rows:
        verdict = {True: "met", False: "not met", None: ""}[row.met]
        cells = (row.what, row.against, row.measured, row.wanted, verdict)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def timings_table(results: Results, section: str) -> Table:
    """Show the times of a section: median and spread, memory, and what was chosen."""
    table = Table(title=f"{section}: alternating runs", title_justify="left")
    for head in ("contender", "median", "min – max", "runs", "threads", "peak memory", "note"):
        table.add_column(head, justify="left" if head in ("contender", "note") else "right")
    for timing in results.timings:
        if timing["section"] != section:
            continue
        facts = timing["facts"]
        note = timing["skipped"] or str(facts.get("chosen") or facts.get("engine") or "")
        if not timing["runs"]:
            table.add_row(timing["label"], "–", "", "", "", "", note)
            continue
        spread = f"{seconds(timing['min_s'])} – {seconds(timing['max_s'])}"
        memory = f"{timing['peak_bytes'] / 2**20:,.0f} MiB"
        table.add_row(
            timing["label"],
            seconds(timing["median_s"]),
            spread,
            str(len(timing["runs"])),
            str(timing["threads"]),
            memory,
            note,
        )
    return table


def seconds(value: float) -> str:
    """Write a time with a unit that suits it."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1.0:
            return f"{number(value * factor)} {unit}"
    return f"{number(value * 1e9)} ns"


def number(value: float) -> str:
    """Write a number with three digits, or all digits before the point."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _finite(content: Any) -> Any:
    """Replace what JSON cannot hold by null."""
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content
