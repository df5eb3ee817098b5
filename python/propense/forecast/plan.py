"""Whom to contact so that a target is met at the least cost, and whom to leave alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from propense.exceptions import PlanError
from propense.forecast.contacts import Assumed, ranked
from propense.forecast.counts import Crowd, counted, drawn
from propense.forecast.shift import Floats, probability
from propense.tiers import TIERS

if TYPE_CHECKING:
    from propense.forecast.forecast import Forecast

LIKELY = 0.5
"""From this chance up a user who is not contacted is said to come anyway."""


@dataclass(frozen=True)
class Plan:
    """Contacts, and what they are expected to change; made by :meth:`Forecast.plan`."""

    forecast: Forecast
    assumed: Assumed
    share: Floats
    """The share of each entry of the forecast's crowd that is contacted, from 0 to 1."""

    budget: float | None
    value: float | None

    @property
    def contacts(self) -> int:
        """Users to contact."""
        return int(np.ceil(self._weight.sum() - 1e-6))

    @property
    def cost(self) -> float:
        """Cost of all contacts."""
        return float(self._weight @ self.assumed.cost)

    @property
    def gain(self) -> float:
        """How many more reach the goal than without contacts; to prevent: how many fewer."""
        return float(self._weight @ self.assumed.gain)

    @property
    def expected(self) -> float:
        """How many then reach the goal."""
        return self.forecast.total.expected + self.forecast.wanted * self.gain

    @property
    def closes_gap(self) -> bool | None:
        """Whether the target is then expected to be met; None without one."""
        gap = self.forecast.gap
        return None if gap is None else self.gain >= gap - 1e-6

    @property
    def net(self) -> float | None:
        """Value of the gain less the cost; None if no value was named."""
        return None if self.value is None else self.gain * self.value - self.cost

    @property
    def table(self) -> pl.DataFrame:
        """What to do by tier.

        Returns
        -------
        polars.DataFrame
            One row a tier: ``tier``, ``users``, ``contact`` (users), ``cost``, ``gain``, ``from_score``
            and ``to_score`` of the contacted (null if none), ``come_anyway`` (users not contacted with
            a chance of one half or more), ``others`` (all others not contacted).
        """
        p = probability(self.forecast.crowd.logits)
        weight, tiers = self.forecast.crowd.weight, self.forecast.tier
        rows = []
        for tier in TIERS:
            here = (tiers == tier).to_numpy()
            taken = here & (self.share > 0)
            left = (weight * (1 - self.share))[here]
            likely = p[here] >= LIKELY
            rows.append(
                (
                    tier,
                    round(float(weight[here].sum())),
                    int(np.ceil(self._weight[here].sum() - 1e-6)),
                    float(self._weight[here] @ self.assumed.cost[here]),
                    float(self._weight[here] @ self.assumed.gain[here]),
                    float(p[taken].min()) if taken.any() else None,
                    float(p[taken].max()) if taken.any() else None,
                    round(float(left[likely].sum())),
                    round(float(left[~likely].sum())),
                )
            )
        columns = ("tier", "users", "contact", "cost", "gain", "from_score", "to_score")
        return pl.DataFrame(rows, schema=[*columns, "come_anyway", "others"], orient="row")

    @property
    def users(self) -> pl.DataFrame:
        """The scored users to contact, most gain for the cost first.

        Raises
        ------
        PlanError
            The forecast was made without scores of users.
        """
        if self.forecast.users is None:
            raise PlanError("without scores there is nobody to name; give the scores of the users")
        order = ranked(self.assumed)
        return self.forecast.users[order[self.share[order] > 0]]

    @property
    def comparison(self) -> pl.DataFrame:
        """The plan beside contacting nobody, everyone, and those whom the rule picks.

        Returns
        -------
        polars.DataFrame
            One row a choice: ``contacting`` (``nobody``, ``plan``, ``everyone``, ``rule``, and where
            there is a budget that the rule exceeds ``rule_within_budget``), ``contacts``, ``cost``,
            ``gain``, ``wasted`` (of those contacted, how many reach the goal anyway; to prevent: do
            not), ``cost_per_gain`` (null for no gain), ``net`` (null without a value), ``expected``,
            ``low``, ``high``, ``chance`` of the target (null without one), ``within_budget``.
        """
        nobody = np.zeros(len(self.share))
        choices = {"nobody": nobody, "plan": self.share, "everyone": nobody + 1}
        rule = self.forecast.rule_share
        if rule is not None:
            # Of a known rate among users with such scores; people are whole.
            picked = float(rule @ self.forecast.crowd.weight)
            rule = rule * (int(picked) / picked if picked else 1.0)
            choices["rule"] = rule
            price = float((rule * self.forecast.crowd.weight) @ self.assumed.cost)
            if self.budget is not None and price > self.budget:
                choices["rule_within_budget"] = rule * (self.budget / price)
        rows = [{"contacting": name, **self._outcome(share)} for name, share in choices.items()]
        return pl.DataFrame(rows, schema=OUTCOME)

    def _outcome(self, share: Floats) -> dict[str, float | bool | None]:
        forecast, crowd = self.forecast, self.forecast.crowd
        weight = share * crowd.weight
        cost, gain = float(weight @ self.assumed.cost), float(weight @ self.assumed.gain)
        p = probability(crowd.logits + forecast.ahead.centre)
        # An entry that is contacted in part is two entries.
        after = Crowd(
            np.concatenate([crowd.logits, crowd.logits + self.assumed.moved]),
            np.concatenate([crowd.weight - weight, weight]),
        )
        kept = after.weight > 0
        after = Crowd(after.logits[kept], after.weight[kept])
        draws = drawn(after, forecast.ahead)
        count = counted(after, forecast.ahead, forecast.level, draws)
        return {
            "contacts": round(float(weight.sum())),
            "cost": cost,
            "gain": gain,
            "wasted": float(weight @ (p if forecast.wanted > 0 else 1 - p)),
            "cost_per_gain": cost / gain if gain > 0 else None,
            "net": None if self.value is None else gain * self.value - cost,
            "expected": count.expected,
            "low": count.low,
            "high": count.high,
            "chance": None if forecast.target is None else forecast.chance_of(draws),
            "within_budget": self.budget is None or cost <= self.budget * (1 + 1e-9),
        }

    @property
    def _weight(self) -> Floats:
        return self.share * self.forecast.crowd.weight


OUTCOME = {
    "contacting": pl.String,
    "contacts": pl.Int64,
    "cost": pl.Float64,
    "gain": pl.Float64,
    "wasted": pl.Float64,
    "cost_per_gain": pl.Float64,
    "net": pl.Float64,
    "expected": pl.Float64,
    "low": pl.Int64,
    "high": pl.Int64,
    "chance": pl.Float64,
    "within_budget": pl.Boolean,
}
