"""Tables for the terminal: tiers, quality, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.table import Table

from propense.measured import MEASURES
from propense.tiers import TIERS


def tier_summary(scores: pl.DataFrame, reached: NDArray[np.bool_] | None = None) -> pl.DataFrame:
    """Sum up scored users by tier.

    Parameters
    ----------
    scores
        With columns ``score`` and ``tier``.
    reached
        Whether each user then reached the goal, bool of shape (n,); left out: not known yet.

    Returns
    -------
    polars.DataFrame
        One row a tier and one for all: ``tier``, ``users``, ``mean_score``, ``expected`` (sum of
        scores), and where known ``actual`` (users who reached the goal) and ``lift`` (their rate
        over everyone's; null for a tier without users).
    """
    frame = scores.select(pl.col("tier").cast(pl.String), pl.col("score").cast(pl.Float64))
    if reached is not None:
        frame = frame.with_columns(pl.Series("reached", reached))
    everyone = frame.with_columns(pl.lit("all").alias("tier"))
    columns = [
        pl.len().alias("users"),
        pl.col("score").mean().alias("mean_score"),
        pl.col("score").sum().alias("expected"),
    ]
    if reached is not None:
        rate = float(np.mean(reached)) if len(reached) else 0.0
        lift = pl.col("reached").mean() / (rate or float("nan"))
        columns += [pl.col("reached").sum().alias("actual"), lift.fill_nan(None).alias("lift")]
    summed = pl.concat([frame, everyone]).group_by("tier").agg(columns)
    order = pl.DataFrame({"tier": [*TIERS, "all"]})
    joined = order.join(summed, on="tier", how="left", maintain_order="left")
    counts = [name for name in ("users", "expected", "actual") if name in joined.columns]
    return joined.with_columns(pl.col(counts).fill_null(0))


def tier_table(summary: pl.DataFrame, title: str) -> Table:
    """Show what :func:`tier_summary` gives."""
    table = Table(title=title, title_justify="left")
    table.add_column("tier")
    heads = {"users": "users", "mean_score": "mean score", "expected": "expected"}
    heads |= {"actual": "actual", "lift": "lift"}
    shown = [name for name in heads if name in summary.columns]
    for name in shown:
        table.add_column(heads[name], justify="right")
    for row in summary.iter_rows(named=True):
        if row["tier"] == "all":
            table.add_section()
        table.add_row(row["tier"].replace("_", " "), *(_cell(name, row[name]) for name in shown))
    return table


def quality_table(metrics: Mapping[str, Any], title: str) -> Table:
    """Show a model's metrics with the counts behind them."""
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, label in MEASURES.items():
        value = metrics[name]["value"]
        table.add_row(label, "–" if value is None else f"{value:.4f}")
    table.add_row("base rate", f"{metrics['base_rate']:.4f}")
    table.add_row("users", f"{metrics['n']:,}")
    table.add_row("of whom reached the goal", f"{metrics['positives']:,}")
    return table


def decile_table(metrics: Mapping[str, Any], title: str) -> Table:
    """Show calibration and lift by decile, the highest scores first."""
    table = Table(title=title, title_justify="left")
    for head in ("decile", "users", "mean score", "reached", "rate", "lift"):
        table.add_column(head, justify="right")
    for row in metrics["deciles"]:
        lift = "–" if row["lift"] is None else f"{row['lift']:.2f}"
        table.add_row(
            str(row["decile"]),
            f"{row['n']:,}",
            f"{row['mean_score']:.4f}",
            f"{row['positives']:,}",
            f"{row['rate']:.4f}",
            lift,
        )
    return table


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    styles = {"users": ",.0f", "expected": ",.0f", "actual": ",.0f", "lift": ".2f"}
    return format(value, styles.get(name, ".4f"))
