"""The commands ``train``, ``score`` and ``export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from propense.cli import options
from propense.cli.ending import if_interrupted
from propense.cli.options import LogOptions
from propense.exceptions import GoalError, ModelError
from propense.features import FeatureSet
from propense.goal import FeatureOptions, load_goal
from propense.goal import GoalFile as Asked
from propense.manifest import MODEL_FILES
from propense.model import Model, load_model
from propense.output import check_writable, write_table
from propense.tables import decile_table, quality_table, tier_summary, tier_table
from propense.terminal import let_go, verbatim_console
from propense.tiers import TierPolicy
from propense.training.rows import export_training
from propense.training.train import train as train_model

STDOUT = "-"
PIPED_ROWS = 50_000

GoalFile = Annotated[
    Path, typer.Argument(help="Goal file (TOML): name, when, horizon …", metavar="GOAL.toml")
]


def train(
    goal: GoalFile,
    events: options.Events,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the model.", metavar="models/NAME")
    ],
    profiles: options.ProfilesPath = None,
    user: options.UserColumn = "user_id",
    time: options.TimeColumn = None,
    event: options.EventColumn = "event",
    event_constant: options.EventConstant = None,
    time_unit: options.TimeUnit = None,
    as_of: options.AsOf = None,
    seed: Annotated[int, typer.Option("--seed", help="Equal seeds give equal models.")] = 0,
    fallback: Annotated[
        bool,
        typer.Option(
            "--fallback",
            help="With too few who reached the goal, give preliminary rates by recency and "
            "frequency instead of refusing.",
        ),
    ] = False,
) -> None:
    """Train a model for a goal and write it as a folder: ONNX file, manifest, checks.

    A goal file:

        name = "buys_again"
        when = "count(purchase) >= 1"
        horizon = "90d"

    Prints the quality on the newest period, which training did not see.
    """
    asked = load_goal(goal)
    policy = asked_tiers(asked, goal)
    check_writable(out, table=False, replaceable=MODEL_FILES)
    with if_interrupted("nothing was written"):
        log = LogOptions(events, profiles, user, time, event, event_constant, time_unit).read()
        log = log.with_protected(asked.features.protected)
        model = train_model(
            log,
            asked.goal,
            as_of=as_of,
            features=declared(asked.features),
            tiers=policy,
            timezone=asked.features.timezone,
            seed=seed,
            fallback=fallback,
        )
        before = model_at(out, asked.goal.name)
        if before is not None:
            model = model.following(before)
        model.save(out)
    console = verbatim_console()
    where = {
        "held_out": "on the newest period, held out",
        "out_of_fold": "on users held out; the log is too short to hold out a period",
        "in_sample": "on what it was made from; the log is too short to hold out anything",
    }[model.metrics["kind"]]
    as_of_text = f"{asked.goal.name}: quality {where} (as of {model.metrics['as_of']})"
    console.print(quality_table(model.metrics, as_of_text))
    console.print(decile_table(model.metrics, "calibration and lift by decile"))
    if model.training["standing"] == "preliminary":
        noting = verbatim_console(stderr=True)
        noting.print("note: ", style="yellow", end="")
        noting.print("fewer than 500 users on one side: the model is preliminary")
    console.print(f"model: {out}", soft_wrap=True)


def score(
    model: Annotated[Path, typer.Argument(help="Folder of the model.", metavar="models/NAME")],
    events: options.Events,
    out: Annotated[
        str,
        typer.Option(
            "--out", help="File for the scores: .parquet, .csv or .jsonl; - is CSV to the pipe."
        ),
    ],
    profiles: options.ProfilesPath = None,
    user: options.UserColumn = "user_id",
    time: options.TimeColumn = None,
    event: options.EventColumn = "event",
    event_constant: options.EventConstant = None,
    time_unit: options.TimeUnit = None,
    as_of: options.AsOf = None,
) -> None:
    """Score a model's audience: user_id, score, percentile, tier.

    Prints how many users are in each tier and how many of them are expected to reach the goal.
    """
    if out != STDOUT:
        check_writable(out)
    loaded = load_model(model)
    log = LogOptions(events, profiles, user, time, event, event_constant, time_unit).read()
    scores = loaded.score(log, as_of=as_of)
    put(scores, out)
    console = verbatim_console(stderr=out == STDOUT)
    title = f"{loaded.goal.name}: {loaded.goal.when} within {loaded.goal.horizon}"
    console.print(tier_table(tier_summary(scores), title))
    if out != STDOUT:
        console.print(f"scores: {out}", soft_wrap=True)


def export(
    goal: GoalFile,
    events: options.Events,
    out: Annotated[
        str,
        typer.Option(
            "--out", help="File for the frame: .parquet, .csv or .jsonl; - is CSV to the pipe."
        ),
    ],
    profiles: options.ProfilesPath = None,
    user: options.UserColumn = "user_id",
    time: options.TimeColumn = None,
    event: options.EventColumn = "event",
    event_constant: options.EventConstant = None,
    time_unit: options.TimeUnit = None,
    as_of: options.AsOf = None,
) -> None:
    """Write a training frame for a trainer of your own: user, as_of, features, label.

    A model trained on it, saved as ONNX, comes back with propense.Model.from_onnx.
    """
    asked = load_goal(goal)
    if out != STDOUT:
        check_writable(out)
    log = LogOptions(events, profiles, user, time, event, event_constant, time_unit).read()
    log = log.with_protected(asked.features.protected)
    frame = export_training(
        log,
        asked.goal,
        features=declared(asked.features),
        as_of=as_of,
        timezone=asked.features.timezone,
    )
    put(frame, out)
    positives = int(frame["label"].sum())
    dates = frame["as_of"].n_unique()
    verbatim_console(stderr=out == STDOUT).print(
        f"training frame: {out} ({frame.height:,} rows of {dates} as_of dates, "
        f"{frame.width - 3} features, {positives:,} reached the goal)",
        soft_wrap=True,
    )


def model_at(folder: Path, name: str) -> Model | None:
    """Give the model that a folder already holds, if it can be loaded and has a goal of this name."""
    try:
        model = load_model(folder)
    except ModelError:
        return None
    return model if model.goal.name == name else None


def asked_tiers(asked: Asked, path: Path) -> TierPolicy:
    """Give the tier policy that a goal file names."""
    try:
        return TierPolicy.from_dict(asked.tiers)
    except ModelError as error:
        raise GoalError(f"{path}: tiers: {error}") from None


def declared(wanted: FeatureOptions) -> FeatureSet | None:
    """Give the features that a goal file names; None where it leaves them to the automatic choice."""
    if wanted.expressions is None:
        return None
    return FeatureSet(wanted.expressions, timezone=wanted.timezone)


def put(frame: pl.DataFrame, out: str) -> None:
    """Write a frame to a file, or as CSV to standard output."""
    if out != STDOUT:
        write_table(frame, out)
        return
    try:
        sys.stdout.write(frame.head(0).write_csv())
        for part in frame.iter_slices(PIPED_ROWS):
            sys.stdout.write(part.write_csv(include_header=False))
        sys.stdout.flush()
    except BrokenPipeError:
        let_go(sys.stdout)
