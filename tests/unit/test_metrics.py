"""The metrics equal scikit-learn's, ties included, and do not depend on the order of rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from propense.exceptions import DataError
from propense.training import metrics

# Few distinct scores make ties the rule; ends of the interval are included.
SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.25000001, 0.5, 0.9, 1.0])
ROWS = st.lists(st.tuples(st.integers(0, 1), SCORES), min_size=1, max_size=60)
BOTH_CLASSES = ROWS.filter(lambda rows: len({label for label, _ in rows}) == 2)


def columns(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([label for label, _ in rows]), np.array([score for _, score in rows])


def simulated(n: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    score = random.beta(1, 4, n)
    return (random.random(n) < score).astype(np.int8), score


@settings(max_examples=150, deadline=None)
@given(BOTH_CLASSES)
def test_ranking_metrics_equal_scikit_learn(rows: list[tuple[int, float]]) -> None:
    y, score = columns(rows)
    assert metrics.auc(y, score) == pytest.approx(sk.roc_auc_score(y, score), abs=1e-12)
    expected = sk.average_precision_score(y, score)
    assert metrics.average_precision(y, score) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_probability_metrics_equal_scikit_learn(rows: list[tuple[int, float]]) -> None:
    y, score = columns(rows)
    assert metrics.brier(y, score) == pytest.approx(np.mean((y - score) ** 2), abs=1e-12)
    assert metrics.log_loss(y, score) == pytest.approx(
        sk.log_loss(y, score, labels=[0, 1]), rel=1e-9, abs=1e-12
    )


@settings(max_examples=100, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_order_of_rows_changes_nothing(rows: list[tuple[int, float]], random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    before, after = (metrics.deciles(*columns(r)) for r in (rows, shuffled))
    keys = ("decile", "n", "positives")
    assert [[d[k] for k in keys] for d in before] == [[d[k] for k in keys] for d in after]
    assert sum(d["n"] for d in before) == len(rows)


def test_deciles_of_distinct_scores_are_even_and_the_best_comes_first() -> None:
    y, score = simulated()
    rows = metrics.deciles(y, score)
    assert [row["decile"] for row in rows] == list(range(1, 11))
    assert [row["n"] for row in rows] == [500] * 10
    parts = np.array_split(np.argsort(-score), 10)
    for row, part in zip(rows, parts, strict=True):
        assert row["positives"] == y[part].sum()
        assert row["mean_score"] == pytest.approx(score[part].mean())
        assert row["lift"] == pytest.approx(y[part].mean() / y.mean())
    expected = np.mean([abs(y[part].mean() - score[part].mean()) for part in parts])
    assert metrics.expected_calibration_error(y, score) == pytest.approx(expected)


def test_calibration_error_tells_calibrated_from_shifted_scores() -> None:
    y, score = simulated()
    assert metrics.expected_calibration_error(y, score) < 0.03
    shifted = np.clip(score + 0.1, 0, 1)
    assert metrics.expected_calibration_error(y, shifted) == pytest.approx(0.1, abs=0.02)


def test_evaluate_is_json_and_carries_counts() -> None:
    y, score = simulated(200)
    result = json.loads(json.dumps(metrics.evaluate(y, score), allow_nan=False))
    assert result["n"] == 200
    assert result["positives"] == int(y.sum())
    assert result["expected_positives"] == pytest.approx(score.sum())
    for name in (
        "auc",
        "average_precision",
        "brier",
        "log_loss",
        "expected_calibration_error",
    ):
        assert result[name]["n"] == 200
        assert result[name]["positives"] == int(y.sum())
        assert isinstance(result[name]["value"], float)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_no_auc_but_is_reported(label: int) -> None:
    result = metrics.evaluate(np.full(20, label), np.linspace(0.1, 0.9, 20))
    assert result["auc"]["value"] is None
    assert result["base_rate"] == label
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(
    ("y", "score", "message"),
    [
        ([], [], "at least one row"),
        ([0, 1], [0.5], "same length"),
        ([0, 2], [0.5, 0.5], "neither 0 nor 1"),
        ([0, 1], [0.5, np.nan], "not finite"),
        ([0, 1], [0.5, 1.5], "outside"),
    ],
)
def test_unusable_input_is_named(y: list[int], score: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        metrics.evaluate(y, score)
