"""A forecast and a plan for the terminal, in tables and in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.table import Table

from propense.forecast import Forecast, Plan
from propense.forecast.corrected import corrected
from propense.instants import DAY_US

VERDICTS = {
    "sell_out": "sell out, the target will be met",
    "in_between": "in between, the log does not decide it",
    "flop": "flop, the target will be missed",
}
CHOICES = {
    "nobody": "nobody",
    "plan": "this plan",
    "everyone": "everyone",
    "rule": "the rule",
    "rule_within_budget": "the rule, within the budget",
}


def forecast_table(forecast: Forecast) -> Table:
    """Show how many are expected to reach the goal, by tier."""
    goal = forecast.goal
    table = Table(title=f"{goal.name}: {goal.when} within {goal.horizon}", title_justify="left")
    table.add_column("tier")
    for head in ("users", "expected", f"{forecast.level:.0%} interval"):
        table.add_column(head, justify="right")
    for row in forecast.table.iter_rows(named=True):
        if row["tier"] == "all":
            table.add_section()
        name = row["tier"].replace("_", " ")
        interval = f"{row['low']:,} to {row['high']:,}"
        table.add_row(name, f"{row['users']:,}", f"{row['expected']:,.0f}", interval)
    return table


def contact_table(plan: Plan) -> Table:
    """Show whom to contact and whom to leave alone, by tier."""
    table = Table(title="whom to contact", title_justify="left")
    # Of a narrow terminal's width the words take what the numbers leave.
    table.add_column("tier", min_width=len("moderately"))
    heads = ("contact", "scores", "cost", "gain", "come anyway", "others")
    for head in heads:
        table.add_column(head, justify="right", no_wrap=head in ("scores", "cost", "gain"))
    for row in plan.table.iter_rows(named=True):
        scores = "–"
        if row["contact"]:
            scores = f"{row['from_score']:.2f}–{row['to_score']:.2f}"
        table.add_row(
            row["tier"].replace("_", " "),
            f"{row['contact']:,}",
            scores,
            f"{row['cost']:,.2f}",
            f"{row['gain']:,.1f}",
            f"{row['come_anyway']:,}",
            f"{row['others']:,}",
        )
    return table


def comparison_table(plan: Plan) -> Table:
    """Show the plan beside contacting nobody, everyone and those whom the rule picks."""
    table = Table(title="beside other choices", title_justify="left")
    table.add_column("contacting")
    rows = plan.comparison.to_dicts()
    for row in rows:
        table.add_column(CHOICES[row["contacting"]], justify="right")
    measures: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("contacts", lambda row: f"{row['contacts']:,}"),
        ("cost", lambda row: f"{row['cost']:,.2f}"),
        ("gain", lambda row: f"{row['gain']:,.1f}"),
        ("cost of a gain of one", lambda row: amount(row["cost_per_gain"])),
        ("contacts that change nothing", lambda row: f"{row['wasted']:,.0f}"),
        ("expected", lambda row: f"{row['expected']:,.0f}"),
        ("at least", lambda row: f"{row['low']:,}"),
        ("at most", lambda row: f"{row['high']:,}"),
    ]
    if plan.forecast.target is not None:
        measures.append(("chance of the target", lambda row: f"{row['chance']:.0%}"))
    if plan.value is not None:
        measures.append(("net value", lambda row: amount(row["net"])))
    if plan.budget is not None:
        measures.append(("within budget", lambda row: "yes" if row["within_budget"] else "no"))
    for name, shown in measures:
        table.add_row(name, *(shown(row) for row in rows))
    return table


def amount(value: float | None) -> str:
    """Give an amount, or a dash for none."""
    return "–" if value is None else f"{value:,.2f}"


def in_words(plan: Plan) -> list[str]:
    """Say what the numbers rest on, the verdict, and what to do."""
    forecast = plan.forecast
    lines = basis(forecast)
    if forecast.verdict is not None:
        lines.append(
            f"verdict on {forecast.target:,.0f}: {VERDICTS[forecast.verdict]} "
            f"(chance {forecast.chance:.0%})"
        )
        lines.append(advice(plan))
        lines += needed(forecast) if forecast.gap else []
    elif not plan.contacts:
        within = "" if plan.budget is None else " within the budget"
        lines.append(f"no contact{within} is worth its cost at a value of {plan.value:,g}")
    anyway = int(plan.table["come_anyway"].sum())
    if anyway:
        verb = "come" if forecast.wanted > 0 else "reach it"
        lines.append(f"leave alone: {anyway:,} users who will more likely than not {verb} anyway")
    lines.append("gains rest on the uplift assumed; a test with a group left alone would tell it")
    return lines


def basis(forecast: Forecast) -> list[str]:
    """Say what the interval rests on, and why the scores add up to something else, if they do."""
    cuts = forecast.ahead.cuts
    if not cuts:
        return ["the log had no past date to try the model on: the interval is wide by assumption"]
    dates = "one past date" if cuts == 1 else f"{cuts} past dates"
    days = f"{forecast.goal.horizon_us / DAY_US:g} days"
    lines = [f"interval: how far the model was off on {dates} ({days} each), and chance"]
    if forecast.may_have_seen:
        lines.append("the model may have learnt from them: then the interval may be too narrow")
    said = corrected(forecast)
    if said is not None:
        lines.append(f"expected: {said}")
    return lines


def advice(plan: Plan) -> str:
    """Say what the plan does to the gap."""
    gap = plan.forecast.gap or 0.0
    if not gap:
        return "no contact is needed for the target to be expected"
    short = f"{gap:,.0f} users short" if plan.forecast.wanted > 0 else f"{gap:,.0f} users too many"
    if plan.closes_gap:
        price = f" for {plan.cost:,.2f}" if plan.cost else ""
        return f"{short}; {plan.contacts:,} contacts{price} close the gap"
    within = "" if plan.budget is None else " within the budget"
    return (
        f"{short}; contacts{within} close {plan.gain:,.0f} of them, and the target is still missed"
    )


def needed(forecast: Forecast) -> list[str]:
    """Say what contacts would have to do for the target to be met."""
    lines = []
    for row in forecast.needed.iter_rows(named=True):
        who = row["contacting"].replace("_", " ")
        does = "no uplift closes the gap"
        if row["uplift"] is not None:
            does = f"the gap closes at an uplift of {row['uplift']:.0%}"
        lines.append(f"contacting {who} ({row['users']:,}): {does}")
    return lines
