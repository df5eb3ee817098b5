"""What an audit cannot be asked is one clear line."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

import propense as pp
from propense.simulator import Simulation

USERS = pl.Series("user_id", [f"u{place}" for place in range(400)])
SCORES = pl.DataFrame(
    {
        "user_id": USERS,
        "score": pl.Series([0.1, 0.6] * 200, dtype=pl.Float32),
        "tier": ["least_likely", "most_likely"] * 200,
    }
)
PROFILES = pl.DataFrame(
    {
        "user_id": USERS,
        "country": ["GB", "GB", "DE", "DE"] * 100,
        "same": ["one"] * 400,
        "none": pl.Series([None] * 400, dtype=pl.String),
        "born": [date(1990, 1, 1)] * 400,
        "name": [f"n{place}" for place in range(400)],
    }
)


@pytest.mark.parametrize(
    ("protected", "said"),
    [
        (["contry"], "no attribute 'contry' (did you mean 'country'?)"),
        (["same"], "'same' has one group only ('one')"),
        (["none"], "'none' has no value"),
        (["born"], "'born' is Date; expected text, booleans or numbers"),
        (["name"], "'name' has 400 groups; at most 200"),
        ([], "name the protected attributes"),
        ({"country": [30, 45]}, "'country' is String; only numbers are cut in bands"),
    ],
)
def test_attributes_that_cannot_be_compared(protected: Any, said: str) -> None:
    with pytest.raises(pp.DataError) as error:
        pp.audit(SCORES, PROFILES, protected)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("scores", "changes", "said"),
    [
        (SCORES.drop("tier"), {}, "no column 'tier'"),
        (SCORES.drop("score"), {}, "no column 'score'"),
        (SCORES.with_columns(tier=pl.lit("most_likely")), {}, "everybody of 400 users is chosen"),
        (SCORES.with_columns(tier=pl.lit("least_likely")), {}, "nobody of 400 users is chosen"),
        (SCORES.clear(), {}, "nobody of 0 users"),
        (SCORES.with_columns(score=pl.lit(1.5)), {}, "not all probabilities"),
        (SCORES.with_columns(score=pl.lit("n/a")), {}, "'score' holds 'n/a'; expected prob"),
        (SCORES.with_columns(score=pl.lit(date(2025, 1, 1))), {}, "'score' holds Date; expected"),
        (SCORES.with_columns(score=pl.lit(None, pl.Float32)), {}, "not all probabilities"),
        (pl.concat([SCORES, SCORES]), {}, "several rows for some users"),
        (SCORES, {"selected": "most likely"}, "did you mean 'most_likely'"),
        (SCORES, {"selected": pl.Series([True] * 3)}, "one entry for each user"),
        (SCORES, {"outcomes": SCORES}, "outcomes have no column 'reached'"),
        (
            SCORES,
            {"outcomes": pl.DataFrame({"user_id": USERS.head(390), "reached": [True] * 390})},
            "lack 10 of the 400 users",
        ),
    ],
)
def test_scores_and_outcomes_that_do_not_fit(
    scores: pl.DataFrame, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(pp.DataError) as error:
        pp.audit(scores, PROFILES, ["country"], **changes)
    assert said in str(error.value)


def test_profiles_that_do_not_fit() -> None:
    with pytest.raises(pp.DataError, match="no column 'user_id'"):
        pp.audit(SCORES, PROFILES.rename({"user_id": "userid"}), ["country"])
    with pytest.raises(pp.DataError, match="several rows for some users"):
        pp.audit(SCORES, pl.concat([PROFILES, PROFILES]), ["country"])


@pytest.mark.parametrize("edges", [[], [45, 30], [30, 30], [float("nan")]])
def test_bands_must_ascend(edges: list[float]) -> None:
    profiles = PROFILES.with_columns(age=pl.int_range(pl.len()))
    with pytest.raises(pp.DataError, match="bands of 'age': expected ascending numbers"):
        pp.audit(SCORES, profiles, {"age": edges})


@pytest.mark.parametrize(
    "wrong",
    [
        {"ratio": 0.0},
        {"ratio": 0.95},
        {"warn_ratio": 1.5},
        {"confidence": 1.0},
        {"calibration": 0.9},
        {"min_people": 0},
        {"chance_block": 0.2},
        {"chance_warn": float("nan")},
    ],
)
def test_a_policy_that_makes_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(pp.DataError, match=next(iter(wrong))):
        pp.AuditPolicy(**wrong)


def test_marks_of_attributes_that_are_not_there(sim: Simulation, log: pp.EventLog) -> None:
    with pytest.raises(pp.DataError, match="no attribute 'agee'.*did you mean 'age'"):
        pp.read_profiles(sim.profiles, protected=["agee"])
    with pytest.raises(pp.DataError, match="the log has no attribute 'agee'"):
        log.with_protected(["agee"])
    found = pp.audit(SCORES, PROFILES, ["country"])
    with pytest.raises(pp.DataError, match="no attribute 'age' was audited"):
        found.metric_frame("age", {})
