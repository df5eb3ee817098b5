"""From events to tiers: propense beside Polars with ONNX Runtime."""

from __future__ import annotations

from propense.bench.answers import Tolerance
from propense.bench.contender import Entry
from propense.bench.fusion_model import cached_model
from propense.bench.generator import cached_events
from propense.bench.plan import BenchPlan
from propense.bench.race import race
from propense.bench.results import Results, Row, ratio

TARGET = 40.0

TOLERANCE = Tolerance(relative=1e-5, absolute=1e-5, share=2e-3, of={"percentile": 0.02})
"""A peer's feature may differ in its last bit, which decides where it lies on a threshold; a score's
last bit decides between two of the 10,000 steps of a percentile."""


def race_fusion(plan: BenchPlan, results: Results) -> None:
    """Measure scoring from a grouped log, from an unsorted table, and from a saved log."""
    events = str(cached_events(plan.log, plan.cache))
    size = plan.fusion_forest
    plan.say("events to tiers: training a model, if not kept from before")
    model = str(cached_model(size, plan.cache))
    name = (
        f"{plan.log.users:,} users, {plan.log.events:,} events, {size.trees} × {size.leaves} leaves"
    )
    for source in ("grouped", "table"):
        section = f"events to tiers, {source}"
        plan.say(f"{section}: {name}")
        parameters = {"events": events, "model": model, "source": source}
        theirs = parameters | {"threads": plan.threads}
        entries = [
            Entry("propense", "propense_fusion", parameters, plan.threads),
            Entry("Polars + ONNX Runtime", "polars_fusion", theirs, plan.threads),
        ]
        if source == "grouped":
            saved = parameters | {"source": "folder"}
            entries.append(Entry("propense, saved log", "propense_fusion", saved, plan.threads))
        timings = race(entries, tolerance=TOLERANCE, pace=plan.pace, say=plan.say)
        results.add(section, timings, events=plan.log.events, users=plan.log.users)
        ours, peer, *saved_log = timings
        target = TARGET if source == "grouped" else None
        for timing in (ours, *saved_log):
            value, label = ratio(timing, [peer])
            what = f"events to tiers, {source}"
            if timing is not ours:
                what = "events to tiers, saved log"
            note = name if value is not None else label
            against = "Polars + ONNX Runtime"
            goal = target if timing is ours else None
            results.rows.append(Row("fusion", what, against, value, goal, note=note))
