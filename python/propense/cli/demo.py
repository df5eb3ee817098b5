"""The demo: a simulated ticketing app, from its event log to tiers that can be checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer
from numpy.typing import NDArray
from rich.table import Table

from propense.cli import demo_folder
from propense.cli.demo_serve import serve_demo
from propense.events import EventLog, read_events, read_profiles
from propense.exceptions import ModelError
from propense.features import compute_features
from propense.goal import Goal
from propense.instants import to_us
from propense.output import write_table
from propense.progress import track
from propense.simulator import Simulation, simulate, write
from propense.tables import quality_table, tier_summary, tier_table
from propense.terminal import verbatim_console
from propense.training.metrics import auc
from propense.training.rows import Question
from propense.training.train import train

GOAL_FILE = """\
# Who will buy a ticket within 30 days?
name = "buys_ticket"
when = "count(purchase) >= 1"
horizon = "30d"
direction = "encourage"
"""
RULE_DAYS = 30


def demo(
    users: Annotated[int, typer.Option("--users", min=1_000, help="How many users.")] = 100_000,
    out: Annotated[Path, typer.Option("--out", help="Folder for everything made.")] = Path("demo"),
    seed: Annotated[int, typer.Option("--seed", help="Equal seeds give equal logs.")] = 7,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Then serve all of it over gRPC from OUT/demo_store, made anew, ask, and compare.",
        ),
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="And go on serving until Ctrl-C.")] = False,
) -> None:
    """Simulate a ticketing app's log, train, score, compare with what then happened, and report.

    The simulator knows every user's true probability, so the scores can be checked against it.
    """
    goal = Goal("buys_ticket", "count(purchase) >= 1", horizon="30d")
    demo_folder.take(out, goal.name)
    console = verbatim_console()
    with track("simulating", 100) as report:
        sim = simulate(users, seed=seed, progress=lambda done, total: report(100 * done // total))
    write(sim, out)
    (out / "goal.toml").write_text(GOAL_FILE, encoding="utf-8")
    log = read_events(
        out / "events.parquet", profiles=read_profiles(out / "profiles.parquet"), time="ts"
    )
    console.print(log)
    model = train(log, goal, as_of=sim.as_of)
    model.save(out / "models" / goal.name)
    scores = model.score(log, as_of=sim.as_of)
    write_table(scores, out / "scores.parquet")
    reached = outcomes(log, goal, scores, sim)
    console.print(quality_table(model.metrics, f"held out, as of {model.metrics['as_of']}"))
    title = f"who buys a ticket in the {goal.horizon} after {sim.as_of:%Y-%m-%d}, and who did"
    console.print(tier_table(tier_summary(scores, reached), title))
    console.print(rule_table(log, sim, scores, reached))
    console.print(ranking_table(sim, scores, reached))
    files = ["events.parquet", "profiles.parquet", "truth.parquet", "goal.toml"]
    files += [f"models/{goal.name}", "scores.parquet"]
    try:
        model.report().save(out / "report.html")
        files += ["report.html", "report_charts"]
    except ModelError as error:
        console.print(f"no report: {error}", soft_wrap=True)
    for name in files:
        console.print(f"wrote {out / name}", soft_wrap=True)
    console.print("go on with, for example:")
    expected = model.forecast(scores).total.expected
    for line in next_commands(out, goal.name, scores, f"{sim.as_of:%Y-%m-%d}", expected):
        console.print(f"  {line}", soft_wrap=True)
    if serve or keep:
        serve_demo(out, goal.name, scores, sim.as_of, keep)


def next_commands(
    out: Path, name: str, scores: pl.DataFrame, as_of: str, expected: float
) -> list[str]:
    """Give commands that show what else there is to know about the demo's model."""
    user = scores.sort("score", descending=True)["user_id"][0]
    target = round(1.1 * expected)  # by the forecast, not the scores: with a gap to plan for
    model, scored = out / "models" / name, out / "scores.parquet"
    log = f"--events {out / 'events.parquet'} --profiles {out / 'profiles.parquet'}"
    return [
        f"propense explain {model} {user} {log} --as-of {as_of}",
        f"propense plan {model} --scores {scored} --target {target} --budget 5000 --cost 0.1",
        f"propense audit {model} {log} --protected country --protected age:30,45 --as-of {as_of}",
        f"propense validate {model} {log}",
    ]


def outcomes(log: EventLog, goal: Goal, scores: pl.DataFrame, sim: Simulation) -> NDArray[np.bool_]:
    """Say for each scored user whether the goal was reached, from events after the as_of."""
    question = Question(log, goal, "UTC")
    as_of_us = to_us(sim.as_of)
    users = question.audience(as_of_us)
    if len(users) != scores.height:  # pragma: no cover - the audience is the same by construction
        raise RuntimeError("the scored users are not the audience")
    return question.labels(users, as_of_us)


def rule_table(
    log: EventLog, sim: Simulation, scores: pl.DataFrame, reached: NDArray[np.bool_]
) -> Table:
    """Compare a rule with the same number of users picked by score."""
    bought = compute_features(log, [f"count(purchase, '{RULE_DAYS}d')"], as_of=sim.as_of)
    by_rule = bought.to_series(1).to_numpy() > 0
    count = int(by_rule.sum())
    ranked = np.argsort(-scores["score"].to_numpy(), kind="stable")[:count]
    table = Table(title="the same number of users, picked in two ways", title_justify="left")
    for head in ("picked by", "users", "of whom bought", "rate", "lift"):
        table.add_column(head, justify="left" if head == "picked by" else "right")
    for name, chosen in (
        (f"the rule: bought in the last {RULE_DAYS} days", reached[by_rule]),
        ("propense: the highest scores", reached[ranked]),
    ):
        rate = float(chosen.mean()) if len(chosen) else 0.0
        lift = rate / float(reached.mean())
        table.add_row(name, f"{count:,}", f"{chosen.sum():,}", f"{rate:.4f}", f"{lift:.2f}")
    return table


def ranking_table(sim: Simulation, scores: pl.DataFrame, reached: NDArray[np.bool_]) -> Table:
    """Compare the scores' ranking with that of the simulator's true probabilities."""
    truth = scores.join(sim.truth, on="user_id", how="left", maintain_order="left")
    true_probability = truth["probability"].to_numpy()
    table = Table(title="how well users are ranked", title_justify="left")
    table.add_column("by")
    table.add_column("AUC", justify="right")
    table.add_row("propense", f"{auc(reached, scores['score'].to_numpy()):.4f}")
    table.add_row("the truth (the best there can be)", f"{auc(reached, true_probability):.4f}")
    return table
