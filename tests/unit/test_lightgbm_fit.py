"""The default trainer is deterministic, splits by user and calibrates on unseen predictions."""

from __future__ import annotations

import numpy as np
import pytest

from propense.exceptions import TrainingError
from propense.training import lightgbm_fit
from propense.training.lightgbm_fit import FOLDS, ROUNDS, Fit, calibrate, fit

lightgbm = pytest.importorskip("lightgbm")

Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def simulated(users: int = 600, signal: float = 1.5, seed: int = 0) -> Rows:
    """Three periods of each user; the label depends on the first feature alone."""
    random = np.random.default_rng(seed)
    user = np.tile(np.arange(users), 3)
    period = np.repeat(np.arange(3), users)
    X = random.normal(size=(3 * users, 6)).astype(np.float32)
    p = 1 / (1 + np.exp(-(signal * X[:, 0].astype(float) - 1)))
    y = (random.random(3 * users) < p).astype(np.int8)
    X[random.random(X.shape) < 0.1] = np.nan
    return X, y, user, period


def scores(result: Fit, X: np.ndarray) -> np.ndarray:
    raw = np.mean([b.predict(X, raw_score=True) for b in result.boosters], axis=0)
    return 1 / (1 + np.exp(-(result.slope * raw + result.intercept)))


def test_equal_seeds_give_equal_models_and_another_seed_another() -> None:
    rows = simulated()
    first, again, other = fit(*rows, seed=5), fit(*rows, seed=5), fit(*rows, seed=6)
    assert [b.model_to_string() for b in first.boosters] == [
        b.model_to_string() for b in again.boosters
    ]
    np.testing.assert_array_equal(first.out_of_fold, again.out_of_fold)
    assert not np.array_equal(first.out_of_fold, other.out_of_fold)


def test_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = simulated()
    one = fit(*rows, seed=5)
    monkeypatch.setattr(lightgbm_fit.os, "cpu_count", lambda: 1)
    all_of_them = fit(*rows, seed=5)
    np.testing.assert_array_equal(one.out_of_fold, all_of_them.out_of_fold)


def test_out_of_fold_is_calibrated_and_below_the_fit_on_seen_rows() -> None:
    X, y, user, period = simulated(1500)
    result = fit(X, y, user, period, seed=1)
    assert result.out_of_fold.dtype == np.float64
    assert result.out_of_fold.mean() == pytest.approx(y.mean(), abs=1e-3)
    seen = scores(result, X)

    def log_loss(p: np.ndarray) -> float:
        return -np.mean(np.where(y == 1, np.log(p), np.log(1 - p)))

    assert log_loss(seen) < log_loss(result.out_of_fold) < log_loss(np.full(len(y), y.mean()))


def test_a_user_is_never_on_both_sides() -> None:
    # The label is a coin per user and the features only name the user: a split by rows would learn
    # the coin from the user's other rows, a split by users cannot.
    random = np.random.default_rng(2)
    users = 300
    user = np.repeat(np.arange(users), 6)
    period = np.tile(np.arange(6), users)
    y = (random.random(users) < 0.5).astype(np.int8)[user]
    X = random.normal(size=(users, 3)).astype(np.float32)[user]
    result = fit(X, y, user, period, seed=0)
    right = np.mean((result.out_of_fold > 0.5) == (y == 1))
    assert 0.4 < right < 0.6


@pytest.mark.parametrize(
    # Totals of the small period against the large: equal at 1:2, and twice its size at 1:10.
    ("n_small", "n_large", "expected"),
    [(4000, 8000, 0.4), (800, 8000, (0.6 * 2 * 800 + 0.2 * 8000) / (2 * 800 + 8000))],
)
def test_small_periods_weigh_more_but_at_most_twice(
    n_small: int, n_large: int, expected: float
) -> None:
    random = np.random.default_rng(4)
    period = np.repeat([0, 1], [n_small, n_large])
    y = (random.random(n_small + n_large) < np.where(period == 0, 0.6, 0.2)).astype(np.int8)
    X = random.normal(size=(len(y), 2)).astype(np.float32)
    result = fit(X, y, np.arange(len(y)), period, seed=0)
    assert result.out_of_fold.mean() == pytest.approx(expected, abs=0.015)


def test_the_row_cap_leaves_out_whole_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lightgbm_fit, "MAX_ROWS", 900)
    X, y, user, period = simulated()
    result = fit(X, y, user, period, seed=1)
    assert sum(b.num_trees() for b in result.boosters) <= FOLDS * ROUNDS
    assert np.isfinite(result.out_of_fold).all()
    fold = lightgbm_fit._folds(y.astype(float), user, np.random.default_rng(1))
    assert 890 <= (fold >= 0).sum() <= 900
    for one in range(600):
        assert len(set(fold[user == one])) == 1


def test_progress_counts_up_to_the_rounds_at_most() -> None:
    seen: list[tuple[int, int]] = []
    fit(*simulated(), seed=0, progress=lambda done, most: seen.append((done, most)))
    done = [d for d, _ in seen]
    assert done == list(range(1, len(done) + 1))
    assert {most for _, most in seen} == {ROUNDS}


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, -1.0), (2.0, 0.7)])
def test_calibrate_finds_the_line_that_made_the_labels(slope: float, intercept: float) -> None:
    random = np.random.default_rng(9)
    raw = random.normal(-1, 1.5, 40_000)
    y = (random.random(len(raw)) < 1 / (1 + np.exp(-(slope * raw + intercept)))).astype(float)
    found = calibrate(raw, y, np.ones(len(raw)))
    assert found == pytest.approx((slope, intercept), abs=0.08)


def test_calibrate_never_turns_the_ranking_round() -> None:
    raw = np.linspace(-2, 2, 1000)
    y = (raw < 0).astype(float)
    slope, intercept = calibrate(raw, y, np.ones(len(raw)))
    assert slope > 0
    assert np.mean(1 / (1 + np.exp(-(slope * raw + intercept)))) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("positives", [0, 19, 1781, 1800])
def test_too_few_of_one_class_is_refused(positives: int) -> None:
    X, _, user, period = simulated()
    y = (np.arange(len(X)) < positives).astype(np.int8)
    with pytest.raises(TrainingError, match="at least 20 of each"):
        fit(X, y, user, period, seed=0)
