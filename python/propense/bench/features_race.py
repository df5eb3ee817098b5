"""The 198 features: propense beside Polars, DuckDB and ClickHouse's engine."""

from __future__ import annotations

from propense.bench.answers import Tolerance
from propense.bench.contender import Entry
from propense.bench.generator import cached_events
from propense.bench.plan import BenchPlan
from propense.bench.race import Timing, race
from propense.bench.results import Results, Row, ratio

GROUPED_TARGET, TABLE_TARGET = 60.0, 15.0


def race_features(plan: BenchPlan, results: Results) -> None:
    """Measure the features from a grouped log, then from an unsorted table."""
    events = str(cached_events(plan.log, plan.cache))
    size = f"{plan.log.events:,} events, {plan.log.users:,} users"
    for grouped, source, target in (
        (True, "grouped in memory", GROUPED_TARGET),
        (False, "unsorted table", TABLE_TARGET),
    ):
        section = f"features, {source}"
        plan.say(f"{section}: {size}")
        timings = race(
            feature_entries(plan, events, grouped=grouped),
            tolerance=Tolerance(),
            pace=plan.pace,
            say=plan.say,
        )
        results.add(section, timings, events=plan.log.events, users=plan.log.users)
        ours, framed, *peers = timings
        for name, goal in (("Polars", target), ("DuckDB", None), ("chDB", None)):
            theirs = [timing for timing in peers if timing.label.startswith(name)]
            if not theirs:
                continue
            value, label = ratio(ours, theirs)
            what = f"198 features, {source}"
            results.rows.append(
                Row("features", what, f"{name}, best plan", value, goal, note=label)
            )
            if name == "Polars":
                value, label = ratio(framed, theirs)
                what += ", as a frame"
                results.rows.append(Row("features", what, "Polars, best plan", value, note=label))
        results.rows.append(_rate(ours, plan.log.events, source))


def feature_entries(plan: BenchPlan, events: str, *, grouped: bool) -> list[Entry]:
    """Give propense's matrix and frame, and the peers' plans."""
    common = {"events": events, "grouped": grouped}
    threads = plan.threads
    entries = [
        Entry("propense", "propense_features", common, threads),
        Entry("propense, frame", "propense_features", common | {"frame": True}, threads),
    ]
    for way in ("slices", "filtered"):
        for engine in ("in-memory", "streaming"):
            parameters = common | {"plan": way, "engine": engine}
            entries.append(Entry(f"Polars {way}, {engine}", "polars_features", parameters, threads))
    # The slower plan of these two takes minutes at size; so does each from an unsorted table.
    if not grouped and not plan.full:
        return entries
    for way in ("slices", "filtered") if plan.full else ("slices",):
        for name, kind in (("DuckDB", "duckdb_features"), ("chDB", "chdb_features")):
            entries.append(Entry(f"{name} {way}", kind, common | {"plan": way}, threads))
    return entries


def _rate(ours: Timing, events: int, source: str) -> Row:
    value = events / ours.median / 1e6 if ours.runs else None
    return Row("features", f"198 features, {source}", "–", value, unit="M events/s")
