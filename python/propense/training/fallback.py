"""A preliminary model of bands, where a goal was reached too seldom to train trees."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from propense.backtest import Backtest
from propense.cuts import Cuts, backtest_us, periods_before
from propense.exceptions import ModelError, PropenseWarning, TrainingError
from propense.features import FeatureSet
from propense.instants import in_words
from propense.model import Model
from propense.tiers import TierPolicy
from propense.training.backtest import past_cuts
from propense.training.bands import Bands, band_features, fit_bands
from propense.training.finish import Candidate, TestPeriod, finish
from propense.training.metrics import evaluate
from propense.training.rows import Question, TrainingRows


def train_bands(question: Question, cuts: Cuts, cut_us: int, tiers: TierPolicy) -> Model:
    """Train on rates by recency and frequency; one user who reached the goal is enough.

    Raises
    ------
    TrainingError
        Nobody reached the goal, or everybody did.
    """
    goal = question.goal
    features = band_features(goal, question.timezone).bound(question.log, cut_us)
    rows = question.rows(features, cuts.as_of_us)
    positives = int(rows.label.sum())
    if positives in (0, len(rows)):
        who = "nobody" if positives == 0 else "everybody"
        raise TrainingError(
            f"goal {goal.name!r}: of {len(rows):,} users and dates before {in_words(cut_us)} {who} "
            f"reached the goal ({goal.when} within {goal.horizon}); there is no rate to tell users "
            "apart by. Use a longer log, another horizon or another goal"
        )
    warnings.warn(
        f"goal {goal.name!r}: {rows.users_of_each[0]:,} of {len(np.unique(rows.users)):,} users reached "
        "the goal, too few of one kind to train trees; the model gives smoothed rates by recency and "
        "frequency and is preliminary",
        PropenseWarning,
        stacklevel=3,
    )
    bands = fit_bands(rows)
    past = backtest(question, features, cut_us)
    newest = past.cuts[-1] if past.cuts else None
    if newest is not None and newest.as_of_us == cuts.test_us:
        test, kind = TestPeriod(newest.scores, newest.labels), "held_out"
    else:
        learnt = bands.scores(rows.matrix)
        test, kind = TestPeriod.of(rows, cuts.test_us, learnt), "in_sample"
    candidate = Candidate(
        engine="bands",
        goal=goal,
        features=features,
        as_of_us=cut_us,
        training=described(rows, cuts, features),
        calibration={"method": "none: rates of bands, smoothed"},
        metrics=evaluate(test.labels, test.scores)
        | {"kind": kind, "as_of": in_words(cuts.test_us)},
        test=test,
        backtest=past,
    )
    onnx, checks = export(bands, rows.matrix)
    return finish(candidate, question, onnx, checks, rows.matrix, tiers)


def backtest(question: Question, features: FeatureSet, cut_us: int) -> Backtest:
    """Fit bands anew for each past date; dates before which nobody reached the goal are left out."""
    first_us, horizon_us = question.log.span_us[0], question.goal.horizon_us

    def scorer(instant: int, rows: TrainingRows) -> NDArray[np.float64] | None:
        past = question.rows(features, periods_before(first_us, instant, horizon_us))
        if past.label.all() or not past.label.any():
            return None
        return fit_bands(past).scores(rows.matrix)

    instants = backtest_us(first_us, cut_us, horizon_us)
    return Backtest(tuple(past_cuts(question, features, instants, scorer, seed=0)), retrained=True)


def described(rows: TrainingRows, cuts: Cuts, features: FeatureSet) -> dict[str, object]:
    """Say in the manifest what was learnt from."""
    from propense.training.train import described as of_trees

    return of_trees(rows, cuts, features) | {"standing": "preliminary"}


def export(bands: Bands, matrix: NDArray[np.float32]) -> tuple[bytes, dict[str, object]]:
    """Give the ONNX file, and how far its scores are from the bands'.

    Raises
    ------
    ModelError
        They differ by more than 1e-6.
    """
    from propense.onnx_model.check import TOLERANCE, hostile_rows, run_onnxruntime
    from propense.onnx_model.lightgbm_export import from_tree

    onnx: bytes = from_tree(bands.tree(), width=2).SerializeToString(deterministic=True)
    bounds = (bands.recency, bands.frequency)
    edges = {place: np.asarray(ends, np.float32) for place, ends in enumerate(bounds)}
    rows = hostile_rows(matrix, seed=0, thresholds=edges)
    difference = float(np.abs(run_onnxruntime(onnx, rows) - bands.scores(rows)).max())
    if not difference <= TOLERANCE:
        raise ModelError(
            f"the ONNX model differs from its bands by {difference:.3g}; at most {TOLERANCE:g} is "
            "accepted"
        )
    record = {"rows": len(rows), "max_abs_difference": difference, "tolerance": TOLERANCE}
    return onnx, {"against": "the table of bands, in plain ONNX Runtime", **record}
