"""A destination that requires an audit delivers only while that is a pass of the model that is served."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pretend_server import PretendServer, caught_up, folded, items, standing, until
from typer.testing import CliRunner

import propense as pp
from propense.cli.app import app
from propense.delivery import Deliveries, Destination, destination_from, required_audit
from propense.delivery.client_source import ClientSource
from propense.delivery.server_source import ServerSource
from propense.simulator import Simulation

SEGMENT = "buys.most_likely"
SERVED, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(required_audit, "_LOOK_S", 0.02)


@pytest.fixture
def server() -> PretendServer:
    made = PretendServer()
    made.models = {"buys": SERVED}
    made.wander(60, 10, [SEGMENT], seed=3)
    return made


def lines(folder: Path, *segments: str) -> Destination:
    values = {
        "name": "lines",
        "kind": "jsonl",
        "segments": segments or (SEGMENT,),
        "path": folder / "out.jsonl",
        "requires_audit": folder / "audit.json",
        "begin": "beginning",
    }
    return destination_from(values, "test")


def write_audit(folder: Path, verdict: str, digest: str | None = SERVED) -> None:
    text = json.dumps({"verdict": verdict, "model_digest": digest})
    (folder / "aside").write_text(text)
    (folder / "aside").rename(folder / "audit.json")


def why(folder: Path) -> str:
    return str(standing(folder, "lines").get("paused"))


def moves(folder: Path) -> list[tuple[str, str, str]]:
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    return [(row["user_id"], row["segment"], row["transition"]) for row in rows]


CLOSED: list[tuple[Callable[[Path], object], str]] = [
    (lambda _folder: None, "cannot be read: No such file"),
    (lambda folder: (folder / "audit.json").mkdir(), "cannot be read"),
    (lambda folder: (folder / "audit.json").write_bytes(b"\xff{"), "is not JSON"),
    (lambda folder: (folder / "audit.json").write_text("[" * 100_000), "is not JSON"),
    (lambda folder: (folder / "audit.json").write_text("[]"), "is not an audit"),
    (lambda folder: (folder / "audit.json").write_text('{"verdict": "passed"}'), "not an audit"),
    (lambda folder: write_audit(folder, "block"), "says block; a pass is required"),
    (lambda folder: write_audit(folder, "warn"), "says warn; a pass is required"),
    (lambda folder: write_audit(folder, "pass", None), "does not say which model was audited"),
    (lambda folder: write_audit(folder, "pass", OTHER), "not of the version of model buys that is"),
]


@pytest.mark.parametrize(("prepare", "words"), CLOSED, ids=[words for _, words in CLOSED])
def test_without_a_pass_of_the_served_model_nothing_is_delivered(
    server: PretendServer, tmp_path: Path, prepare: Callable[[Path], object], words: str
) -> None:
    prepare(tmp_path)
    with Deliveries([lines(tmp_path)], server, tmp_path):
        until(lambda: why(tmp_path).startswith("held back: "))
    assert words in why(tmp_path)
    assert not (tmp_path / "out.jsonl").exists()
    done = CliRunner().invoke(app, ["deliveries", "--store", str(tmp_path)])
    assert "paused: held back:" in done.stdout


def test_it_goes_on_and_stops_again_with_the_audit_and_the_model(
    server: PretendServer, tmp_path: Path
) -> None:
    write_audit(tmp_path, "warn")
    with Deliveries([lines(tmp_path)], server, tmp_path):
        until(lambda: "says warn" in why(tmp_path))
        write_audit(tmp_path, "pass")
        until(lambda: caught_up(tmp_path, "lines", server))
        assert standing(tmp_path, "lines")["paused"] is None
        server.models = {"buys": OTHER}
        until(lambda: "is served (cdcdcdcdcdcd…, audited abababababab…)" in why(tmp_path))
        delivered = len(moves(tmp_path))
        server.wander(30, 10, [SEGMENT], seed=4)
        until(lambda: standing(tmp_path, "lines")["newest"] == len(server.transitions))
        assert len(moves(tmp_path)) == delivered
        server.models = {"buys": None}
        until(lambda: "model buys is not served" in why(tmp_path))
        server.models = {"buys": SERVED}
        until(lambda: caught_up(tmp_path, "lines", server))
    assert folded(moves(tmp_path))[SEGMENT] == server.inside(SEGMENT)


def test_segments_that_read_no_model_are_held_back_too(
    server: PretendServer, tmp_path: Path
) -> None:
    write_audit(tmp_path, "pass")
    with Deliveries([lines(tmp_path, "vip")], server, tmp_path):
        until(lambda: "read no model that the audit could be of" in why(tmp_path))


def test_a_server_that_is_away_delivers_nothing_and_a_pause_by_hand_stays(
    server: PretendServer, tmp_path: Path
) -> None:
    write_audit(tmp_path, "block")
    with Deliveries([lines(tmp_path)], server, tmp_path):
        until(lambda: "says block" in why(tmp_path))
        pause_by_hand(tmp_path)
        write_audit(tmp_path, "pass")
        until(lambda: standing(tmp_path, "lines")["newest"] == len(server.transitions))
        assert why(tmp_path) == "by hand"
        assert not items(tmp_path, "lines")
        assert not (tmp_path / "out.jsonl").exists()


def pause_by_hand(folder: Path) -> None:
    done = CliRunner().invoke(app, ["deliveries", "pause", "lines", "--store", str(folder)])
    assert done.exit_code == 0, done.output


@pytest.fixture
def client(model_folder: Path, tmp_path: Path) -> Iterator[tuple[pp.Client, pp.Server]]:
    definitions = [
        pp.Segment("keen", rule="in_segment(best)"),
        pp.Segment("best", rule="score(buys_ticket) > 0.5"),
        pp.Segment("plain", rule="count(purchase) > 3"),
        pp.Segment("chosen", rule="tier(buys_ticket) = 'most_likely'"),
        pp.Segment("of_a_tier", rule="NOT in_segment(buys_ticket.most_likely)"),
        pp.Segment("far", rule="in_segment(plain) OR in_segment(keen) AND count(visit) > 1"),
        pp.Segment("kept", rule="count(visit) > 1", stay="score(buys_ticket) > 0.1"),
        pp.Segment("kept_far", rule="count(visit) > 1", stay="in_segment(chosen)"),
        pp.Segment("plain_twice", rule="in_segment(plain)"),
    ]
    with (
        pp.serve(
            tmp_path / "store", model_folder.parent, address="127.0.0.1:0", segments=definitions
        ) as server,
        pp.Client(server.address) as opened,
    ):
        yield opened, server


def test_the_models_of_segments_are_those_that_their_rules_read(
    client: tuple[pp.Client, pp.Server], model: pp.Model
) -> None:
    opened, server = client
    for source in (ClientSource(opened), ServerSource(server._core)):
        for segments in (["keen"], ["best"], ["buys_ticket.least_likely", "plain"]):
            assert source.models_of(segments) == {"buys_ticket": model.digest}
        for name in ("chosen", "of_a_tier", "far", "kept", "kept_far", "buys_ticket.most_likely"):
            assert source.models_of([name]) == {"buys_ticket": model.digest}, name
        for segments in (["plain"], ["plain_twice"], ["nothing"], [], ["buys_ticket"]):
            assert source.models_of(segments) == {}


def test_a_real_audit_lets_its_own_model_through_and_no_other(
    model: pp.Model,
    model_folder: Path,
    log: pp.EventLog,
    profiles: pp.Profiles,
    sim: Simulation,
    tmp_path: Path,
) -> None:
    audit = model.audit(log, profiles, ["country"], as_of=sim.as_of)
    assert audit.model_digest == model.digest == pp.load_model(model_folder).digest
    replace(audit, verdict="pass").save(tmp_path / "audit.json")
    destination = lines(tmp_path, "buys_ticket.most_likely")
    clock = f"simulated@{sim.as_of:%Y-%m-%d}"
    with pp.serve(
        tmp_path / "store",
        model_folder.parent,
        address="127.0.0.1:0",
        clock=clock,
        destinations=[destination],
    ) as server:
        with pp.Client(server.address) as opened:
            opened.ingest(sim.events, profiles=sim.profiles)
            until(lambda: opened.get_segment("buys_ticket.most_likely").members > 0)
        until(lambda: (tmp_path / "out.jsonl").exists() and moves(tmp_path))
        anew = pp.load_model(model_folder)
        anew.tiers = pp.TierPolicy.capacity(5)
        assert anew.digest != model.digest
        other = anew.audit(log, profiles, ["country"], as_of=sim.as_of)
        replace(other, verdict="pass").save(tmp_path / "audit.json")
        until(lambda: "not of the version of model buys_ticket" in why(tmp_path / "store"))
