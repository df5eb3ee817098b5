"""The audit against other people's numbers, and what it must find and must not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense.audit.chance import holm, lower_tail, two_sided
from propense.audit.groups import grouped


def audience(
    seed: int, ratio: float = 1.0, users: int = 10_000, small: int = 1_000, rate: float = 0.2
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Scores, profiles and outcomes in which group B is chosen at ``ratio`` times the rate of A."""
    rng = np.random.default_rng(seed)
    ids = pl.Series("user_id", [f"u{place}" for place in range(users)])
    group = np.where(np.arange(users) < small, "B", "A")
    chosen = rng.random(users) < np.where(group == "B", rate * ratio, rate)
    score = np.clip(rng.beta(1, 9, users) + 0.1 * chosen, 0, 1)
    tier = np.where(chosen, "most_likely", "least_likely")
    order = rng.permutation(users)
    scores = pl.DataFrame({"user_id": ids, "score": score.astype(np.float32), "tier": tier})
    profiles = pl.DataFrame(
        {
            "user_id": ids,
            "group": group,
            "age": rng.integers(16, 80, users),
            "country": rng.choice(list("UVWXYZ"), users),
        }
    )
    outcomes = pl.DataFrame({"user_id": ids, "reached": rng.random(users) < score})
    return scores, profiles[order], outcomes[order[::-1]]


def row(audit: pp.Audit, group: str) -> dict[str, object]:
    table = pl.concat([audit.groups, audit.pairs])
    return table.row(by_predicate=pl.col("group") == group, named=True)


def test_rates_by_group_and_pair_are_fairlearns() -> None:
    metrics = pytest.importorskip("fairlearn.metrics")
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, profiles, outcomes = audience(1, 0.7)
    audit = pp.audit(scores, profiles, ["group", "country"], outcomes=outcomes)
    known = scores.join(profiles, on="user_id").join(outcomes, on="user_id")
    chosen = (known["tier"] == "most_likely").to_numpy()
    reached = known["reached"].to_numpy()
    for columns in (["group"], ["country"], ["group", "country"]):
        theirs = metrics.MetricFrame(
            metrics={
                "selection_rate": metrics.selection_rate,
                "precision": sklearn.precision_score,
                "recall": sklearn.recall_score,
            },
            y_true=reached,
            y_pred=chosen,
            sensitive_features=known.select(columns).to_pandas(),
        )
        by_group = theirs.by_group
        best = by_group["selection_rate"].max()
        for key, values in by_group.iterrows():
            found = row(audit, key if isinstance(key, str) else " × ".join(key))
            for name in ("selection_rate", "precision", "recall"):
                assert found[name] == pytest.approx(values[name], abs=1e-12), (key, name)
            assert found["ratio"] == pytest.approx(values["selection_rate"] / best, abs=1e-12)
    ratio = metrics.demographic_parity_ratio(
        reached, chosen, sensitive_features=known["group"].to_list()
    )
    assert row(audit, "B")["ratio"] == pytest.approx(ratio, abs=1e-12)
    ours = audit.metric_frame("group × country", metrics.false_positive_rate)
    assert len(ours.by_group) == 12


def test_calibration_is_outcomes_over_scores_next_to_everyone() -> None:
    scores, profiles, outcomes = audience(2)
    audit = pp.audit(scores, profiles, ["group"], outcomes=outcomes)
    known = scores.join(profiles, on="user_id").join(outcomes, on="user_id")

    def level(frame: pl.DataFrame) -> float:
        return frame["reached"].sum() / frame["score"].cast(pl.Float64).sum()

    ours = row(audit, "B")["calibration"]
    assert ours == pytest.approx(level(known.filter(pl.col("group") == "B")) / level(known))
    # A season in which everyone reaches the goal less often is nobody's unfairness.
    fewer = outcomes.with_columns(
        pl.col("reached") & pl.Series(np.random.default_rng(0).random(outcomes.height) < 0.5)
    )
    assert pp.audit(scores, profiles, ["group"], outcomes=fewer).verdict == "pass"


@pytest.mark.parametrize("hits", [0, 3, 12, 19, 20])
def test_the_tail_is_fishers(hits: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    ours = lower_tail(hits, 100, 200, 1_000)
    theirs = stats.hypergeom.cdf(hits, 1_000, 200, 100) if hits < 20 else 1.0
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert two_sided(1.7) == pytest.approx(2 * stats.norm.sf(1.7))
    large = lower_tail(19_500, 100_000, 2_000_000, 10_000_000)
    assert large == pytest.approx(stats.hypergeom.cdf(19_500, 10**7, 2 * 10**6, 10**5), rel=1e-5)


def test_holm_is_the_step_down_correction() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_intervals_are_about_those_of_theory() -> None:
    stats = pytest.importorskip("scipy.stats")
    for seed, confidence in ((0, 0.95), (1, 0.95), (2, 0.8)):
        scores, profiles, outcomes = audience(seed, 0.8)
        policy = pp.AuditPolicy(confidence=confidence)
        audit = pp.audit(scores, profiles, ["group"], outcomes=outcomes, policy=policy)
        known = scores.join(profiles, on="user_id").join(outcomes, on="user_id")
        chosen = known.filter(pl.col("tier") == "most_likely", pl.col("group") == "B")
        small, large = row(audit, "B"), row(audit, "A")
        rate, tail = float(str(small["selection_rate"])), (1 - confidence) / 2
        low, high = stats.binom.ppf([tail, 1 - tail], 1_000, rate) / 1_000
        assert small["selection_rate_low"] == pytest.approx(low, abs=0.004)
        assert small["selection_rate_high"] == pytest.approx(high, abs=0.004)
        spread = (1 - rate) / (1_000 * rate)
        other = float(str(large["selection_rate"]))
        half = stats.norm.ppf(1 - tail) * np.sqrt(spread + (1 - other) / (9_000 * other))
        ratio = float(str(small["ratio"]))
        assert small["ratio_low"] == pytest.approx(ratio * np.exp(-half), abs=0.02)
        assert small["ratio_high"] == pytest.approx(ratio * np.exp(half), abs=0.02)
        right = chosen["reached"].mean()
        width = 2 * stats.norm.ppf(1 - tail) * np.sqrt(right * (1 - right) / chosen.height)
        found = float(str(small["precision_high"])) - float(str(small["precision_low"]))
        assert found == pytest.approx(width, rel=0.2)


def test_a_planted_ratio_is_found_and_named() -> None:
    verdicts = []
    for seed in range(40):
        scores, profiles, _ = audience(seed, 0.7)
        audit = pp.audit(scores, profiles, ["group"])
        verdicts.append(audit.verdict)
        if audit.verdict != "pass":
            assert "group 'B'" in audit.reasons[0]
            assert "times the rate of 'A'" in audit.reasons[0]
            # It blocks if the interval leaves out 0.8, and only then.
            high = row(audit, "B")["ratio_high"]
            assert (audit.verdict == "block") == (high < 0.8)  # type: ignore[operator]
    assert verdicts.count("pass") <= 1
    # Chosen at half, a ratio of 0.7 is far enough from 0.8 to be sure of.
    sure = [pp.audit(*audience(seed, 0.7, rate=0.5)[:2], ["group"]).verdict for seed in range(20)]
    assert sure.count("block") >= 14
    clear = [pp.audit(*audience(seed, 0.5)[:2], ["group"]).verdict for seed in range(20)]
    assert clear.count("block") == 20


def test_ten_unbiased_audits_in_a_row_are_hardly_ever_blocked() -> None:
    blocked = 0
    for run in range(6):
        # Small groups, where luck is largest: 24 pairs, some of only 100 people.
        audits = (
            pp.audit(*audience(10 * run + place, 1.0, users=4_000)[:2], ["country", "age", "group"])
            for place in range(10)
        )
        blocked += any(audit.verdict == "block" for audit in audits)
    assert blocked == 0


def test_a_bias_in_a_pair_of_groups_alone_is_found() -> None:
    rng = np.random.default_rng(5)
    users = 12_000
    one, other = rng.choice(["a", "b"], users), rng.choice(["x", "y"], users)
    # Each attribute alone is even: what a × x lacks, a × y has.
    rate = np.where((one == "a") == (other == "x"), 0.12, 0.28)
    chosen = rng.random(users) < rate
    scores = pl.DataFrame({"user_id": np.arange(users), "score": np.where(chosen, 0.5, 0.1)})
    scores = scores.with_columns(pl.Series("score", scores["score"], dtype=pl.Float32))
    profiles = pl.DataFrame({"user_id": np.arange(users), "one": one, "other": other})
    found = pp.audit(scores, profiles, ["one", "other"], selected=pl.Series(chosen))
    assert set(found.groups["finding"]) == {"pass"}
    assert found.verdict == "block"
    assert row(found, "a × x")["finding"] == "block"
    assert row(found, "a × y")["finding"] == "pass"


def test_too_few_people_are_never_guessed_at() -> None:
    scores, profiles, outcomes = audience(3, 0.0, small=60)
    found = pp.audit(scores, profiles, ["group"], outcomes=outcomes)
    small = row(found, "B")
    assert small["people"] == 60
    assert small["finding"] == "not enough people"
    assert {name for name, value in small.items() if value is not None} == {
        "by",
        "group",
        "people",
        "finding",
    }
    assert found.verdict == "pass"
    assert "not enough people in 1 of 2 groups" in found.notes[0]
    assert "whether the model reads these attributes" in found.notes[-1]
    lower = pp.AuditPolicy(min_people=50)
    assert pp.audit(scores, profiles, ["group"], policy=lower).verdict == "block"
    # 500 people of whom 1 % would be chosen are too few as well.
    rare = pp.audit(*audience(3, 0.0, small=500, rate=0.01)[:2], ["group"])
    assert row(rare, "B")["finding"] == "not enough people"


def test_the_missing_are_counted_and_not_judged() -> None:
    scores, profiles, _ = audience(4)
    holed = profiles.with_columns(
        pl.when(pl.int_range(pl.len()) % 10 > 0).then("country"),
        pl.when(pl.int_range(pl.len()) % 20 > 0).then("age").otherwise(None).alias("age"),
    ).head(9_500)
    found = pp.audit(scores, holed, ["country", "age"])
    unknown = found.groups.filter(pl.col("group") == "(missing)")
    assert dict(unknown.select("by", "people").iter_rows()) == {"country": 1_450, "age": 975}
    assert set(unknown["finding"]) == {"not judged"}
    assert any("1,450 users have no country" in note for note in found.notes)


def test_attributes_that_no_user_has_both_of_are_not_compared_as_a_pair() -> None:
    scores, profiles, outcomes = audience(4)
    here = pl.col("user_id").str.ends_with("1")
    halves = profiles.with_columns(
        pl.when(here).then("country").alias("country"),
        pl.when(~here).then("group").alias("group"),
    )
    found = pp.audit(scores, halves, ["country", "group", "age"], outcomes=outcomes)
    assert set(found.pairs["by"]) == {"country × age", "group × age"}
    assert any("no user has both of country × group" in note for note in found.notes)
    alone = pp.audit(scores, halves, ["country", "group"], outcomes=outcomes)
    assert alone.pairs.is_empty()


def test_numbers_are_cut_in_bands() -> None:
    values = pl.Series("age", [15, 20, 30, 44, 45, 70, None], dtype=pl.Int64)
    bands = grouped(values, [30, 45])
    assert bands.names == ["under 30", "30–44", "45 and over"]
    assert bands.codes.tolist() == [0, 0, 1, 1, 2, 2, -1]
    assert grouped(values, None).names == ["15", "20", "30", "44", "45", "70"]
    cohorts = pl.Series("cohort", [20240101, 20240115, 20240101, -7, 0])
    assert grouped(cohorts, None).names == ["-7", "0", "20240101", "20240115"]
    incomes = pl.Series("income", [900_000, 1_234_567, 2_500_000])
    bands = grouped(incomes, [1_000_001, 2_000_003])
    assert bands.names == ["under 1000001", "1000001–2000002", "2000003 and over"]
    halves = pl.Series("share", [0.5, 0.25, 1.0])
    assert grouped(halves, None).names == ["0.25", "0.5", "1"]
    many = pl.Series("income", np.linspace(0.5, 100.5, 1_000))
    quarters = grouped(many, None)
    assert len(quarters.names) == 4
    assert np.ptp(np.bincount(quarters.codes)) <= 2


def test_the_policy_can_be_changed_and_is_stated() -> None:
    scores, profiles, _ = audience(6, 0.85, users=60_000, small=20_000)
    assert pp.audit(scores, profiles, ["group"]).verdict == "warn"
    strict = pp.AuditPolicy(ratio=0.95, warn_ratio=0.95)
    assert pp.audit(scores, profiles, ["group"], policy=strict).verdict == "block"
    lax = pp.AuditPolicy(ratio=0.5, warn_ratio=0.6)
    assert pp.audit(scores, profiles, ["group"], policy=lax).verdict == "pass"
    assert "0.95 times" in strict.rules[0]
    # As docs/fairness.md has it for choices that require a pass.
    assert "at most 0.5% of unbiased audits" in pp.AuditPolicy(chance_warn=0.005).rules[1]
    assert "at most 5% of unbiased audits" in pp.AuditPolicy().rules[1]


def test_a_low_ratio_that_passes_is_not_passed_over_in_silence() -> None:
    scores, profiles, _ = audience(0, 0.9, users=2_000, small=150)
    found = pp.audit(scores, profiles, ["group"])
    assert found.verdict == "pass"
    assert row(found, "B")["ratio"] < 0.9  # type: ignore[operator]
    said = (
        "1 of 2 groups pass with a ratio below 0.9: more than 5% of unbiased audits show the like"
    )
    assert any(said in note for note in found.notes)
    assert not any("pass with" in note for note in pp.audit(*audience(0)[:2], ["group"]).notes)


def test_recall_and_calibration_only_warn() -> None:
    scores, profiles, outcomes = audience(7)
    b = scores.join(profiles, on="user_id", maintain_order="left")["group"] == "B"
    known = scores.join(outcomes, on="user_id", maintain_order="left")
    # Of group B only those who are not chosen reach the goal, more often than their scores say.
    unlucky = known.with_columns(
        pl.when(b & (pl.col("tier") == "most_likely"))
        .then(False)
        .when(b)
        .then(pl.int_range(pl.len()) % 3 == 0)
        .otherwise("reached")
        .alias("reached")
    )
    found = pp.audit(scores, profiles, ["group"], outcomes=unlucky)
    assert found.verdict == "warn"
    said = " ".join(found.reasons)
    assert "of those who reach the goal 0.0% are chosen" in said
    assert "more likely to reach the goal than the scores say" in said


def test_the_result_is_saved_and_can_be_required(tmp_path: Path) -> None:
    scores, profiles, _ = audience(8, 0.5)
    found = pp.audit(scores, profiles, ["group"])
    saved = json.loads(found.save(tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert saved["verdict"] == "block"
    assert saved["groups"][1]["group"] == "B"
    assert saved["policy"]["ratio"] == 0.8
    assert saved["model_digest"] is None
    with pytest.raises(pp.FairnessError, match="says block, pass is required: block: group 'B'"):
        found.require("pass")
    fine = pp.audit(*audience(8)[:2], ["group"])
    assert fine.require() is fine
    assert pp.audit(scores, profiles, ["group"]).groups.equals(found.groups)
