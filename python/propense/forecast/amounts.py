"""Numbers that people name: costs, targets, budgets."""

from __future__ import annotations

from numbers import Real

from propense.exceptions import PlanError


def check_amount(name: str, value: float) -> float:
    """Give a number that must be 0 or more, and finite.

    Raises
    ------
    PlanError
        Names it.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise PlanError(f"{name}: expected a number, found {value!r}")
    if not 0 <= value < float("inf"):
        raise PlanError(f"{name} is {value:,g}; expected 0 or more")
    return float(value)
