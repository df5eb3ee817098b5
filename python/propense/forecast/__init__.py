"""Forecasts: how many will reach the goal, whether a target is met, and what it takes if not."""

from __future__ import annotations

from propense.forecast.forecast import Forecast
from propense.forecast.plan import Plan

__all__ = ["Forecast", "Plan"]
