"""An explanation by gRPC is the library's for the same user, events and as_of: numbers and words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

import propense as pp
from propense.explain import BASE, OTHERS
from propense.simulator import Simulation

onnx = pytest.importorskip("onnx")

NAME, UNEXPLAINED, TEXTS = "buys_ticket", "brought_along", "by_country"


@pytest.fixture(scope="module")
def by_text(log: pp.EventLog, goal: pp.Goal, sim: Simulation) -> pp.Model:
    features = ["attr(country)", "last(view_item.category)", "count(app_open, '30d')"]
    return pp.train(log, goal, as_of=sim.as_of, features=pp.FeatureSet(features))


@pytest.fixture(scope="module")
def server(
    model: pp.Model,
    by_text: pp.Model,
    log: pp.EventLog,
    sim: Simulation,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[pp.Server]:
    folder = tmp_path_factory.mktemp("explained")
    model.save(folder / "models" / NAME)
    by_text.save(folder / "models" / TEXTS)
    foreign = pp.Model.from_onnx(
        without_rows(model._parts.onnx),
        features=model.features,
        goal=model.goal,
        log=log,
        as_of=sim.as_of,
    )
    foreign.save(folder / "models" / UNEXPLAINED)
    with pp.serve(folder / "store", folder / "models", address="127.0.0.1:0") as running:
        with pp.Client(running.address, timeout=60.0) as client:
            client.ingest(sim.events, profiles=sim.profiles)
            assert {found.name for found in client.list_models()} == {NAME, TEXTS, UNEXPLAINED}
        yield running


@pytest.fixture
def client(server: pp.Server) -> Iterator[pp.Client]:
    with pp.Client(server.address, timeout=60.0) as opened:
        yield opened


def without_rows(content: bytes) -> bytes:
    """Give an ONNX file that does not say how many training rows came by each node."""
    loaded = onnx.load_from_string(content)
    (forest,) = (node for node in loaded.graph.node if node.op_type.startswith("TreeEnsemble"))
    kept = [attribute for attribute in forest.attribute if attribute.name != "nodes_hitrates"]
    del forest.attribute[:]
    forest.attribute.extend(kept)
    written: bytes = loaded.SerializeToString()
    return written


def comparable(frame: pl.DataFrame) -> pl.DataFrame:
    """Give a frame with the features as text, and without the sums over the others."""
    text = frame.with_columns(pl.col("feature").cast(pl.String))
    return text.filter(pl.col("feature") != OTHERS)


def rest(frame: pl.DataFrame, column: str) -> float:
    found = frame.filter(pl.col("feature").cast(pl.String) == OTHERS)[column]
    return float(found[0])


@pytest.mark.parametrize("top", [1, 5, 1_000])
def test_what_is_listed_is_the_librarys_to_the_bit(
    client: pp.Client, model: pp.Model, log: pp.EventLog, sim: Simulation, top: int
) -> None:
    scores = model.score(log, as_of=sim.as_of).sample(60, seed=top)
    for row in scores.iter_rows(named=True):
        found = client.explain(row["user_id"], NAME, as_of=sim.as_of, top=top)
        wanted = model.explain(log, users=[row["user_id"]], as_of=sim.as_of, top=top)
        assert comparable(found.frame()).equals(comparable(wanted))
        assert abs(rest(found.frame(), "contribution") - rest(wanted, "contribution")) < 1e-6
        assert (found.now.score, found.now.percentile, found.now.tier) == (
            row["score"],
            row["percentile"],
            row["tier"],
        )
        logit = found.base + found.now.others + sum(one.contribution for one in found.contributions)
        assert abs(logit - math.log(row["score"] / (1 - row["score"]))) < 1e-5
        assert found.digest == client.get_model(NAME).digest
        for one in found.contributions:
            assert one.usual == model.training["usual"][one.feature] or (
                math.isnan(one.usual or 0.0) and model.training["usual"][one.feature] is None
            )


def test_a_change_is_the_librarys(
    client: pp.Client, model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    before = sim.as_of - timedelta(days=60)
    old, new = (model.score(log, as_of=as_of) for as_of in (before, sim.as_of))
    users = old.join(new, on="user_id", how="semi")["user_id"].sample(40, seed=4).to_list()
    for user in users:
        found = client.explain(user, NAME, as_of=sim.as_of, since=before, top=4)
        wanted = model.explain_change(log, users=[user], before=before, after=sim.as_of, top=4)
        assert comparable(found.frame()).equals(comparable(wanted))
        assert abs(rest(found.frame(), "change") - rest(wanted, "change")) < 1e-9
        assert found.before is not None
        (score,) = old.filter(pl.col("user_id") == user)["score"]
        assert found.before.score == score


def test_texts_are_said_as_in_the_library(
    client: pp.Client, by_text: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    said = set[str]()
    for user in by_text.score(log, as_of=sim.as_of)["user_id"].sample(40, seed=5):
        found = client.explain(user, TEXTS, as_of=sim.as_of)
        wanted = by_text.explain(log, users=[user], as_of=sim.as_of, top=5)
        assert found.frame()["words"].to_list() == wanted["words"].to_list()
        said |= {one.words.split(",")[0] for one in found.contributions}
    assert any(words.startswith("country ") for words in said)


def test_a_user_who_was_not_in_the_audience_before_is_explained_as_of_now(
    client: pp.Client, model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    user, as_of = sim.events["user_id"][0], sim.as_of
    found = client.explain(user, NAME, as_of=as_of, since=datetime(2000, 1, 1))
    wanted = model.explain(log, users=[user], as_of=as_of, top=5)
    assert found.before is not None
    assert not found.before.in_audience
    assert comparable(found.frame()).equals(comparable(wanted))
    nobody = client.explain(user, NAME, as_of=datetime(2000, 1, 1))
    assert (nobody.now.in_audience, nobody.now.score, nobody.now.tier) == (False, None, None)
    assert nobody.contributions == ()


def test_without_an_as_of_it_is_the_servers_clock(client: pp.Client, sim: Simulation) -> None:
    user = sim.events["user_id"][0]
    found = client.explain(user, NAME)
    assert (
        found.now.score == client.score_user(user, models=NAME, as_of=found.now.as_of)[NAME].score
    )
    assert found.frame()["feature"][0] == BASE
    assert np.isclose(found.frame()["contribution"][0], found.base)


def test_what_cannot_be_explained_says_so(client: pp.Client, sim: Simulation) -> None:
    user = sim.events["user_id"][0]
    with pytest.raises(
        pp.FailedPreconditionError, match="training rows came by each node"
    ) as failed:
        client.explain(user, UNEXPLAINED)
    assert failed.value.reason == "NOT_EXPLAINED"
    for wrong, reason, field in (
        (("nobody", NAME), "USER_UNKNOWN", "user_id"),
        ((user, "buys_tickets"), "MODEL_UNKNOWN", "model"),
    ):
        with pytest.raises(pp.NotFoundError) as unknown:
            client.explain(*wrong)
        assert (unknown.value.reason, unknown.value.field) == (reason, field)
    for top in (0, -1, 1_001, True, 2.5):
        with pytest.raises(pp.DataError, match="expected a number of features, 1 to 1,000"):
            client.explain(user, NAME, top=top)  # type: ignore[arg-type]
    with pytest.raises(pp.InvalidRequestError) as late:
        client.explain(user, NAME, as_of=sim.as_of, since=sim.as_of)
    assert late.value.field == "since"
