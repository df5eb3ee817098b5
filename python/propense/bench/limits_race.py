"""Where the time goes, stage by stage, and how near that is to what the memory allows."""

from __future__ import annotations

from propense.bench.contender import Entry
from propense.bench.declared import declared
from propense.bench.fusion_model import cached_model
from propense.bench.generator import cached_events
from propense.bench.machine import memory_bandwidth
from propense.bench.plan import BenchPlan
from propense.bench.race import race
from propense.bench.results import Results, Row

STAGES = ("read", "group", "features", "forest", "fused", "output")


def measure_limits(plan: BenchPlan, results: Results) -> None:
    """Split Parquet to scores into stages; compare the features with the memory's bandwidth."""
    events = str(cached_events(plan.log, plan.cache))
    model = str(cached_model(plan.fusion_forest, plan.cache))
    plan.say("stages from Parquet to a file of scores")
    stages = Entry(
        "propense, all stages", "propense_stages", {"events": events, "model": model}, plan.threads
    )
    scan = Entry("propense", "propense_features", {"events": events}, plan.threads)
    timings = race([stages], tolerance=None, pace=plan.pace, say=plan.say)
    results.add("stages", timings, events=plan.log.events, users=plan.log.users)
    for stage in STAGES:
        taken = timings[0].facts.get(f"{stage}_s")
        if taken is not None:
            value = 1e9 * taken / plan.log.events
            results.rows.append(
                Row("stages", f"stage: {_STAGE_NAMES[stage]}", "–", value, unit="ns an event")
            )
    (timing,) = race([scan], tolerance=None, pace=plan.pace, say=plan.say)
    results.add("limits", [timing], events=plan.log.events, users=plan.log.users)
    bandwidth = memory_bandwidth(plan.threads)
    an_event = timing.facts["bytes_per_event"]
    read_bytes = plan.log.events * an_event
    written_bytes = plan.log.users * len(declared()) * 4
    limit_s = (read_bytes + written_bytes) / bandwidth
    gigabytes = f"{read_bytes / 1e9:.2f} GB read ({an_event} B an event)"
    note = f"{gigabytes}, {written_bytes / 1e9:.2f} GB written"
    results.rows += [
        Row("limits", "memory bandwidth", "–", bandwidth / 1e9, unit="GB/s"),
        Row("limits", "features: the memory's limit", "–", 1e3 * limit_s, unit="ms", note=note),
        Row(
            "limits",
            "features: share of the limit",
            "–",
            _percent(limit_s, timing.median),
            unit="%",
        ),
    ]


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole


_STAGE_NAMES = {
    "read": "read Parquet",
    "group": "group by user",
    "features": "features, the matrix written",
    "forest": "bins and forest, the matrix read",
    "fused": "features to tiers, fused",
    "output": "write the scores",
}
