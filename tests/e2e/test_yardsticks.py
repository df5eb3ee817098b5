"""The defaults against yardsticks measured with other people's tools, on real data where it is at hand.

Everything goes through the command line, as a user would: train with --as-of, then score with the same.
What happened afterwards is counted here, from the raw file, with Polars alone.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
HORIZON_DAYS = 90


@dataclass(frozen=True)
class Yardstick:
    folder: str
    event: str
    cut: str
    auc: float
    """The best of: one feature alone, BG/NBD, hand-made RFM features with LightGBM."""
    calibration_error: float = 0.03


YARDSTICKS = [
    Yardstick("cdnow", "purchase", "1997-10-01", 0.768),
    Yardstick("cdnow", "purchase", "1998-04-01", 0.837),
    # The log breaks off within the horizon, which no model can know.
    Yardstick("online_retail", "purchase", "2011-09-10", 0.739, calibration_error=0.06),
    Yardstick("completejourney", "coupon_redeemed", "2017-10-01", 0.867),
]


def run(*arguments: str | Path) -> None:
    command = [Path(sys.executable).with_name("propense"), *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"{command} exited with {done.returncode}: {done.stderr}")


def scores_of(yardstick: Yardstick, folder: Path) -> pl.DataFrame:
    goal = folder / "goal.toml"
    goal.write_text(
        f'name = "goal"\nwhen = "count({yardstick.event}) >= 1"\nhorizon = "{HORIZON_DAYS}d"\n'
    )
    events = DATA / yardstick.folder / "events.parquet"
    cut = ("--as-of", yardstick.cut)
    run("train", goal, "--events", events, *cut, "--out", folder / "model")
    run("score", folder / "model", "--events", events, *cut, "--out", folder / "scores.parquet")
    return pl.read_parquet(folder / "scores.parquet")


def outcomes(yardstick: Yardstick, scores: pl.DataFrame) -> pl.Series:
    cut = datetime.fromisoformat(yardstick.cut).replace(tzinfo=UTC)
    events = pl.read_parquet(DATA / yardstick.folder / "events.parquet")
    before = events.filter(pl.col("ts") < cut, pl.col("user_id").is_not_null())
    assert set(scores["user_id"]) == set(before["user_id"]), "everyone with a history is scored"
    horizon = pl.col("ts").is_between(cut, cut + timedelta(days=HORIZON_DAYS), closed="left")
    reached = events.filter(horizon, pl.col("event") == yardstick.event)["user_id"].unique()
    return scores["user_id"].is_in(reached.drop_nulls().implode())


def calibration_error(scores: pl.Series, reached: pl.Series) -> float:
    """Mean over ten equal groups by score of |mean score − rate|, weighted by users."""
    frame = pl.DataFrame({"score": scores.cast(pl.Float64), "reached": reached}).sort("score")
    decile = pl.int_range(pl.len()) * 10 // pl.len()
    groups = frame.group_by(decile.alias("decile")).agg(
        pl.len(), (pl.col("score").mean() - pl.col("reached").mean()).abs().alias("gap")
    )
    return float((groups["len"] * groups["gap"]).sum() / frame.height)


def test_defaults_beat_every_yardstick(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not DATA.is_dir():
        pytest.skip(f"the real data sets are not at {DATA}")
    rows = []
    for place, yardstick in enumerate(YARDSTICKS):
        folder = tmp_path / str(place)
        folder.mkdir()
        scores = scores_of(yardstick, folder)
        reached = outcomes(yardstick, scores)
        rows.append(
            {
                "data": yardstick.folder,
                "cut": yardstick.cut,
                "users": scores.height,
                "base rate": round(float(reached.mean() or 0.0), 4),
                "AUC": round(float(roc_auc_score(reached, scores["score"])), 4),
                "yardstick": yardstick.auc,
                "calibration error": round(calibration_error(scores["score"], reached), 4),
                "allowed": yardstick.calibration_error,
                "expected / actual": round(float(scores["score"].sum() / reached.sum()), 3),
            }
        )
    table = pl.DataFrame(rows)
    shape = {"tbl_formatting": "MARKDOWN", "tbl_hide_column_data_types": True, "tbl_cols": -1}
    with capsys.disabled(), pl.Config(**shape, tbl_hide_dataframe_shape=True, tbl_width_chars=200):
        print(f"\n{table}")
    for row in rows:
        place = f"{row['data']} {row['cut']}"
        assert row["AUC"] > row["yardstick"], place
        assert row["calibration error"] <= row["allowed"], place
        assert 0.85 <= row["expected / actual"] <= 1.15, place
