"""The command ``plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from propense.cli import options
from propense.cli.plan_tables import (
    basis,
    comparison_table,
    contact_table,
    forecast_table,
    in_words,
)
from propense.exceptions import PlanError
from propense.model import load_model
from propense.output import check_writable, write_table
from propense.sources import collect, scan
from propense.terminal import verbatim_console


def plan(
    model: Annotated[Path, typer.Argument(help="Folder of the model.", metavar="models/NAME")],
    target: Annotated[
        float | None,
        typer.Option(
            "--target",
            help="How many users are to reach the goal; of a goal to prevent, at most how many.",
            metavar="N",
        ),
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", help="The most to be spent.", metavar="B")
    ] = None,
    cost: Annotated[float, typer.Option("--cost", help="Of one contact.", metavar="C")] = 0.0,
    value: Annotated[
        float | None,
        typer.Option("--value", help="Of one more user who reaches the goal.", metavar="V"),
    ] = None,
    uplift: Annotated[
        list[str] | None,
        typer.Option(
            "--uplift",
            help="What a contact is assumed to do to the odds: 0.1 is 10 % higher. Or by tier, given "
            "three times: most_likely=0.05.",
            metavar="U",
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores",
            help="Scores by propense score; left out: the audience at training.",
            metavar="FILE",
        ),
    ] = None,
    level: Annotated[
        float, typer.Option("--level", help="Of the intervals.", metavar="SHARE")
    ] = 0.9,
    user: options.UserColumn = "user_id",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="File for the users to contact, which needs --scores.", metavar="FILE"
        ),
    ] = None,
) -> None:
    """Forecast how many will reach the goal, and plan contacts so that a target is met.

    The forecast's intervals rest on how far the model was off on past dates. The plan is the
    cheapest that closes the gap to the target within the budget, beside contacting everyone and
    whom a simple rule would pick. Without a target, all contacts worth their cost are planned, by the
    value of a user; without either there is the forecast alone.
    """
    if out is not None:
        check_writable(out)
        if scores is None:
            raise PlanError("--out names users, who come from --scores")
    loaded = load_model(model)
    known = None if scores is None else collect(*scan(scores, text_columns=(user,)))
    forecast = loaded.forecast(known, target=target, level=level)
    console = verbatim_console()
    if not cost and all(each is None for each in (target, value, budget, uplift, out)):
        console.print(forecast_table(forecast))
        for line in basis(forecast):
            console.print(line, soft_wrap=True)
        return
    planned = forecast.plan(cost=cost, uplift=asked_uplift(uplift), budget=budget, value=value)
    console.print(forecast_table(forecast))
    if planned.contacts:
        console.print(contact_table(planned))
    console.print(comparison_table(planned))
    for line in in_words(planned):
        console.print(line, soft_wrap=True)
    if out is not None:
        write_table(planned.users, out)
        console.print(f"users to contact: {out}", soft_wrap=True)


def asked_uplift(given: list[str] | None) -> float | dict[str, float]:
    """Give one uplift for all, or one by tier.

    Raises
    ------
    PlanError
        Something is no number.
    """
    if not given:
        return 0.1
    pairs = [text.rpartition("=") for text in given]
    try:
        if len(pairs) == 1 and not pairs[0][1]:
            return float(pairs[0][2])
        return {tier: float(number) for tier, _, number in pairs}
    except ValueError:
        raise PlanError(
            f"--uplift {' '.join(given)}: expected a number such as 0.1, or most_likely=0.1 and so on"
        ) from None
