"""What changed since the last model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from propense.instants import in_words
from propense.measured import trained_elsewhere
from propense.report.words import interval

if TYPE_CHECKING:
    from propense.model import Model


@dataclass(frozen=True)
class Change:
    """One line: what, as it was, as it is."""

    what: str
    before: str
    now: str


def remembered(model: Model) -> dict[str, Any]:
    """Give what the next model's manifest keeps of this one."""
    metrics = model.metrics
    return {
        "goal": model.goal.as_dict(),
        "as_of": in_words(model.as_of_us),
        "auc": metrics["auc"]["value"],
        "calibration_error": metrics["expected_calibration_error"]["value"],
        "base_rate": metrics["base_rate"],
        "rows": None if trained_elsewhere(model._parts) else model.training["rows"],
        "audience": model.training.get("audience"),
        "most_likely_from": model.cut_offs.most,
        "least_likely_below": model.cut_offs.least,
        "features": model.features.expressions,
    }


def changes(model: Model, previous: Model | None) -> list[Change] | None:
    """Compare a model with the one before it; None where there is none."""
    before: Mapping[str, Any] | None
    before = remembered(previous) if previous else model.training.get("previous")
    if not before:
        return None
    now = remembered(model)
    lines = [_line(what, before.get(name), now.get(name), style) for what, name, style in _SHOWN]
    asked = zip(_asked(before["goal"]), _asked(now["goal"]), strict=True)
    lines[:0] = [Change(what, was, said) for (what, was), (_, said) in asked if was != said]
    old, new = set(before.get("features", ())), set(now["features"])
    came, went = sorted(new - old), sorted(old - new)
    lines.append(
        Change("features", f"{len(old)}", f"{len(new)} ({len(came)} new, {len(went)} gone)")
    )
    return lines


def _asked(goal: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say the parts of a goal, each with what it is."""
    audience = goal.get("audience", {})
    active, where = audience.get("active_within"), audience.get("where")
    asked_of = [f"an event in the last {interval(active)}"] if active else []
    asked_of += [where] if where else []
    return [
        ("the goal", f"{goal.get('when')} within {goal.get('horizon')}"),
        ("reaching it is", "wanted" if goal.get("direction") == "encourage" else "to be prevented"),
        ("asked of those with", " and ".join(asked_of) or "any event"),
    ]


def _line(what: str, before: Any, now: Any, style: str) -> Change:
    return Change(
        what, *("–" if value is None else format(value, style) for value in (before, now))
    )


_SHOWN = (
    ("trained for", "as_of", ""),
    ("AUC", "auc", ".3f"),
    ("calibration error", "calibration_error", ".4f"),
    ("base rate of the test period", "base_rate", ".2%"),
    ("training rows", "rows", ","),
    ("audience", "audience", ","),
    ("most likely from a score of", "most_likely_from", ".2%"),
    ("least likely below a score of", "least_likely_below", ".2%"),
)
