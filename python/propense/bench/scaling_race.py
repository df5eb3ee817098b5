"""How propense scales: with events, with a second core, with one user who has a large share of them."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import Any

from propense.bench.contender import Entry
from propense.bench.forests import cached_forest, cached_rows
from propense.bench.fusion_model import cached_model
from propense.bench.generator import LogSize, cached_events
from propense.bench.plan import BenchPlan
from propense.bench.race import Timing, race
from propense.bench.results import Results, Row, number

FLAT_TARGET, CORE_TARGET, BYTES_TARGET = 1.3, 1.8, 24.0
GIANT_SHARE = 0.2


def race_scaling(plan: BenchPlan, results: Results) -> None:
    """Measure the cost of an event at several sizes, the second core, and a giant user."""
    _flatness(plan, results)
    _second_core(plan, results)


def _flatness(plan: BenchPlan, results: Results) -> None:
    """Compare the cost of an event between sizes."""
    a_user = plan.log.events / plan.log.users
    sizes = [
        replace(plan.log, events=events, users=max(1, round(events / a_user)))
        for events in sorted({*plan.scaling_events})
    ]
    for grouped, source in ((True, "grouped in memory"), (False, "unsorted table")):
        costs: dict[int, float] = {}
        for size in sizes:
            events = str(cached_events(size, plan.cache))
            label = f"propense, {source}, {size.events:,} events"
            parameters = {"events": events, "grouped": grouped}
            entry = Entry(label, "propense_features", parameters, plan.threads)
            timings = race([entry], tolerance=None, pace=plan.pace, say=plan.say)
            results.add("scaling", timings, events=size.events, users=size.users)
            if timings[0].runs:
                costs[size.events] = 1e9 * timings[0].median / size.events
            if grouped:
                _memory(results, timings[0], size)
        if len(costs) > 1:
            note = ", ".join(f"{n:,}: {number(cost)} ns" for n, cost in costs.items())
            value = max(costs.values()) / min(costs.values())
            what = f"cost of an event, {source}, largest ÷ smallest"
            row = Row("scaling", what, "–", value, FLAT_TARGET, "lower", note=note)
            results.rows.append(row)


def _memory(results: Results, timing: Timing, size: LogSize) -> None:
    """State what the log holds, where the extension says so, and the peak of the process."""
    held = timing.facts.get("memory_bytes")
    what = f"memory of the log, {size.events:,} events"
    if held is not None:
        value = held / size.events
        row = Row("scaling", what, "–", value, BYTES_TARGET, "lower", "B an event")
        results.rows.append(row)
    if timing.runs:
        peak = timing.peak_bytes / 2**20
        what = f"peak memory, {size.events:,} events, table and features included"
        results.rows.append(Row("scaling", what, "–", peak, unit="MiB", better="lower"))


def _second_core(plan: BenchPlan, results: Results) -> None:
    """Compare one thread with two: features, a log with a giant user, forest, events to tiers.

    Beside each stands what the machine gives for a second thread that needs nothing but its core.
    """
    events = str(cached_events(plan.log, plan.cache))
    giant = str(cached_events(replace(plan.log, giant_share=GIANT_SHARE), plan.cache))
    works: list[tuple[str, str, dict[str, Any]]] = [
        ("features", "propense_features", {"events": events}),
        ("features from a table", "propense_features", {"events": events, "grouped": False}),
        (f"features, one user has {GIANT_SHARE:.0%}", "propense_features", {"events": giant}),
        (
            "forest",
            "propense_forest",
            {
                "forest": str(cached_forest(plan.forest_sizes[0], plan.cache)),
                "rows": str(cached_rows(plan.forest_rows, plan.cache)),
            },
        ),
        (
            "events to tiers",
            "propense_fusion",
            {"events": events, "model": str(cached_model(plan.fusion_forest, plan.cache))},
        ),
    ]
    machines: list[float] = []
    for name, kind, parameters in works:
        ours = [_entry(f"propense {name}", kind, parameters, threads) for threads in (1, 2)]
        machine = [_entry("hashing in the cache", "machine_cores", {}, n) for n in (1, 2)]
        timings = race([*ours, *machine], tolerance=None, pace=plan.pace, say=plan.say)
        results.add("second core", timings, events=plan.log.events, users=plan.log.users)
        one, two, *machine_timings = timings
        value = one.median / two.median if one.runs and two.runs else None
        given = _each_round(*machine_timings)
        machines += given
        note = f"the machine itself: {number(median(given))} × meanwhile" if given else ""
        what = f"second core, {name}"
        results.rows.append(Row("scaling", what, "one core", value, CORE_TARGET, note=note))
    if machines:
        what = "second core, hashing in the cache: what the machine gives"
        note = f"{number(min(machines))} to {number(max(machines))} in {len(machines)} rounds"
        results.rows.append(Row("scaling", what, "one core", median(machines), note=note))


def _entry(label: str, kind: str, parameters: dict[str, Any], threads: int) -> Entry:
    return Entry(f"{label}, {threads} thread{'s' * (threads > 1)}", kind, parameters, threads)


def _each_round(one: Timing, two: Timing) -> list[float]:
    """Give how many times as fast the second was, run by run: they lie beside each other in time."""
    return [alone / both for alone, both in zip(one.runs, two.runs, strict=False)]
