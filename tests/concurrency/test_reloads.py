"""Models swapped under load, every tenth of them corrupt: no call fails, no answer is of two versions."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import propense as pp
from propense.simulator import Simulation

RELOADS = 100
NAME = "buys_ticket"


@pytest.fixture(scope="module")
def other(log: pp.EventLog, goal: pp.Goal, sim: Simulation) -> pp.Model:
    features = pp.FeatureSet(["count(*)", "recency(*)", "count(purchase)", "count(app_open, '7d')"])
    return pp.train(log, goal, as_of=sim.as_of, features=features)


def test_a_hundred_reloads_under_load(
    model: pp.Model, other: pp.Model, log: pp.EventLog, sim: Simulation, tmp_path: Path
) -> None:
    places = {"a": model.save(tmp_path / "a"), "b": other.save(tmp_path / "b")}
    models, store = tmp_path / "models", tmp_path / "store"
    model.save(models / NAME)
    expected = [one.score(log, as_of=sim.as_of) for one in (model, other)]
    users = expected[0]["user_id"].sample(200, seed=4).to_list()
    with pp.serve(store, models, address="127.0.0.1:0") as server:
        with pp.Client(server.address, timeout=60.0) as client:
            client.ingest(sim.events, profiles=sim.profiles)
            by_digest = {client.get_model(NAME).digest: scores_by_user(expected[0])}
            put(places["b"], models / NAME)
            assert [one.outcome for one in client.reload_models()] == ["loaded"]
            by_digest[client.get_model(NAME).digest] = scores_by_user(expected[1])
        assert len(by_digest) == 2
        answers = {digest: 0 for digest in by_digest}
        failures: list[BaseException] = []
        stop = threading.Event()

        def batch(client: pp.Client) -> None:
            frame = client.batch_score_users(users, models=NAME, as_of=sim.as_of)
            (digest,) = frame["digest"].unique().to_list()
            found = dict(zip(frame["user_id"], frame["score"], strict=True))
            assert found == {user: by_digest[digest][user] for user in users}
            answers[digest] += 1

        def stream(client: pp.Client) -> None:
            with client.stream_scores(NAME, as_of=sim.as_of, batch_rows=50) as frames:
                whole = pl.concat(list(frames))
                assert scores_by_user(whole) == by_digest[frames.digest]

        def single(client: pp.Client) -> None:
            one = client.score_user(users[0], models=NAME, as_of=sim.as_of)[NAME]
            assert one.score == by_digest[one.digest][users[0]]

        def run(call: Callable[[pp.Client], None]) -> None:
            with pp.Client(server.address, timeout=60.0) as client:
                # A short rest between calls: the reloads go through the same interpreter.
                while not stop.wait(0.01):
                    try:
                        call(client)
                    except BaseException as error:
                        failures.append(error)
                        return

        threads = [threading.Thread(target=run, args=(call,)) for call in (batch, stream, single)]
        for thread in threads:
            thread.start()
        try:
            with pp.Client(server.address, timeout=60.0) as client:
                outcomes = reload_often(client, places, models / NAME)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert failures == []
    assert outcomes.count("refused") == RELOADS // 10
    assert outcomes.count("loaded") == RELOADS - RELOADS // 10
    assert min(answers.values()) > 0


def reload_often(client: pp.Client, places: dict[str, Path], target: Path) -> list[str]:
    """Swap versions; every tenth time put a damaged one, which is refused while the old one goes on."""
    outcomes = []
    current = "b"
    for turn in range(RELOADS):
        corrupt = turn % 10 == 9
        wanted = "a" if current == "b" else "b"
        put(places[wanted], target)
        served = client.get_model(NAME).digest
        if corrupt:
            damage(target / "model.onnx", turn)
        (one,) = client.reload_models(NAME)
        outcomes.append(one.outcome)
        if corrupt:
            assert one.message
            assert client.get_model(NAME).digest == served
        else:
            current = wanted
            assert client.get_model(NAME).digest == one.digest != served
    return outcomes


def put(version: Path, target: Path) -> None:
    """Put a version in place in one step, as an operator should."""
    aside = target.with_name(".aside")
    shutil.copytree(version, aside)
    old = target.with_name(".old")
    if target.exists():
        target.rename(old)
    aside.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def damage(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[(place * 997) % len(content)] ^= 0x40
    file.write_bytes(bytes(content))


def scores_by_user(frame: pl.DataFrame) -> dict[str, float]:
    return dict(zip(frame["user_id"], frame["score"], strict=True))
