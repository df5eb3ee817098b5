"""Tiers against slow definitions: every user in one, no outer tier larger than asked, ties together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import propense as pp
from propense.exceptions import ModelError
from propense.parts import audience_points
from propense.tiers import TIERS, CutOffs, TierPolicy, cut_offs

# Few distinct values make ties.
SCORES = st.one_of(
    st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]), min_size=1, max_size=60),
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=60),
).map(lambda values: np.array(values, np.float32))
SHARES = st.tuples(st.integers(0, 100), st.integers(0, 100)).filter(lambda pair: sum(pair) <= 100)
NO_TEST = np.empty(0), np.empty(0, bool)


def tiers_of(policy: TierPolicy, scores: NDArray[np.float32]) -> list[str]:
    tiers = cut_offs(policy, scores, len(scores), *NO_TEST).tiers(scores)
    assert tiers.null_count() == 0
    assert set(tiers) <= set(TIERS)
    return tiers.to_list()


def by_score(scores: NDArray[np.float32], tiers: list[str]) -> dict[float, set[str]]:
    found: dict[float, set[str]] = {}
    for score, tier in zip(scores.tolist(), tiers, strict=True):
        found.setdefault(score, set()).add(tier)
    return found


def slow_top(scores: NDArray[np.float32], count: int) -> set[float]:
    """Whole runs of equal scores from the best down, while no more than ``count`` users are in."""
    taken: set[float] = set()
    for score in sorted(set(scores.tolist()), reverse=True):
        if sum(other >= score for other in scores.tolist()) > count:
            break
        taken.add(score)
    return taken


def slow_bottom(scores: NDArray[np.float32], count: int) -> set[float]:
    return {-score for score in slow_top(-scores, count)}


@given(SCORES, SHARES)
def test_quantile_takes_whole_runs_up_to_the_share(
    scores: NDArray[np.float32], shares: tuple[int, int]
) -> None:
    most, least = shares
    tiers = tiers_of(TierPolicy.quantile(most / 100, least / 100), scores)
    top = slow_top(scores, most * len(scores) // 100)
    bottom = slow_bottom(scores, least * len(scores) // 100)
    for score, tier in by_score(scores, tiers).items():
        expected = TIERS[0] if score in top else TIERS[2] if score in bottom else TIERS[1]
        assert tier == {expected}


def test_default_is_a_fifth_on_either_side() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1_000, dtype=np.float32)) / 1_000
    counts = pl.Series(tiers_of(TierPolicy.quantile(), scores)).value_counts().sort("count")
    assert sorted(counts["count"].to_list()) == [200, 200, 600]


@given(SCORES, st.integers(0, 70), st.integers(0, 100))
def test_capacity_never_takes_more_than_it_has(
    scores: NDArray[np.float32], most: int, least: int
) -> None:
    tiers = tiers_of(TierPolicy.capacity(most, least / 100), scores)
    top = slow_top(scores, most)
    assert tiers.count(TIERS[0]) <= most
    found = by_score(scores, tiers)
    assert {score for score, tier in found.items() if tier == {TIERS[0]}} == top
    assert tiers.count(TIERS[2]) <= least * len(scores) / 100


LARGE = 95_455


@pytest.mark.parametrize("levels", [0, 30_000, 40], ids=["distinct", "some ties", "many ties"])
def test_a_capacity_set_later_is_of_users_not_of_the_scores_kept(
    levels: int, model: pp.Model
) -> None:
    scores = np.random.default_rng(levels).beta(1, 8, LARGE).astype(np.float32)
    if levels:
        scores = np.ceil(scores * levels).astype(np.float32) / levels
    training = model.training | {"audience": LARGE}
    parts = replace(model._parts, audience=audience_points(scores), training=training)
    assert len(parts.audience) < LARGE
    for most in (0, 3, 20, 777, 5_000, 47_000, LARGE - 1, LARGE, 2 * LARGE):
        cuts = parts.with_tiers(TierPolicy.capacity(most)).cut_offs
        taken = int((scores >= np.float32(cuts.most)).sum())
        assert taken <= most
        whole = cut_offs(TierPolicy.capacity(most), scores, LARGE, *NO_TEST)
        exact = int((scores >= np.float32(whole.most)).sum())
        # Two of the points kept stand for 2 in 10,000 users; ties go to the middle whole.
        assert taken >= exact - 2 * LARGE / 10_000 or levels


@given(SCORES, st.floats(0, 1), st.floats(0, 1))
def test_probability_cuts_at_the_scores_named(
    scores: NDArray[np.float32], one: float, other: float
) -> None:
    least, most = sorted((one, other))
    tiers = tiers_of(TierPolicy.probability(most, least), scores)
    for score, tier in zip(scores, tiers, strict=True):
        expected = 0 if score >= np.float32(most) else 2 if score < np.float32(least) else 1
        assert tier == TIERS[expected]


@given(SCORES, st.data(), st.floats(0.01, 1))
def test_precision_takes_the_largest_top_that_holds_the_floor(
    scores: NDArray[np.float32], data: st.DataObject, floor: float
) -> None:
    size = len(scores)
    labels = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    holding = [s for s in set(scores.tolist()) if labels[scores >= s].mean() >= floor]
    policy = TierPolicy.precision(floor)
    if not holding:
        with pytest.raises(ModelError, match="precision of"):
            cut_offs(policy, scores, size, scores, labels)
        return
    cuts = cut_offs(policy, scores, size, scores, labels)
    assert cuts.most == min(holding)
    assert (cuts.tiers(scores) == TIERS[0]).to_list() == (scores >= min(holding)).tolist()


@given(SCORES, st.floats(-0.5, 1.5), st.floats(-0.5, 1.5))
def test_any_cut_offs_put_every_score_into_one_tier(
    scores: NDArray[np.float32], most: float, least: float
) -> None:
    tiers = CutOffs(most, least).tiers(scores)
    assert tiers.dtype == pl.Enum(TIERS)
    assert len(tiers) == len(scores)
    assert tiers.null_count() == 0
    assert all(len(tier) == 1 for tier in by_score(scores, tiers.to_list()).values())


def test_no_scores_have_no_tiers() -> None:
    assert CutOffs(0.5, 0.2).tiers(np.empty(0, np.float32)).len() == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TierPolicy.quantile(0.6, 0.6), "most=0.6 and least=0.6"),
        (lambda: TierPolicy.quantile(-0.1, 0.2), "most=-0.1"),
        (lambda: TierPolicy.quantile(float("nan"), 0.2), "most=nan"),
        (lambda: TierPolicy.probability(0.2, 0.5), "least=0.5, most=0.2"),
        (lambda: TierPolicy.probability(1.5), "most=1.5"),
        (lambda: TierPolicy.capacity(-1), "most=-1"),
        (lambda: TierPolicy.capacity(2.5), "most=2.5"),  # type: ignore[arg-type]
        (lambda: TierPolicy.capacity(float("nan")), "most=nan"),  # type: ignore[arg-type]
        (lambda: TierPolicy.capacity(float("inf")), "most=inf"),  # type: ignore[arg-type]
        (lambda: TierPolicy.precision(0.0), "precision=0.0"),
        (lambda: TierPolicy.precision(1.1), "precision=1.1"),
        (lambda: TierPolicy.from_dict({"policy": "best"}), "'best'"),
        (lambda: TierPolicy.from_dict({"policy": "capacity"}), "capacity"),
        (lambda: TierPolicy.from_dict({"policy": "quantile", "precision": 0.5}), "quantile"),
    ],
)
def test_policies_that_cannot_be_are_refused(make: object, message: str) -> None:
    with pytest.raises(pp.PropenseError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    "policy",
    [
        TierPolicy.quantile(0.1, 0.3),
        TierPolicy.probability(0.6, 0.4),
        TierPolicy.capacity(500, 0.1),
        TierPolicy.precision(0.4),
    ],
)
def test_a_policy_survives_its_dictionary(policy: TierPolicy) -> None:
    assert TierPolicy.from_dict(policy.as_dict()) == policy
