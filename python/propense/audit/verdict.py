"""From the table of groups to findings and a verdict, each with its reason in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from propense.audit.chance import holm
from propense.audit.policy import AuditPolicy
from propense.audit.table import NOT_ENOUGH, GroupRow

Verdict = Literal["pass", "warn", "block"]
LEVELS: tuple[Verdict, ...] = ("pass", "warn", "block")


@dataclass(frozen=True)
class Judged:
    """A group with what was found about it: the worst level, and a sentence for each finding."""

    row: GroupRow
    finding: str
    reasons: tuple[tuple[Verdict, str], ...]


def judge(families: Sequence[Sequence[GroupRow]], policy: AuditPolicy) -> list[list[Judged]]:
    """Judge every group.

    Parameters
    ----------
    families
        Groups by one attribute, then groups by pairs. Chances are corrected for every measure and
        family apart, and for how many of these there are, so that an audit of unbiased choices
        seldom finds anything, however much it looks at.
    policy
        What is allowed.
    """
    rows = [(family, row) for family, members in enumerate(families) for row in members]
    measures = sorted({(family, name) for family, row in rows for name in row.chances})
    corrected: dict[tuple[int, str], float] = {}
    for family, name in measures:
        tested = [row for place, row in rows if place == family and name in row.chances]
        for row, chance in zip(tested, holm([row.chances[name] for row in tested]), strict=True):
            corrected[id(row), name] = min(1.0, len(measures) * chance)
    return [
        [_judged(_with_chances(row, corrected), policy) for row in members] for members in families
    ]


def worst(levels: Sequence[Verdict]) -> Verdict:
    """Give the gravest of some levels; ``pass`` of none."""
    return max(levels, key=LEVELS.index, default="pass")


def _with_chances(row: GroupRow, corrected: dict[tuple[int, str], float]) -> GroupRow:
    return replace(row, chances={name: corrected[id(row), name] for name in row.chances})


def _judged(row: GroupRow, policy: AuditPolicy) -> Judged:
    if not row.enough:
        return Judged(row, "not judged" if row.group == "(missing)" else NOT_ENOUGH, ())
    found = [*_selection(row, policy), *_recall(row, policy), *_calibration(row, policy)]
    return Judged(row, worst([level for level, _ in found]), tuple(found))


def _selection(row: GroupRow, policy: AuditPolicy) -> list[tuple[Verdict, str]]:
    ratio, high = _number(row, "ratio"), _number(row, "ratio_high")
    chance = row.chances.get("ratio", 1.0)
    if ratio is None or high is None or ratio >= policy.warn_ratio:
        return []
    rate, against = _percent(row, "selection_rate"), row.values["against"]
    shown = (
        f"{row.by} {row.group!r}: chosen at {rate}, {_interval(row, 'ratio')} times the rate of "
    )
    shown += f"{against!r}{_outcome(row)}"
    limit = f"{policy.ratio:g}"
    if ratio < policy.ratio and high < policy.ratio and chance <= policy.chance_block:
        return [("block", f"{shown}; all of the interval lies below {limit}")]
    if chance > policy.chance_warn:
        return []
    if ratio >= policy.ratio:
        doubt = f"not below {limit}, but chance hardly explains it"
    elif high >= policy.ratio:
        doubt = f"below {limit}, but the interval does not exclude it"
    else:
        doubt = f"below {limit}, but {chance:.1%} of unbiased audits show a group like it"
    return [("warn", f"{shown}; {doubt}")]


def _recall(row: GroupRow, policy: AuditPolicy) -> list[tuple[Verdict, str]]:
    ratio, chance = _number(row, "recall_ratio"), row.chances.get("recall_ratio", 1.0)
    if ratio is None or ratio >= policy.recall_ratio or chance > policy.chance_warn:
        return []
    text = (
        f"{row.by} {row.group!r}: of those who reach the goal {_percent(row, 'recall')} are chosen, "
        f"{_interval(row, 'recall_ratio')} times as many as in the best group"
    )
    return [("warn", text)]


def _calibration(row: GroupRow, policy: AuditPolicy) -> list[tuple[Verdict, str]]:
    value, chance = _number(row, "calibration"), row.chances.get("calibration", 1.0)
    low, high = _number(row, "calibration_low"), _number(row, "calibration_high")
    if value is None or low is None or high is None or chance > policy.chance_warn:
        return []
    if low <= policy.calibration and high >= 1.0 / policy.calibration:
        return []
    side = "more" if value > 1 else "less"
    text = (
        f"{row.by} {row.group!r}: {side} likely to reach the goal than the scores say: "
        f"{_interval(row, 'calibration')} times as many as expected, next to everyone"
    )
    return [("warn", text)]


def _outcome(row: GroupRow) -> str:
    """Say how often the group then reached the goal, where that is known."""
    rate = _number(row, "base_rate")
    return "" if rate is None else f" ({rate:.1%} of the group then reached the goal)"


def _number(row: GroupRow, name: str) -> float | None:
    value = row.values.get(name)
    return None if value is None or isinstance(value, str) else float(value)


def _percent(row: GroupRow, name: str) -> str:
    return f"{_number(row, name) or 0.0:.1%}"


def _interval(row: GroupRow, name: str) -> str:
    low, high = _number(row, f"{name}_low"), _number(row, f"{name}_high")
    value = _number(row, name) or 0.0
    return f"{value:.2f}" if low is None or high is None else f"{value:.2f} ({low:.2f}–{high:.2f})"
