"""What cannot be forecast, planned or validated is refused in one clear line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import propense as pp
from propense.cli.app import EXIT_CODES, app
from propense.manifest import LATER_FILES, Manifest
from propense.simulator import Simulation


@pytest.fixture(scope="module")
def scores(model: pp.Model, log: pp.EventLog, sim: Simulation) -> pl.DataFrame:
    return model.score(log, as_of=sim.as_of)


@pytest.fixture(scope="module")
def forecast(model: pp.Model, scores: pl.DataFrame) -> Any:
    return model.forecast(scores, target=200)


def refused(kind: type[pp.PropenseError], call: Callable[[], object], *parts: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize("value", [-1, -0.5, float("nan"), float("inf"), "5", True, None])
def test_numbers_that_are_none_are_refused(value: Any, model: pp.Model, forecast: Any) -> None:
    if value is not None:
        refused(pp.PlanError, lambda: model.forecast(target=value), "target")
        refused(pp.PlanError, lambda: forecast.plan(budget=value), "budget")
        refused(pp.PlanError, lambda: forecast.plan(value=value), "value")
    refused(pp.PlanError, lambda: forecast.plan(cost=value), "cost")
    refused(pp.PlanError, lambda: forecast.plan(uplift=value), "uplift")
    by_tier = dict.fromkeys(("most_likely", "moderately_likely", "least_likely"), 1.0)
    refused(pp.PlanError, lambda: forecast.plan(cost=by_tier | {"least_likely": value}), "least")


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.float32, float])
def test_numbers_of_numpy_are_numbers(kind: type, model: pp.Model, forecast: Any) -> None:
    assert model.forecast(target=kind(5)).target == 5.0
    assert forecast.plan(cost=kind(2), budget=kind(60)).cost <= 60.0


def test_levels_and_tiers_that_are_none_are_refused(model: pp.Model, forecast: Any) -> None:
    for level in (0, 1, -0.1, 90, float("nan")):
        refused(pp.PlanError, partial(model.forecast, level=level), "level")
    refused(pp.PlanError, lambda: forecast.plan(cost={"best": 1.0}), "'best' is no tier")
    refused(pp.PlanError, lambda: forecast.plan(uplift={"most_likely": 1.0}), "moderately_likely")


def test_a_plan_without_an_aim_is_refused(model: pp.Model) -> None:
    refused(pp.PlanError, lambda: model.forecast().plan(cost=1.0), "target", "value")


@pytest.mark.parametrize(
    ("frame", "part"),
    [
        (pl.DataFrame({"user_id": ["a"]}), "user_id"),
        (pl.DataFrame({"score": pl.Series([], dtype=pl.Float32)}), "no rows"),
        (pl.DataFrame({"score": [0.1, None]}), "missing"),
        (pl.DataFrame({"score": [0.1, float("nan")]}), "missing"),
        (pl.DataFrame({"score": [1.5]}), "[0, 1]"),
        (pl.DataFrame({"score": [-0.1]}), "[0, 1]"),
        (pl.DataFrame({"score": ["high"]}), "expected probabilities"),
        (pl.DataFrame({"score": [0.5], "tier": ["top"]}), "tier"),
        (pl.DataFrame({"score": [0.5], "tier": [None]}), "tier"),
    ],
)
def test_frames_that_are_no_scores_are_refused(
    frame: pl.DataFrame, part: str, model: pp.Model
) -> None:
    refused(pp.ModelError, lambda: model.forecast(frame), part)


def test_a_horizon_that_has_not_passed_is_refused(
    model: pp.Model, sim: Simulation, profiles: pp.Profiles
) -> None:
    last = pl.col("ts") < pl.lit(sim.as_of) + pl.duration(days=28)
    log = pp.read_events(sim.events.filter(last), profiles=profiles)
    refused(pp.DataError, lambda: model.validate(log), "has not passed", "2025-06-24")
    early = sim.as_of.replace(tzinfo=None)
    refused(
        pp.DataError,
        lambda: model.validate(log, as_of=early.replace(month=early.month - 1)),
        "learnt what happened",
    )


def test_scores_of_other_users_are_refused(
    model: pp.Model, log: pp.EventLog, scores: pl.DataFrame
) -> None:
    strangers = scores.with_columns(pl.col("user_id") + "x")
    refused(pp.DataError, lambda: model.validate(log, scores=strangers), "none of the")
    twice = pl.concat([scores, scores])
    refused(pp.DataError, lambda: model.validate(log, scores=twice), "two scores")
    nameless = scores.drop("user_id")
    refused(pp.DataError, lambda: model.validate(log, scores=nameless), "user_id")


@pytest.fixture
def old_folder(model_folder: Path, tmp_path: Path) -> Path:
    """Give a directory as an earlier version wrote it."""
    folder = Path(shutil.copytree(model_folder, tmp_path / "old"))
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    for name in LATER_FILES:
        (folder / name).unlink()
        del values["sha256"][name]
    del values["training"]["audience"], values["training"]["backtest"]
    path.write_text(Manifest.model_validate(values).sealed())
    return folder


def test_directories_of_earlier_versions_load_and_say_what_they_lack(
    old_folder: Path, log: pp.EventLog, scores: pl.DataFrame, model: pp.Model
) -> None:
    old = pp.load_model(old_folder)
    assert old.backtest.height == 0
    assert old.backtest.schema == model.backtest.schema
    refused(pp.ModelError, old.forecast, "how large its audience was", "train it again")
    refused(pp.ModelError, lambda: old.drift(log), "train it again")
    forecast = old.forecast(scores, target=100)
    assert forecast.ahead.cuts == 0
    assert list(forecast.plan(cost=1.0).comparison["contacting"]) == ["nobody", "plan", "everyone"]
    assert old.validate(log).drift is None
    assert old.save(old_folder).is_dir()
    assert not (old_folder / LATER_FILES[0]).exists()


@pytest.mark.parametrize("name", LATER_FILES)
def test_later_files_are_checked_like_all_others(
    name: str, model_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "m"))
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    refused(pp.ModelError, lambda: pp.load_model(folder), name, "does not match the manifest")
    (folder / name).unlink()
    refused(pp.ModelError, lambda: pp.load_model(folder), name, "cannot be read")


def test_a_backtest_that_does_not_fit_its_description_is_refused(
    model_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "m"))
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    values["training"]["backtest"]["cuts"][0]["rows"] += 1
    path.write_text(Manifest.model_validate(values).sealed())
    refused(pp.ModelError, lambda: pp.load_model(folder), "does not fit the manifest")
    del values["training"]["backtest"]["cuts"][0]
    path.write_text(Manifest.model_validate(values).sealed())
    refused(pp.ModelError, lambda: pp.load_model(folder), "dates that the manifest does not name")


@pytest.mark.parametrize(
    ("arguments", "kind", "part"),
    [
        (["--target", "-5"], pp.PlanError, "target is -5"),
        (["--target", "5", "--cost", "-1"], pp.PlanError, "cost is -1"),
        (["--target", "5", "--budget", "-1"], pp.PlanError, "budget is -1"),
        (["--target", "5", "--value", "nan"], pp.PlanError, "value is nan"),
        (["--target", "5", "--uplift", "much"], pp.PlanError, "--uplift much"),
        (["--target", "5", "--uplift", "best=1"], pp.PlanError, "no tier"),
        # Without an aim there is a forecast, but no plan that the others could be of.
        (["--cost", "-1"], pp.PlanError, "cost is -1"),
        (["--cost", "0.5"], pp.PlanError, "needs a target to reach"),
        (["--budget", "5"], pp.PlanError, "needs a target to reach"),
        (["--uplift", "0.2"], pp.PlanError, "needs a target to reach"),
        (["--level", "90"], pp.PlanError, "level"),
        (["--target", "5", "--out", "users.csv"], pp.PlanError, "--scores"),
        (["--scores", "absent.csv"], pp.DataError, "absent.csv"),
    ],
)
def test_the_command_says_so_before_it_prints_anything(
    arguments: list[str], kind: type[pp.PropenseError], part: str, model_folder: Path
) -> None:
    result = CliRunner().invoke(app, ["plan", str(model_folder), *arguments])
    assert isinstance(result.exception, kind)
    assert part in str(result.exception)
    assert result.stdout == ""
    assert EXIT_CODES[kind] in (2, 3)


def test_users_to_contact_without_an_aim_are_refused(
    model_folder: Path, scores: pl.DataFrame, tmp_path: Path
) -> None:
    scores.write_parquet(tmp_path / "scores.parquet")
    asked = ["--scores", f"{tmp_path / 'scores.parquet'}", "--out", f"{tmp_path / 'users.csv'}"]
    result = CliRunner().invoke(app, ["plan", str(model_folder), *asked])
    assert isinstance(result.exception, pp.PlanError)
    assert "needs a target to reach" in str(result.exception)


def test_extremes_have_forecasts_too(model: pp.Model) -> None:
    for values in ([0.0] * 50, [1.0] * 50, [0.5], [0.0, 1.0]):
        frame = pl.DataFrame({"score": np.asarray(values, np.float32)})
        forecast = model.forecast(frame, target=0)
        assert 0 <= forecast.total.low <= forecast.total.high <= len(values)
        assert forecast.verdict == "sell_out"
        assert model.forecast(frame, target=1e12).verdict == "flop"
        plan = model.forecast(frame, target=1e12).plan(cost=1.0, budget=0.0)
        assert (plan.contacts, plan.closes_gap) == (0, False)
