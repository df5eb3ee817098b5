"""The command ``explain`` on a saved model: users, changes, tiers, files, and what it refuses."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import propense as pp
from propense.cli.app import app
from propense.simulator import Simulation, write


@pytest.fixture(scope="module")
def options(sim: Simulation, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("explain")
    write(sim, folder)
    paths = [
        "--events",
        f"{folder / 'events.parquet'}",
        "--profiles",
        f"{folder / 'profiles.parquet'}",
    ]
    return [*paths, "--as-of", f"{sim.as_of:%Y-%m-%d}"]


def run(*arguments: object) -> Result:
    environment = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    return CliRunner(env=environment).invoke(app, ["explain", *map(str, arguments)])


def test_a_user_is_explained_in_words(
    model: pp.Model, model_folder: Path, log: pp.EventLog, sim: Simulation, options: list[str]
) -> None:
    best = model.score(log, as_of=sim.as_of).sort("score", descending=True).row(0, named=True)
    done = run(model_folder, best["user_id"], *options, "--top", 3)
    assert done.exit_code == 0, done.output
    assert f"{best['user_id']}: most likely, score {best['score']:.4f}" in done.output
    few = model.explain(log, users=[best["user_id"]], as_of=sim.as_of, top=3)
    for words in few["words"]:
        assert words in done.output
    assert f"{best['score']:.1%}" in done.output


def test_a_change_is_explained(
    model_folder: Path, model: pp.Model, log: pp.EventLog, sim: Simulation, options: list[str]
) -> None:
    user = model.score(log, as_of="2024-12-01")["user_id"][0]
    done = run(model_folder, user, *options, "--since", "2024-12-01")
    assert done.exit_code == 0, done.output
    assert "before:" in done.output
    assert "all other features" in done.output


def test_tiers_and_files(model_folder: Path, options: list[str], tmp_path: Path) -> None:
    out = tmp_path / "tiers.csv"
    done = run(model_folder, *options, "--out", out)
    assert done.exit_code == 0, done.output
    assert "what sets each tier apart" in done.output
    frame = pl.read_csv(out)
    assert frame["tier"].n_unique() == 3
    assert frame.height == 15


@pytest.mark.parametrize("kind", ["gain", "permutation", "contribution"])
def test_which_features_matter(
    kind: Literal["gain", "permutation", "contribution"],
    model: pp.Model,
    model_folder: Path,
    log: pp.EventLog,
    options: list[str],
    tmp_path: Path,
) -> None:
    asked = ["--importance", kind, "--top", 4] + ([] if kind == "gain" else options[:4])
    out = tmp_path / "importance.parquet"
    done = run(model_folder, *asked, "--out", out)
    assert done.exit_code == 0, done.output
    found = pl.read_parquet(out)
    assert found.equals(model.importance(kind, log=None if kind == "gain" else log))
    names = found["feature"].to_list()
    assert [name for name in names if f" {name} " in done.stdout] == names[:4]
    assert ("spread" in done.stdout) == (kind == "permutation")
    piped = run(model_folder, *asked, "--out", "-")
    assert pl.read_csv(io.StringIO(piped.stdout)).equals(found)
    assert "what matters to the model" in piped.stderr


def test_importance_that_cannot_be_had_is_refused(model_folder: Path, options: list[str]) -> None:
    for arguments in (
        ["magic", *options],
        ["gain", *options],
        ["permutation"],
        ["contribution"],
        ["permutation", *options, "--since", "2024-12-01"],
        ["gain", "--server", "127.0.0.1:1"],
    ):
        done = run(model_folder, "--importance", *arguments)
        assert done.exit_code == 2
        assert "importance" in done.output
    assert run(model_folder, "u0000001", "--importance", "gain").exit_code == 2


def test_a_model_that_cannot_be_explained_offers_what_can_be_typed(
    model: pp.Model, log: pp.EventLog, sim: Simulation, options: list[str], tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    loaded = onnx.load_from_string(model._parts.onnx)
    for node in loaded.graph.node:
        for attribute in [each for each in node.attribute if each.name == "nodes_hitrates"]:
            node.attribute.remove(attribute)
    given = {"features": model.features, "goal": model.goal, "log": log, "as_of": sim.as_of}
    foreign = pp.Model.from_onnx(loaded.SerializeToString(), **given).save(tmp_path / "my models")
    offered = f"propense explain '{foreign}' --importance permutation --events LOG"
    for arguments in ([*options], ["u0000001", *options], ["--importance", "gain"]):
        refused = run(foreign, *arguments)
        assert isinstance(refused.exception, pp.ModelError)
        assert offered in str(refused.exception)
        assert "log=log" not in str(refused.exception)
    done = run(foreign, "--importance", "permutation", *options[:4])
    assert done.exit_code == 0, done.output


def test_bad_calls_are_refused(model_folder: Path, options: list[str]) -> None:
    assert isinstance(run(model_folder, "nobody", *options).exception, pp.DataError)
    assert run(model_folder, *options, "--since", "2024-12-01").exit_code == 2
    assert run(model_folder, "u0000001", *options, "--top", 0).exit_code == 2


@pytest.fixture(scope="module")
def address(
    sim: Simulation, model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    store = tmp_path_factory.mktemp("explaining") / "store"
    with pp.serve(store, model_folder.parent, address="127.0.0.1:0") as running:
        with pp.Client(running.address, timeout=60.0) as client:
            client.ingest(sim.events, profiles=sim.profiles)
        yield running.address


def test_a_server_explains_as_the_log_does(
    address: str,
    model: pp.Model,
    model_folder: Path,
    log: pp.EventLog,
    options: list[str],
    sim: Simulation,
    tmp_path: Path,
) -> None:
    user, when = model.score(log, as_of="2024-12-01")["user_id"][0], f"{sim.as_of:%Y-%m-%d}"
    for more in ([], ["--since", "2024-12-01"], ["--top", 2]):
        by_log = run(model_folder, user, *options, *more)
        by_server = run(model_folder.name, user, "--server", address, "--as-of", when, *more)
        assert by_server.exit_code == 0, by_server.output
        assert by_server.output == by_log.output
    out = tmp_path / "why.csv"
    done = run("buys_ticket", user, "--server", address, "--as-of", when, "--out", out)
    assert done.exit_code == 0, done.output
    assert pl.read_csv(out)["words"][0] == "where everyone starts"


def test_a_server_is_asked_for_one_user_who_is_there(
    address: str, options: list[str], sim: Simulation
) -> None:
    user = sim.events["user_id"][0]
    assert run("buys_ticket", user).exit_code == 2
    assert run("buys_ticket", user, "--server", address, *options).exit_code == 2
    assert run("buys_ticket", "--server", address).exit_code == 2
    unknown = run("buys_ticket", "nobody", "--server", address)
    assert isinstance(unknown.exception, pp.NotFoundError)
    early = run("buys_ticket", user, "--server", address, "--as-of", "2000-01-01")
    assert "is not in the audience as of 2000-01-01" in str(early.exception)
