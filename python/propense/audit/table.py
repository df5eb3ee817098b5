"""The table of groups: rates, ratios, intervals and how often chance shows the like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.audit.chance import lower_tail, two_sided
from propense.audit.groups import MISSING, Grouping
from propense.audit.measures import Counts, Floats, People, count, draw, interval
from propense.audit.policy import AuditPolicy

RATES = ("selection_rate", "precision", "recall", "calibration")
NOT_ENOUGH = "not enough people"


@dataclass(frozen=True)
class GroupRow:
    """One group: what is shown, and what is judged.

    Attributes
    ----------
    by, group, people
        The attribute or pair, the group's name and size.
    enough
        Whether there are enough people to say anything; if not, everything below is empty.
    values
        Rates, ratios (over the group that is chosen most) and their intervals, by column name.
    chances
        By measure, how often chance alone shows a group so low (or, for calibration, so far off),
        not yet corrected for the number of groups.
    """

    by: str
    group: str
    people: int
    enough: bool
    values: dict[str, float | str | None]
    chances: dict[str, float]


def group_rows(
    people: People, grouping: Grouping, policy: AuditPolicy, seed: int
) -> list[GroupRow]:
    """Measure every group of a grouping, users without a value last."""
    counts = count(people, grouping)
    everyone = {name: float(getattr(counts, name).sum()) for name in Counts.__annotations__}
    drawn = draw(people, grouping, seed).rates()
    rates = counts.rates()
    enough = _enough(counts.people, everyone["selected"] / everyone["people"], policy)
    # Recall is judged by those who reached the goal; a few of them say as little as a few people.
    judged = enough & (
        counts.reached * everyone["both"] >= policy.min_expected * everyone["reached"]
    )
    best = _best(rates["selection_rate"], enough)
    best_recall = _best(rates["recall"], judged)
    rows = []
    for place, name in enumerate(grouping.names):
        size = int(counts.people[place])
        if not enough[place]:
            rows.append(GroupRow(grouping.by, name, size, False, {}, {}))
            continue
        values: dict[str, float | str | None] = {"selected": counts.selected[place]}
        for rate in RATES if people.reached is not None else RATES[:1]:
            _put(values, rate, float(rates[rate][place]), drawn[rate][place], policy)
        _put_ratio(values, "ratio", "selection_rate", rates, drawn, place, best, policy)
        values["against"] = None if best is None else grouping.names[best]
        chances = {"ratio": _lower(counts.selected, counts.people, place)}
        if people.reached is not None:
            values |= {"reached": counts.reached[place], "base_rate": rates["base_rate"][place]}
            if judged[place]:
                _put_ratio(
                    values, "recall_ratio", "recall", rates, drawn, place, best_recall, policy
                )
                chances["recall_ratio"] = _lower(counts.both, counts.reached, place)
            _put_calibration(values, chances, counts, drawn["calibration"][place], place, policy)
        rows.append(GroupRow(grouping.by, name, size, True, values, chances))
    if grouping.missing:
        rows.append(GroupRow(grouping.by, MISSING, grouping.missing, False, {}, {}))
    return rows


def as_frame(rows: list[tuple[GroupRow, str]], outcomes: bool) -> pl.DataFrame:
    """Give rows with their findings as a frame; null where nothing is said."""
    names = ["selected", "selection_rate", "ratio"]
    if outcomes:
        names += ["reached", "base_rate", "precision", "recall", "recall_ratio", "calibration"]
    columns: dict[str, Any] = {"by": pl.String, "group": pl.String, "people": pl.Int64}
    for name in names:
        columns[name] = pl.Int64 if name in ("selected", "reached") else pl.Float64
        if name not in ("selected", "reached", "base_rate"):
            columns |= {f"{name}_low": pl.Float64, f"{name}_high": pl.Float64}
    columns |= {"against": pl.String, "finding": pl.String}
    records = [
        {"by": row.by, "group": row.group, "people": row.people, "finding": finding, **row.values}
        for row, finding in rows
    ]
    empty = pl.DataFrame(schema=columns)
    filled = [{name: record.get(name) for name in columns} for record in records]
    return pl.DataFrame(filled, schema=columns, strict=False) if filled else empty


def _enough(people: Floats, rate: float, policy: AuditPolicy) -> NDArray[np.bool_]:
    expected = people * min(rate, 1.0)
    return (people >= policy.min_people) & (expected >= policy.min_expected)


def _best(rates: Floats, enough: NDArray[np.bool_]) -> int | None:
    """Give the group with the highest rate among those with enough people."""
    known = np.where(enough & np.isfinite(rates), rates, -1.0)
    place = int(np.argmax(known))
    return place if known[place] > 0 else None


def _lower(hits: Floats, drawn: Floats, place: int) -> float:
    return lower_tail(int(hits[place]), int(drawn[place]), int(hits.sum()), int(drawn.sum()))


def _put(
    values: dict[str, float | str | None],
    name: str,
    value: float,
    draws: Floats,
    policy: AuditPolicy,
) -> None:
    values[name] = value if np.isfinite(value) else None
    values[f"{name}_low"], values[f"{name}_high"] = interval(draws, policy.confidence)


def _put_ratio(
    values: dict[str, float | str | None],
    name: str,
    rate: str,
    rates: dict[str, Floats],
    drawn: dict[str, Floats],
    place: int,
    best: int | None,
    policy: AuditPolicy,
) -> None:
    if best is None:
        return
    # The best group next to itself is 1 in every draw: its own draws cancel.
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = drawn[rate][place] / drawn[rate][best]
    _put(values, name, float(rates[rate][place] / rates[rate][best]), draws, policy)


def _put_calibration(
    values: dict[str, float | str | None],
    chances: dict[str, float],
    counts: Counts,
    draws: Floats,
    place: int,
    policy: AuditPolicy,
) -> None:
    """Judge outcomes over scores next to everyone's, so that a season is nobody's unfairness."""
    level = float(counts.reached.sum() / counts.expected.sum())
    if level == 0 or counts.expected[place] * level < policy.min_expected:
        return
    apart = float(counts.reached[place] - level * counts.expected[place])
    chances["calibration"] = two_sided(apart / np.sqrt(level * counts.variance[place]))
    for end in ("", "_low", "_high"):
        known = values[f"calibration{end}"]
        values[f"calibration{end}"] = None if known is None else float(known) / level
