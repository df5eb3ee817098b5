"""What explains a score adds up to it, whoever asks and however much is listed."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import process_time

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense import _core
from propense.explain import BASE, OTHERS
from propense.features import compute_matrix
from propense.simulator import Simulation


@pytest.fixture(scope="module")
def explained(model: pp.Model, log: pp.EventLog, sim: Simulation) -> pl.DataFrame:
    return model.explain(log, as_of=sim.as_of)


def logit(score: pl.Series) -> np.ndarray:
    p = score.to_numpy().astype(np.float64)
    return np.log(p / (1 - p))


def sums(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.group_by("user_id", maintain_order=True).agg(
        pl.col("contribution").cast(pl.Float64).sum()
    )


def test_contributions_and_base_add_up_to_the_logit(
    model: pp.Model, log: pp.EventLog, sim: Simulation, explained: pl.DataFrame
) -> None:
    scores = model.score(log, as_of=sim.as_of)
    found = sums(explained)
    assert found["user_id"].to_list() == scores["user_id"].to_list()
    assert np.abs(found["contribution"].to_numpy() - logit(scores["score"])).max() < 1e-5


def test_one_row_a_user_and_feature_with_its_value(
    model: pp.Model, log: pp.EventLog, sim: Simulation, explained: pl.DataFrame
) -> None:
    scores = model.score(log, as_of=sim.as_of)
    features = [name for name in explained["feature"].unique(maintain_order=True) if name != BASE]
    assert explained.height == scores.height * (1 + len(features))
    assert set(features) <= set(model.features.names)
    frame = pp.compute_features(log, model.features, as_of=sim.as_of)
    wide = explained.filter(pl.col("feature") != BASE).pivot(
        "feature", index="user_id", values="value"
    )
    expected = wide.select("user_id").join(frame, on="user_id", how="left", maintain_order="left")
    for name in features:
        assert wide[name].equals(expected[name].fill_nan(None).alias(name)), name


def test_the_matrix_and_the_log_give_the_same(
    model: pp.Model, log: pp.EventLog, sim: Simulation, explained: pl.DataFrame
) -> None:
    users = explained["user_id"].unique(maintain_order=True)[:80]
    frame = pp.compute_features(log, model.features, as_of=sim.as_of)
    rows = frame.filter(pl.col("user_id").is_in(users.implode())).drop("user_id").to_numpy()
    by_matrix = model.core.explain(np.ascontiguousarray(rows, np.float32))
    base, reads = _core.explainer(model.core)
    found = explained.filter(pl.col("user_id").is_in(users.implode()) & (pl.col("feature") != BASE))
    assert found["contribution"].to_list() == by_matrix[:, reads].ravel().tolist()
    assert explained["contribution"][0] == np.float32(base)


def test_some_users_are_explained_as_among_all(
    model: pp.Model, log: pp.EventLog, sim: Simulation, explained: pl.DataFrame
) -> None:
    ids = explained["user_id"].unique(maintain_order=True)
    asked = [ids[70], ids[3], ids[500]]
    some = model.explain(log, users=asked, as_of=sim.as_of)
    assert some["user_id"].unique(maintain_order=True).to_list() == asked
    for user in asked:
        mine = pl.col("user_id") == user
        assert some.filter(mine).equals(explained.filter(mine))


@pytest.mark.parametrize("top", [1, 3, 1_000])
def test_the_largest_are_listed_and_the_rest_summed(
    model: pp.Model, log: pp.EventLog, sim: Simulation, explained: pl.DataFrame, top: int
) -> None:
    few = model.explain(log, as_of=sim.as_of, top=top)
    assert np.abs(sums(few)["contribution"] - sums(explained)["contribution"]).max() < 1e-5
    for (user,), mine in list(few.group_by("user_id", maintain_order=True))[:50]:
        everything = explained.filter((pl.col("user_id") == user) & (pl.col("feature") != BASE))
        largest = everything["contribution"].abs().sort(descending=True).head(top)
        listed = mine.filter(~pl.col("feature").cast(pl.String).is_in([BASE, OTHERS]))
        assert listed["contribution"].abs().to_list() == largest.to_list()
        assert mine["feature"][0] == BASE
        assert mine["feature"][-1] == OTHERS
        assert mine["words"].null_count() == 0


def test_words_say_the_value_and_what_is_usual(
    model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    few = model.explain(log, as_of=sim.as_of, top=20)
    training = pp.export_training(log, model.goal, features=model.features, as_of=sim.as_of)
    said = 0
    for days in (7, 30):
        name = f"app_open_count_{days}d"
        usual = model.training["usual"][name]
        assert usual == training[name].sort()[(training.height - 1) // 2]
        of_opens = few.filter(pl.col("feature").cast(pl.String) == name)
        for row in of_opens.filter(pl.col("value") > 1).head(50).iter_rows(named=True):
            usually = "" if row["value"] == usual else f", usually {usual:.0f}"
            assert row["words"] == f"{row['value']:.0f} app opens in {days} days{usually}"
            said += 1
    assert said > 0


def test_a_change_adds_up_to_the_change_of_the_logit(
    model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    before, after = "2024-11-01", sim.as_of
    old, new = (model.score(log, as_of=as_of) for as_of in (before, after))
    both = old.join(new, on="user_id", suffix="_new").sort("user_id")
    users = both["user_id"].to_list()[:200]
    change = logit(both["score_new"])[:200] - logit(both["score"])[:200]
    for top in (None, 2):
        frame = model.explain_change(log, users=users, before=before, after=after, top=top)
        found = frame.group_by("user_id", maintain_order=True).agg(pl.col("change").sum())
        assert found["user_id"].to_list() == users
        assert np.abs(found["change"].to_numpy() - change).max() < 2e-5
        difference = frame["contribution_after"] - frame["contribution_before"]
        assert (difference - frame["change"]).abs().max() < 1e-5  # type: ignore[operator]
    one = model.explain_change(log, users=users[:1], before=before, after=after)
    sizes = one["change"].abs()
    assert sizes.equals(sizes.sort(descending=True))


def test_tiers_are_set_apart_by_mean_contributions(
    model: pp.Model, log: pp.EventLog, sim: Simulation, explained: pl.DataFrame
) -> None:
    frame = model.explain_tiers(log, as_of=sim.as_of, top=3)
    scores = model.score(log, as_of=sim.as_of)
    joined = explained.filter(pl.col("feature") != BASE).join(
        scores.select("user_id", "tier"), on="user_id"
    )
    overall = joined.group_by("feature").agg(pl.col("contribution").cast(pl.Float64).mean())
    assert frame["tier"].unique(maintain_order=True).to_list() == list(pp.tiers.TIERS)
    for tier in pp.tiers.TIERS:
        mean = (
            joined.filter(pl.col("tier") == tier)
            .group_by("feature")
            .agg(pl.col("contribution").cast(pl.Float64).mean(), pl.col("value").median())
            .join(overall, on="feature", suffix="_all")
            .with_columns(apart=pl.col("contribution") - pl.col("contribution_all"))
            .sort(pl.col("apart").abs(), descending=True)
            .head(3)
        )
        found = frame.filter(pl.col("tier") == tier)
        assert found["feature"].to_list() == mean["feature"].cast(pl.String).to_list()
        assert np.allclose(found["apart"], mean["apart"], atol=1e-6)
        assert np.allclose(found["contribution"], mean["contribution"], atol=1e-6)


def test_importance_by_gain_and_by_contribution(
    model: pp.Model, log: pp.EventLog, sim: Simulation, explained: pl.DataFrame
) -> None:
    gain = model.importance()
    assert gain["importance"].sum() == pytest.approx(1.0)
    assert set(gain["feature"]) == set(model.features.names)
    assert gain["importance"].is_sorted(descending=True)
    contribution = model.importance("contribution", log=log, as_of=sim.as_of)
    mean = (
        explained.filter(pl.col("feature") != BASE)
        .group_by("feature")
        .agg(pl.col("contribution").abs().cast(pl.Float64).mean())
    )
    known = dict(mean.iter_rows())
    for name, value in contribution.iter_rows():
        assert value == pytest.approx(known.get(name, 0.0), abs=1e-6)


def test_permuting_what_matters_lowers_the_auc(model: pp.Model, log: pp.EventLog) -> None:
    frame = model.importance("permutation", log=log, seed=3)
    assert frame.equals(model.importance("permutation", log=log, seed=3))
    known = dict(frame.select("feature", "importance").iter_rows())
    read = set(model.importance().filter(pl.col("importance") > 0)["feature"])
    assert all(known[name] == 0.0 for name in set(known) - read)
    assert frame["importance"][0] > 0.01


def test_a_saved_model_explains_the_same(
    model_folder: object, log: pp.EventLog, sim: Simulation, explained: pl.DataFrame
) -> None:
    loaded = pp.load_model(str(model_folder))
    assert loaded.explain(log, as_of=sim.as_of).equals(explained)


def test_nobody_to_explain_gives_the_same_columns(
    model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    for top in (None, 3):
        nobody = model.explain(log, users=[], as_of=sim.as_of, top=top)
        somebody = model.explain(log, as_of=sim.as_of, top=top)
        assert nobody.height == 0
        assert nobody.schema == somebody.schema


def test_values_that_no_tree_reads_are_not_listed(
    model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    plan = _core.Plan.compile(model.features.spec, log.core, strict=True, before_us=model.as_of_us)
    users = np.arange(40, dtype=np.uint32)
    matrix = np.ascontiguousarray(compute_matrix(log, plan, users, model.as_of_us))
    unread = sorted(set(range(matrix.shape[1])) - set(_core.explainer(model.core)[1].tolist()))
    assert not model.core.explain(matrix)[:, unread].any()


def test_explaining_everyone_costs_at_most_thirty_times_scoring_everyone(
    model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    # Processor time, alternating, so that what else runs on the machine slows down neither.
    def took(work: Callable[[], object]) -> float:
        start = process_time()
        work()
        return process_time() - start

    scoring, explaining = [], []
    for _ in range(7):
        scoring.append(took(lambda: [model.score(log, as_of=sim.as_of) for _ in range(3)]) / 3)
        explaining.append(took(lambda: model.explain(log, as_of=sim.as_of)))
    assert statistics.median(explaining) <= 30 * statistics.median(scoring)
