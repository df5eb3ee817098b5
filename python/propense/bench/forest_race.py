"""Forests: propense beside ONNX Runtime, LightGBM, XGBoost and TL2cgen, in batches and one by one."""

from __future__ import annotations

from typing import Any

from propense.bench.answers import Tolerance
from propense.bench.contender import Entry
from propense.bench.forests import ForestSize, cached_forest, cached_rows
from propense.bench.plan import BenchPlan
from propense.bench.race import Pace, Timing, race
from propense.bench.results import Results, Row, ratio

BATCH_TARGET, ONE_ROW_TARGET = 15.0, 4.0
ONE_ROW_CALLS = 2_000
COMPILED_BY_DEFAULT = 300
"""Forests of more trees are compiled by TL2cgen only if asked for: it takes a minute and more."""


def race_forests(plan: BenchPlan, results: Results) -> None:
    """Measure every forest on all rows, then on one row at a time."""
    rows = str(cached_rows(plan.forest_rows, plan.cache))
    for size in plan.forest_sizes:
        name = f"{size.trees} × {size.leaves} leaves"
        plan.say(f"forest {name}: training, if not kept from before")
        forest = str(cached_forest(size, plan.cache))
        for one_row in (False, True):
            section = f"forest {name}, {'one row' if one_row else f'{plan.forest_rows:,} rows'}"
            plan.say(section)
            threads = 1 if one_row else plan.threads
            parameters = {"forest": forest, "rows": rows, "threads": threads, "one_row": one_row}
            calls = ONE_ROW_CALLS if one_row else None
            pace = Pace(plan.pace.rounds, plan.pace.seconds, calls)
            timings = _raced(plan, size, parameters, pace)
            results.add(section, timings, rows=1 if one_row else plan.forest_rows)
            _report(results, name, timings, one_row=one_row)
            if not one_row and timings[0].runs:
                work = plan.forest_rows * size.trees
                value = 1e9 * timings[0].median * threads / work
                what = f"forest {name}, time a tree and row, one core"
                results.rows.append(Row("forest", what, "–", value, unit="ns"))


def _raced(
    plan: BenchPlan, size: ForestSize, parameters: dict[str, Any], pace: Pace
) -> list[Timing]:
    threads = parameters["threads"]
    peers = ["propense", "onnxruntime", "lightgbm"]
    if plan.full or size.trees <= COMPILED_BY_DEFAULT:
        peers.append("tl2cgen")
    entries = [Entry(_LABELS[peer], f"{peer}_forest", parameters, threads) for peer in peers]
    # Compiled trees compare and add in another order; near a threshold double and float differ.
    tolerance = Tolerance(relative=1e-5, absolute=1e-5, share=1e-3)
    timings = race(entries, tolerance=tolerance, pace=pace, say=plan.say)
    own = [Entry(_LABELS["xgboost"], "xgboost_forest", parameters, threads)]
    return timings + race(own, tolerance=None, pace=pace, say=plan.say)


def _report(results: Results, name: str, timings: list[Timing], *, one_row: bool) -> None:
    ours, *peers = timings
    what = f"forest {name}, {'one row' if one_row else 'batch'}"
    for peer in peers:
        value, label = ratio(ours, [peer])
        chosen = str(peer.facts.get("chosen", "")) if value is not None else label
        target = None
        if peer.label == _LABELS["onnxruntime"]:
            target = ONE_ROW_TARGET if one_row else BATCH_TARGET
        results.rows.append(Row("forest", what, peer.label, value, target, note=chosen))


_LABELS = {
    "propense": "propense",
    "onnxruntime": "ONNX Runtime, best way",
    "lightgbm": "LightGBM",
    "tl2cgen": "TL2cgen, compiled",
    "xgboost": "XGBoost, own trees",
}
