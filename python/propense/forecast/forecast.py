"""A forecast: how many of the scored users will reach the goal, and whether that meets a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import polars as pl

from propense.exceptions import PlanError
from propense.forecast.amounts import check_amount
from propense.forecast.contacts import Assumed, by_tier, chosen
from propense.forecast.counts import Count, Crowd, counted, drawn
from propense.forecast.plan import Plan
from propense.forecast.shift import Floats, NextShift, probability, shift
from propense.goal import Goal
from propense.tiers import TIERS

Verdict: TypeAlias = Literal["sell_out", "in_between", "flop"]
SURE_FROM = 0.9
"""The chance of the target from which the verdict is a sell-out; a flop mirrors it."""


@dataclass(frozen=True)
class Forecast:
    """How many users will reach the goal in the horizon after they were scored.

    Made by :meth:`propense.Model.forecast`. A target of a goal to ``encourage`` is the least number
    wanted; of a goal to ``prevent``, the most that may reach it.
    """

    goal: Goal
    ahead: NextShift
    """What past cuts say of how far the next period may be off."""

    crowd: Crowd
    tier: pl.Series
    """The tier of each entry of ``crowd``."""

    users: pl.DataFrame | None
    """The scored users, one an entry of ``crowd``; None if only the spread of scores is known."""

    rule_share: Floats | None
    """The share of users with such a score whom the rule would pick, one an entry of ``crowd``."""

    level: float
    target: float | None
    apart: Mapping[str, float] = field(default_factory=dict)
    """By tier, what to add to the scale of ``ahead``: how far it has been off beside everyone."""

    may_have_seen: bool = False
    """Whether the model may have learnt from the past cuts, so that intervals may be too narrow."""

    @cached_property
    def total(self) -> Count:
        """Of all users."""
        return counted(self.crowd, self.ahead, self.level, self.draws)

    @cached_property
    def by_tier(self) -> dict[str, Count]:
        """Of each tier."""
        return {tier: self._count(self._members(tier), self._ahead_of(tier)) for tier in TIERS}

    @cached_property
    def draws(self) -> Floats:
        """Numbers that may come about, float64 of shape (20,000,), if nobody is contacted."""
        return drawn(self.crowd, self.ahead)

    @property
    def chance(self) -> float | None:
        """The chance that the target is met if nobody is contacted; None without one."""
        return None if self.target is None else self.chance_of(self.draws)

    @property
    def verdict(self) -> Verdict | None:
        """What becomes of the target if nobody is contacted; None without one.

        ``sell_out``: met with a chance of nine in ten or more. ``flop``: with one in ten or less.
        ``in_between``: what the log tells does not decide it.
        """
        chance = self.chance
        if chance is None:
            return None
        if chance >= SURE_FROM:
            return "sell_out"
        return "flop" if chance <= 1 - SURE_FROM else "in_between"

    @property
    def gap(self) -> float | None:
        """How many are missing from the target, or too many if to prevent; 0 if none."""
        if self.target is None:
            return None
        return max(0.0, self.wanted * (self.target - self.total.expected))

    @property
    def table(self) -> pl.DataFrame:
        """One row a tier and one for all: ``tier``, ``users``, ``expected``, ``low``, ``high``."""
        rows = [
            (name, each.users, each.expected, each.low, each.high)
            for name, each in {**self.by_tier, "all": self.total}.items()
        ]
        return pl.DataFrame(rows, schema=["tier", "users", "expected", "low", "high"], orient="row")

    @property
    def wanted(self) -> int:
        """1 if reaching the goal is wanted, −1 if it is to be prevented."""
        return 1 if self.goal.direction == "encourage" else -1

    def plan(
        self,
        *,
        cost: float | Mapping[str, float] = 0.0,
        uplift: float | Mapping[str, float] = 0.1,
        budget: float | None = None,
        value: float | None = None,
    ) -> Plan:
        """Find the cheapest contacts that close the gap to the target within a budget.

        Without a target, all contacts that are worth their cost, within the budget.

        Parameters
        ----------
        cost
            Of one contact, one for all tiers or by tier.
        uplift
            What a contact is assumed to do, one for all or by tier: 0.1 makes the odds of reaching
            the goal 10 % higher, or, where it is to be prevented, as much lower. At low chances that
            is 10 % more users; those who come anyway are hardly moved.
        budget
            The most that may be spent; left out: no limit.
        value
            What one user more who reaches the goal (or one fewer, to prevent) is worth.

        Raises
        ------
        PlanError
            A number is negative or none, a tier is unknown, or there is neither target nor value.
        """
        costs = by_tier("cost", cost, self.tier)
        moved = np.log1p(by_tier("uplift", uplift, self.tier)) * self.wanted
        limit = None if budget is None else check_amount("budget", budget)
        worth = None if value is None else check_amount("value", value)
        if self.gap is None and worth is None:
            raise PlanError(
                "a plan needs a target to reach, or the value of one user who reaches it"
            )
        before = self.crowd.logits + self.ahead.centre
        gain = self.wanted * (probability(before + moved) - probability(before))
        assumed = Assumed(costs, moved, gain)
        share = chosen(assumed, self.crowd.weight, gap=self.gap, value=worth, budget=limit)
        return Plan(self, assumed, share, limit, worth)

    @property
    def needed(self) -> pl.DataFrame:
        """What contacts would have to do for the target to be met, by how many are contacted.

        Returns
        -------
        polars.DataFrame
            One row a choice: ``contacting`` (the likeliest tier, then with the next, then everyone),
            ``users``, ``uplift`` of their odds at which the target is just expected to be met (0 if it
            is without; null if none is high enough, or there is no target).
        """
        rows = []
        codes = self.tier.to_physical().to_numpy()
        for last, name in enumerate(("most_likely", "most_and_moderately_likely", "everyone")):
            inside = codes <= last
            some = Crowd(self.crowd.logits[inside], self.crowd.weight[inside])
            rows.append((name, round(some.users), self._uplift(some)))
        schema = {"contacting": pl.String, "users": pl.Int64, "uplift": pl.Float64}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def _uplift(self, some: Crowd) -> float | None:
        """Give the uplift of some of the users' odds that closes the gap."""
        if self.target is None or self.gap == 0.0:
            return None if self.target is None else 0.0
        now = some.at(self.ahead.centre)
        wanted = now + self.wanted * (self.gap or 0.0)
        if not 0.5 <= wanted <= some.users - 0.5:
            return None
        moved = shift(some.logits, some.weight, wanted)[0] - self.ahead.centre
        return float(np.expm1(self.wanted * moved))

    def chance_of(self, draws: Floats) -> float:
        """Give the share of draws that meet the target."""
        target = self.target or 0.0
        return float(np.mean(draws >= target if self.wanted > 0 else draws <= target))

    def _members(self, tier: str) -> Crowd:
        here = (self.tier == tier).to_numpy()
        return Crowd(self.crowd.logits[here], self.crowd.weight[here])

    def _ahead_of(self, tier: str) -> NextShift:
        scale = float(np.hypot(self.ahead.scale, self.apart.get(tier, 0.0)))
        return replace(self.ahead, scale=scale)

    def _count(self, crowd: Crowd, ahead: NextShift) -> Count:
        return counted(crowd, ahead, self.level, drawn(crowd, ahead))

    def __repr__(self) -> str:
        """Say the number, the interval and the verdict."""
        total = self.total
        aim = "" if self.target is None else f"; target {self.target:,.0f}: {self.verdict}"
        return (
            f"Forecast({self.goal.name}: {total.expected:,.0f} of {total.users:,} users, "
            f"{self.level:.0%} interval {total.low:,} to {total.high:,}{aim})"
        )
