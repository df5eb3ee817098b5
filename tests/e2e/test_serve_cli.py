"""Ingesting, serving and asking from the command line, as a newcomer would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import propense as pp
from propense.cli.app import app
from propense.simulator import Simulation, write
from serving import free_address, serving, start

NAME = "buys_ticket"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-c", "from propense.cli import main; main()", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=600
    )


def done(*arguments: object) -> str:
    finished = run(*arguments)
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def place(sim: Simulation, model: pp.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve")
    write(sim, folder)
    model.save(folder / "models" / NAME)
    return folder


@pytest.fixture(scope="module")
def store(place: Path, sim: Simulation) -> Path:
    said = done(
        *("ingest", place / "events.parquet", "--profiles", place / "profiles.parquet"),
        *("--store", place / "store"),
    )
    assert f"{sim.events.height:,} events taken" in said
    assert f"{sim.profiles.height:,} profiles written" in said
    return place / "store"


def test_ingesting_again_changes_nothing(place: Path, store: Path, sim: Simulation) -> None:
    said = done("ingest", place / "events.parquet", "--store", store)
    assert "0 events taken" in said
    assert f"{sim.events.height:,} were there already" in said


def test_a_log_that_cannot_be_read_leaves_no_store(tmp_path: Path) -> None:
    missed = run("ingest", tmp_path / "evnts.parquet", "--store", tmp_path / "store")
    assert missed.returncode == 3
    assert "evnts.parquet" in missed.stderr
    assert not (tmp_path / "store").exists()


def test_a_served_score_is_the_batch_score(
    place: Path, store: Path, model: pp.Model, log: pp.EventLog, sim: Simulation
) -> None:
    expected = model.score(log, as_of=sim.as_of)
    metrics = free_address()
    with serving(store, place / "models", "--metrics", metrics) as running:
        with pp.Client(running.address) as client:
            assert client.health() == "serving"
            assert client.score_audience(NAME, as_of=sim.as_of).equals(expected)
            row = expected.row(0, named=True)
            assert client.score_user(row["user_id"], as_of=sim.as_of)[NAME].score == row["score"]
            (served,) = client.list_models()
            assert (served.name, served.when) == (NAME, "count(purchase) >= 1")
            assert served.features == tuple(model.features.names)
            assert served.metrics["auc"] == model.metrics["auc"]
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=60) as page:
            text = page.read().decode()
        assert "propense" in text
        assert row["user_id"] not in text
        assert running.stop() == 0
        assert "stopped" in running.said
    assert row["user_id"] not in running.errors.read_text()


def test_a_running_server_takes_a_log(place: Path, sim: Simulation, tmp_path: Path) -> None:
    saved = pp.read_events(sim.events, profiles=pp.read_profiles(sim.profiles)).save(
        tmp_path / "log"
    )
    with serving(tmp_path / "store", place / "models") as running:
        said = done("ingest", saved, "--server", running.address)
        assert f"{sim.events.height:,} events taken" in said
        kept = pl.scan_ipc(saved / "profiles.arrow").select(pl.len()).collect().item()
        assert f"{kept:,} profiles written" in said
        with pp.Client(running.address) as client:
            assert client.ingest(sim.events).accepted == 0
            some = sim.events["user_id"][0]
            assert client.get_user(some).attributes["age"] > 0
        held = run("ingest", saved, "--store", tmp_path / "store")
        assert held.returncode == 3
        assert "error:" in held.stderr
        assert "Traceback" not in held.stderr


def test_a_store_is_looked_after_from_the_shell(
    store: Path, sim: Simulation, model: pp.Model, log: pp.EventLog, tmp_path: Path
) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    assert "sound" in done("store", "check", copy)
    assert f"{sim.events.height:,}" in done("store", "compact", copy)
    assert "sound" in done("store", "check", copy)
    done("store", "export", copy, "--out", tmp_path / "log")
    exported = pp.open_log(tmp_path / "log")
    assert model.score(exported, as_of=sim.as_of).equals(model.score(log, as_of=sim.as_of))
    part = next((copy / "parts").rglob("events.arrow"))
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(bytes(content))
    damaged = run("store", "check", copy)
    assert damaged.returncode == 3
    assert str(part.parent) in damaged.stdout
    assert str(part.parent) in done("store", "repair", copy)
    assert "sound" in done("store", "check", copy)
    assert list((copy / "quarantine").iterdir())
    assert run("store", "check", tmp_path / "log").returncode == 3


def test_a_data_scientist_opens_the_store_while_it_is_served(
    store: Path, place: Path, log: pp.EventLog, tmp_path: Path
) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    done("store", "compact", copy)
    with serving(copy, place / "models"):
        opened = pp.open_log(copy)
        assert (opened.n_events, opened.n_users) == (log.n_events, log.n_users)
        assert opened.properties == log.properties


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--address", "0.0.0.0:0"), "TLS"),
        (("--address", "nowhere"), "HOST:PORT"),
        (("--tokens", "none.json"), "none.json"),
    ],
    ids=["exposed", "no address", "no tokens"],
)
def test_what_cannot_be_served_is_refused(
    place: Path, tmp_path: Path, options: tuple[str, str], words: str
) -> None:
    arguments = ["serve", "--store", str(tmp_path / "new"), "--models", str(place / "models")]
    refused = CliRunner().invoke(app, [*arguments, *options])
    assert isinstance(refused.exception, pp.ServiceError)
    assert words in str(refused.exception)
    assert not (tmp_path / "new").exists()


def test_errors_are_a_line_and_an_exit_code(place: Path, store: Path) -> None:
    models = place / "models"
    with serving(store, models):
        second = run("serve", "--store", store, "--models", models, "--address", "127.0.0.1:0")
        assert second.returncode == 3
        assert "Traceback" not in second.stderr
    away = run("ingest", place / "events.parquet", "--server", free_address())
    assert away.returncode == 8
    assert "Traceback" not in away.stderr
    runner = CliRunner()
    assert runner.invoke(app, ["ingest", str(place / "events.parquet")]).exit_code == 2
    half = ["serve", "--store", "s", "--models", "m", "--tls-cert", "cert.pem"]
    assert runner.invoke(app, half).exit_code == 2


HELD = """
import gc, grpc
from propense.cli import main
try:
    main()
except SystemExit:
    print(sum(isinstance(found, grpc.Call) for found in gc.get_objects()))
"""


def test_a_call_that_failed_is_not_held_to_the_end(place: Path) -> None:
    # gRPC's thread may be gone by then, with the lock that letting go of a call takes.
    command = [sys.executable, "-c", HELD, "ingest", str(place / "events.parquet"), "--server"]
    held = subprocess.run(
        [*command, free_address()], capture_output=True, text=True, timeout=600, check=True
    )
    assert "error: " in held.stderr
    assert held.stdout.strip() == "0"


def test_tokens_let_in_whom_they_name(place: Path, store: Path, tmp_path: Path) -> None:
    from hashlib import sha256

    tokens = tmp_path / "tokens.json"
    entry = {"name": "crm", "sha256": sha256(b"reader").hexdigest(), "scopes": ["read"]}
    tokens.write_text(json.dumps({"tokens": [entry]}))
    with serving(store, place / "models", "--tokens", str(tokens)) as running:
        with pp.Client(running.address) as client, pytest.raises(pp.AccessError) as raised:
            client.list_models()
        assert raised.value.code == "UNAUTHENTICATED"
        with pp.Client(running.address, token="reader") as client:
            assert client.list_models()
            with pytest.raises(pp.AccessError) as raised:
                client.reload_models()
            assert raised.value.code == "PERMISSION_DENIED"


def test_tls_keeps_the_line_private(place: Path, store: Path, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    wanted = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
    ]
    wanted += ["subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out"]
    subprocess.run([openssl, *wanted, str(certificate)], check=True, capture_output=True)
    options = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with serving(store, place / "models", *options) as running:
        with pp.Client(running.address, tls=pp.TLS(ca=certificate)) as client:
            assert client.list_models()[0].name == NAME
        with pp.Client(running.address, timeout=3.0) as client, pytest.raises(pp.ServiceError):
            client.list_models()


def test_reflection_is_all_that_a_tool_like_grpcurl_needs(place: Path, store: Path) -> None:
    grpc = pytest.importorskip("grpc")
    reflection = pytest.importorskip("grpc_reflection.v1alpha.proto_reflection_descriptor_database")
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.json_format import MessageToDict, ParseDict
    from google.protobuf.message_factory import GetMessageClass

    running = start(store, place / "models")
    try:
        with grpc.insecure_channel(running.address) as channel:
            database = reflection.ProtoReflectionDescriptorDatabase(channel)
            services = set(database.get_services())
            kinds = {"Scoring", "Event", "User", "Model"}
            assert {f"propense.v1.{kind}Service" for kind in kinds} <= services
            assert "grpc.health.v1.Health" in services
            pool = DescriptorPool(database)
            method = pool.FindServiceByName("propense.v1.ScoringService").methods_by_name[
                "ScoreUser"
            ]
            user = pl.read_parquet(place / "events.parquet")["user_id"][0]
            question = ParseDict({"userId": user}, GetMessageClass(method.input_type)())
            call = channel.unary_unary(
                f"/{method.containing_service.full_name}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
            answer = MessageToDict(call(question, timeout=60.0))
        assert answer["userId"] == user
        assert answer["scores"][0]["model"]["name"] == NAME
    finally:
        running.kill()


def test_the_demo_serves_what_it_made_and_leaves_other_stores_alone(
    store: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(store, tmp_path / "demo" / "store")
    kept = contents(own)
    said = done("demo", "--users", "1000", "--out", tmp_path / "demo", "--serve")
    assert contents(own) == kept
    assert "\n0 of " in said
    assert "scores differ from those computed here" in said
    assert "grpcurl -plaintext" in said
    assert (tmp_path / "demo" / "demo_store" / "store.json").is_file()
    assert f"propense serve --store {tmp_path / 'demo' / 'demo_store'} " in said


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
