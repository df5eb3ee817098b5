"""A segment that requires an audit has nobody until there is one that is a pass, of that version."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import propense as pp
from propense.cli.app import app
from propense.exceptions import DataError, SegmentError
from propense.simulator import Simulation, write

NAME = "buys_ticket"
RULE = f"score({NAME}) >= 0"


@pytest.fixture
def models(model_folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(model_folder, tmp_path / "models" / NAME)
    return tmp_path / "models"


@pytest.fixture(scope="module")
def passed(model: pp.Model, log: pp.EventLog, profiles: pp.Profiles, sim: Simulation) -> pp.Audit:
    found = model.audit(log, profiles, ["country"], as_of=sim.as_of)
    return replace(found, verdict="pass")


def everyone(frame: pl.DataFrame) -> tuple[int, int]:
    return int(frame["free"].sum()), int(frame["guarded"].sum())


SEGMENTS = [pp.Segment("free", RULE), pp.Segment("guarded", RULE, requires_audit=True)]


def test_a_batch_without_a_pass_gives_nobody_and_says_so(
    models: Path, model: pp.Model, log: pp.EventLog, passed: pp.Audit
) -> None:
    for audit in (None, replace(passed, verdict="warn"), replace(passed, model_digest="other")):
        if audit is not None:
            audit.publish(models / NAME)
        with pytest.warns(UserWarning, match=f"nobody is in guarded: .* of {NAME}"):
            members, guarded = everyone(pp.segment(log, SEGMENTS, models))
        assert members > 0
        assert guarded == 0
    passed.publish(models / NAME)
    assert everyone(pp.segment(log, SEGMENTS, models)) == (members, members)
    assert everyone(pp.segment(log, SEGMENTS, {NAME: models / NAME})) == (members, members)
    # A model that has no folder has no audit beside it.
    held = pp.segment(log, SEGMENTS, {NAME: model}, audits={NAME: passed})
    assert everyone(held) == (members, members)


def test_what_is_no_audit_is_told(models: Path, log: pp.EventLog, passed: pp.Audit) -> None:
    (models / f"{NAME}.audit.json").write_text("[]")
    with pytest.raises(DataError, match="is not an audit"):
        pp.segment(log, SEGMENTS, models)
    with pytest.raises(DataError, match="audit the model itself"):
        replace(passed, model_digest=None).publish(models / NAME)
    (models / f"{NAME}.audit.json").unlink()
    with pytest.raises(SegmentError, match="no model 'buys_tickets' .did you mean 'buys_ticket'"):
        pp.segment(log, SEGMENTS, models, audits={"buys_tickets": passed})
    with pytest.raises(SegmentError, match="read no score and no tier"):
        pp.segment(log, pp.Segment("none", "count(*) > 0", requires_audit=True), models)
    with pytest.raises(SegmentError, match="requires_audit: expected true or false"):
        pp.Segment("guarded", RULE, requires_audit="yes")  # type: ignore[arg-type]


def test_a_server_lets_members_in_when_the_audit_is_published_and_out_when_it_is_gone(
    models: Path, sim: Simulation, passed: pp.Audit, tmp_path: Path
) -> None:
    folder, file = tmp_path / "store", models / f"{NAME}.audit.json"
    segment = pp.Segment.from_toml(SEGMENTS[1].to_toml())
    assert segment.requires_audit

    def opened() -> pp.Server:
        clock = f"simulated@{sim.as_of:%Y-%m-%d}"
        return pp.serve(folder, models, address="127.0.0.1:0", clock=clock)

    with opened() as server, pp.Client(server.address, timeout=60.0) as client:
        client.ingest(sim.events, profiles=sim.profiles)
        client.put_segment([SEGMENTS[0], segment])
        held = client.wait_evaluated()
        members = held["free"].members
        assert members > 0
        assert (held["guarded"].members, held["guarded"].unaudited_models) == (0, (NAME,))
        assert held["guarded"].definition == segment
        passed.publish(models / NAME)
        client.reload_models()
        held = client.wait_evaluated()
        assert (held["guarded"].members, held["guarded"].unaudited_models) == (members, ())
        assert held["free"].members == members
    # Also while the server is down it is noticed that there is none any more.
    file.unlink()
    with opened() as server, pp.Client(server.address, timeout=60.0) as client:
        held = client.wait_evaluated()
        assert (held["guarded"].members, held["free"].members) == (0, members)
        file.write_text("not even JSON")
        client.reload_models()
        assert client.wait_evaluated()["guarded"].members == 0


def test_the_command_publishes_if_asked_to(models: Path, sim: Simulation, tmp_path: Path) -> None:
    write(sim, tmp_path / "data")
    file = models / f"{NAME}.audit.json"
    arguments = ["audit", f"{models / NAME}/", "--protected", "country"]
    arguments += ["--events", str(tmp_path / "data" / "events.parquet")]
    arguments += ["--profiles", str(tmp_path / "data" / "profiles.parquet")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert not file.exists()
    done = CliRunner().invoke(app, [*arguments, "--publish"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert f"published: {file}" in done.output
    assert pp.load_model(models / NAME).digest in file.read_text()
