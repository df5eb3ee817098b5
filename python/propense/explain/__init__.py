"""Why a score is what it is: contributions of features, in numbers and in words."""

from __future__ import annotations

from propense.explain.changes import explain_change
from propense.explain.contributions import BASE, OTHERS, explain
from propense.explain.importance import importance
from propense.explain.tiers import explain_tiers

__all__ = ["BASE", "OTHERS", "explain", "explain_change", "explain_tiers", "importance"]
