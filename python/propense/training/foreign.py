"""Models trained elsewhere, taken over from their ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from propense.backtest import Backtest
from propense.cuts import backtest_us, choose_cuts
from propense.events import EventLog
from propense.features import FeatureSet
from propense.goal import Goal
from propense.instants import Instant, in_words, to_us
from propense.measured import HELD_OUT, MAY_HAVE_SEEN
from propense.model import Model
from propense.tiers import TierPolicy
from propense.training.backtest import past_cuts
from propense.training.extra import require_train_extra
from propense.training.finish import Candidate, TestPeriod, finish
from propense.training.metrics import evaluate
from propense.training.rows import Question, TrainingRows, resolve_features
from propense.training.train import MAX_ROWS, check_classes, described, enough


def adopt(
    source: str | Path | bytes,
    features: FeatureSet | Sequence[str],
    goal: Goal,
    log: EventLog,
    as_of: Instant | None,
    positive_class: int | str | None,
    tiers: TierPolicy | None,
    trained_before: Instant | None,
) -> Model:
    """Build a model around a foreign ONNX file; see :meth:`propense.Model.from_onnx`."""
    require_train_extra("onnx")
    from propense.onnx_model.check import run_onnxruntime
    from propense.onnx_model.foreign import canonical, with_calibration

    declared = features if isinstance(features, FeatureSet) else FeatureSet(features)
    found = canonical(source, width=len(declared), positive_class=positive_class)
    question = Question(log, goal, declared.timezone)
    cut_us = question.cut_us(as_of)
    before_us = None if trained_before is None else to_us(trained_before, question.timezone)
    cuts = choose_cuts(log.span_us[0], cut_us, goal.horizon_us)
    chosen = resolve_features(question, declared, cut_us)
    # A value is calibrated on the date before the test, so that the test stays unseen; where the log
    # has no such date, or too few of either kind on it, on the test itself, and the metrics say so.
    earlier = cuts.held_out_us[-1:] if found.kind == "value" else ()
    rows = question.rows(chosen, sorted({*earlier, cuts.test_us}), max_rows=MAX_ROWS)
    test = rows.of([cuts.test_us])
    check_classes(test, goal, cut_us)
    model, calibration = found.model, {"method": "none: the model's own probability"}
    kind = HELD_OUT
    if found.kind == "value":
        earlier = earlier if enough(rows.of(earlier)) else ()
        learnt = rows.of(earlier) if earlier else test
        kind = HELD_OUT if earlier else "calibrated_on_test"
        slope, intercept = calibrate_values(model.SerializeToString(), learnt)
        model = with_calibration(model, "value", slope=slope, intercept=intercept)
        calibration = described_calibration(learnt, slope, intercept)
    # Nobody but the caller knows what the model learnt from: unsaid, it may be the test itself.
    if before_us is None or before_us > cuts.test_us:
        kind, seen_us = MAY_HAVE_SEEN, log.span_us[0]
    else:
        calibrated_us = [instant + goal.horizon_us for instant in earlier]
        seen_us = max([before_us, *calibrated_us])
    onnx: bytes = model.SerializeToString(deterministic=True)
    scores = run_onnxruntime(onnx, test.matrix)
    candidate = Candidate(
        engine=found.source,
        goal=goal,
        features=chosen,
        as_of_us=cut_us,
        training=described(test, cuts, chosen)
        | {
            "trained": "elsewhere",
            "trained_before": None if before_us is None else in_words(before_us),
            "held_out_run": [],
        },
        calibration=calibration,
        metrics=evaluate(test.label, scores) | {"kind": kind, "as_of": in_words(cuts.test_us)},
        test=TestPeriod(scores, test.label),
        backtest=same_model(question, chosen, cut_us, onnx, seen_us),
    )
    checks = {"against": "the model's own scores in plain ONNX Runtime"}
    return finish(candidate, question, onnx, checks, test.matrix, tiers or TierPolicy.quantile())


def same_model(
    question: Question, chosen: FeatureSet, cut_us: int, onnx: bytes, seen_us: int
) -> Backtest:
    """Ask the one model of every past date from ``seen_us`` on, before which it may have learnt."""
    from propense.onnx_model.check import run_onnxruntime

    known = backtest_us(question.log.span_us[0], cut_us, question.goal.horizon_us)
    instants = [instant for instant in known if instant >= seen_us]
    cuts = past_cuts(
        question, chosen, instants, lambda _at, rows: run_onnxruntime(onnx, rows.matrix), seed=0
    )
    finite = tuple(cut for cut in cuts if np.isfinite(cut.scores).all())
    return Backtest(finite, retrained=False)


def calibrate_values(model: bytes, rows: TrainingRows) -> tuple[float, float]:
    """Fit the slope and intercept that turn a model's values into probabilities."""
    from propense.onnx_model.check import run_onnxruntime
    from propense.training.lightgbm_fit import calibrate

    values = run_onnxruntime(model, rows.matrix).astype(np.float64)
    # Newton's steps are bounded in units of the slope, so the values are first brought to unit scale.
    centre, scale = float(values.mean()), float(values.std()) or 1.0
    labels = rows.label.astype(np.float64)
    slope, intercept = calibrate((values - centre) / scale, labels, np.ones(len(labels)))
    return slope / scale, intercept - slope * centre / scale


def described_calibration(rows: TrainingRows, slope: float, intercept: float) -> dict[str, Any]:
    """Say in the manifest how values became probabilities."""
    return {
        "method": "logistic on the model's value",
        "as_of": in_words(rows.as_of_us[-1]),
        "rows": len(rows),
        "slope": slope,
        "intercept": intercept,
    }
