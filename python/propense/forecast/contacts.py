"""Choosing contacts: most gain for the cost first, until the gap is closed or the budget is spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.exceptions import PlanError
from propense.forecast.amounts import check_amount
from propense.forecast.shift import Floats
from propense.tiers import TIERS

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Assumed:
    """What a contact costs and does, one entry a user: float64 arrays of shape (n,)."""

    cost: Floats
    moved: Floats
    """What a contact adds to the log odds."""

    gain: Floats
    """What a contact adds to the wanted number: more who reach the goal, or fewer to prevent."""


def chosen(
    assumed: Assumed,
    weight: Floats,
    *,
    gap: float | None,
    value: float | None,
    budget: float | None,
) -> Floats:
    """Give the share of each entry to contact, float64 of shape (n,), 0 to 1.

    Taking users by gain per cost is the cheapest way to a gain if one user could be taken in part;
    here the last one is taken whole if the budget allows it.

    Parameters
    ----------
    assumed
        What a contact costs and does.
    weight
        Users that each entry stands for.
    gap
        The gain that is wanted; None: all contacts whose gain is worth more than they cost.
    value
        Of a gain of one, for that.
    budget
        The most that may be spent; None: no limit.
    """
    order = ranked(assumed)
    here, price, gain = weight[order], assumed.cost[order], assumed.gain[order]
    useful = gain > 0
    if gap is None:
        useful &= gain * (value or 0.0) > price
        room = np.full(len(order), np.inf)
    else:
        before = np.cumsum(here * gain) - here * gain
        room = (gap - before) / np.where(useful, gain, np.inf)
    wanted = np.where(useful, np.clip(np.ceil(room - 1e-9), 0.0, here), 0.0)
    share = np.zeros(len(order))
    share[order] = affordable(wanted, price, budget) / here
    return share


def affordable(wanted: Floats, price: Floats, budget: float | None) -> Floats:
    """Cut contacts, in order, where the budget is spent; whole users at most as many as wanted."""
    if budget is None:
        return wanted
    spent = np.cumsum(wanted * price)
    # Ten cents are no float: millions of them add up to a budget but for rounding.
    over = np.flatnonzero(spent > budget * (1 + _ROUNDING))
    if not len(over):
        return wanted
    first = int(over[0])
    taken = wanted.copy()
    left = budget - (spent[first] - wanted[first] * price[first])
    taken[first:] = 0.0
    taken[first] = max(0.0, np.floor((left + _ROUNDING * budget) / price[first]))
    return taken


def ranked(assumed: Assumed) -> NDArray[np.int64]:
    """Give the users' places by gain per cost, most first; among users without a cost by gain."""
    free = assumed.cost <= 0
    ratio = assumed.gain / np.where(free, 1.0, assumed.cost)
    return np.lexsort((-ratio, ~free))


def by_tier(name: str, given: float | Mapping[str, float], tier: pl.Series) -> Floats:
    """Give each entry the number of its tier, float64 of shape (n,).

    Raises
    ------
    PlanError
        A number is negative or none, or a tier is unknown or missing.
    """
    if not isinstance(given, Mapping):
        return np.full(len(tier), check_amount(name, given))
    for key in given:
        if key not in TIERS:
            raise PlanError(f"{name}: {key!r} is no tier; expected {', '.join(TIERS)}")
    for key in TIERS:
        if key not in given:
            raise PlanError(
                f"{name}: nothing is said of {key!r}; give each of {', '.join(TIERS)}, or one number"
            )
    amounts = np.asarray([check_amount(f"{name} of {key}", given[key]) for key in TIERS])
    values: Floats = amounts[tier.to_physical().to_numpy()]
    return values
