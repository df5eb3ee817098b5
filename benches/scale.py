"""From Parquet to scores at size: 10 M events of 200 k users, 200 features, in a process of its own.

    .venv/bin/python benches/scale.py [--events 10000000] [--users 200000] [--folder DIR]

Makes the log and a model once, then runs `propense score` on it and prints wall time, CPU time and
peak memory. The model has 200 automatic features and is trained on a tenth of the users.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

import propense as pp
from propense.features import FeatureSet

SPAN_S = 365 * 86_400
AS_OF = "2025-01-01"
EVENT_TYPES = ["app_open", "view_item", "search", "add_to_cart", "purchase", "push_opened"]
SHARES = [0.4, 0.3, 0.15, 0.08, 0.04, 0.03]


def make_log(path: Path, events: int, users: int) -> None:
    """Write a log with heavy-tailed activity, in order of time as logs arrive."""
    random = np.random.default_rng(1)
    activity = random.pareto(1.5, users) + 0.2
    user = random.choice(users, events, p=activity / activity.sum())
    kind = random.choice(len(EVENT_TYPES), events, p=SHARES)
    start = np.datetime64("2024-01-02", "us")
    time_us = start + np.sort(random.integers(0, SPAN_S, events)) * np.timedelta64(1, "s")
    frame = pl.DataFrame(
        {
            "user_id": user,
            "ts": pl.Series(time_us).dt.replace_time_zone("UTC"),
            "event": pl.Series(np.array(EVENT_TYPES)[kind]),
            "amount": np.where(
                kind == 4, np.round(random.gamma(2.0, 30.0, events), 2), None
            ).astype(float),
            "category": pl.Series(
                np.array([f"c{c}" for c in range(12)])[random.integers(0, 12, events)]
            ),
        }
    ).with_columns(
        pl.format("user-{}", pl.col("user_id").cast(pl.String).str.zfill(9)).alias("user_id")
    )
    frame.write_parquet(path)


def make_model(folder: Path, log_path: Path, users: int) -> None:
    """Train on a tenth of the users, so that making the model does not take longer than the bench."""
    tenth = pl.scan_parquet(log_path).filter(pl.col("user_id") < f"user-{users // 10:09d}")
    log = pp.read_events(tenth)
    goal = pp.Goal("buys", "count(purchase) >= 1", horizon="30d")
    features = FeatureSet(FeatureSet.auto(log, goal=goal, before=AS_OF).expressions[:200])
    pp.train(log, goal, as_of=AS_OF, features=features).save(folder)


def main() -> None:
    """Make what is missing, then measure one run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, default=Path("demo/scale"))
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    log_path = asked.folder / f"events-{asked.events}-{asked.users}.parquet"
    model = asked.folder / f"model-{asked.events}-{asked.users}"
    if not log_path.exists():
        make_log(log_path, asked.events, asked.users)
    if not model.exists():
        make_model(model, log_path, asked.users)
    command = [Path(sys.executable).with_name("propense"), "score", model, "--events", log_path]
    command += ["--as-of", AS_OF, "--out", asked.folder / "scores.parquet"]
    started = time.monotonic()
    subprocess.run([str(part) for part in command], check=True)
    wall_s = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    width = len(pp.load_model(model).features)
    print(f"{asked.events:,} events, {asked.users:,} users, {width} features, Parquet to scores:")
    cpu_s, peak_gib = used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20
    print(f"{wall_s:.1f} s wall, {cpu_s:.1f} s CPU, {peak_gib:.2f} GiB at most")


if __name__ == "__main__":
    main()
