"""A validation is on the metrics page of the server of that version of the model, and of no other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

import propense as pp
from propense.cli.app import app
from propense.simulator import Simulation, write


@pytest.fixture
def models(model_folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(model_folder, tmp_path / "models" / "buys_ticket")
    return tmp_path / "models"


def page(server: pp.Server) -> dict[str, float]:
    """Give what is said of validations, by name of the gauge."""
    with urlopen(f"http://{server.metrics_address}/metrics") as answer:
        rows = [line for line in answer.read().decode().splitlines() if line[:1] != "#"]
    found = {}
    for row in rows:
        name, value = row.rsplit(" ", 1)
        if name.endswith('{model="buys_ticket"}') or name.startswith("propense_model_verdict"):
            found[name.removeprefix("propense_model_").removesuffix('{model="buys_ticket"}')] = (
                float(value)
            )
    return found


def test_what_the_command_publishes_is_on_the_page(
    models: Path, model: pp.Model, log: pp.EventLog, sim: Simulation, tmp_path: Path
) -> None:
    write(sim, tmp_path / "data")
    data = ["--events", str(tmp_path / "data" / "events.parquet")]
    data += ["--profiles", str(tmp_path / "data" / "profiles.parquet")]
    arguments = ["validate", f"{models / 'buys_ticket'}/", *data]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    file = models / "buys_ticket.validation.json"
    assert not file.exists(), "only if asked to"
    done = CliRunner().invoke(app, [*arguments, "--publish"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert f"published: {file}" in done.output
    found = model.validate(log)
    total, drift = found.forecast.total, found.drift
    assert drift is not None
    with (
        pp.serve(
            tmp_path / "store",
            models,
            address="127.0.0.1:0",
            metrics_address="127.0.0.1:0",
        ) as server,
        pp.Client(server.address) as client,
    ):
        assert [served.name for served in client.list_models()] == ["buys_ticket"]
        shown = page(server)
        assert shown.pop("validated_timestamp_seconds") == pytest.approx(
            json.loads(file.read_text())["validated_us"] / 1e6
        )
        assert shown == {
            "validated_users": total.users,
            "reached_expected": total.expected,
            "reached_low": total.low,
            "reached_high": total.high,
            "reached_actual": found.actual,
            "score_drift": drift.filter(of="score")["stability"][0],
            "feature_drift": drift.filter(of="feature")["stability"].max(),
            f'verdict{{model="buys_ticket",verdict="{found.verdict}"}}': 1.0,
        }
        # The same model with other tiers is another version.
        other = pp.load_model(models / "buys_ticket")
        other.tiers = pp.TierPolicy.capacity(7)
        other.save(models / "buys_ticket")
        client.reload_models()
        assert page(server) == {}
        other.validate(log).publish(models / "buys_ticket")
        client.reload_models()
        assert page(server)["reached_actual"] == found.actual


def test_a_place_that_cannot_be_written_is_named(
    models: Path, model: pp.Model, log: pp.EventLog
) -> None:
    (models / "buys_ticket.validation.json").mkdir()
    with pytest.raises(pp.OutputError, match=r"buys_ticket\.validation\.json is a folder"):
        model.validate(log).publish(models / "buys_ticket")
