"""The 198 features that are measured: what a marketer's automatic set holds.

They are data, so that each peer can be asked for the same numbers in its own language.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from propense.bench.generator import CATEGORIES, EVENT_TYPES

Kind = Literal[
    "count", "sum", "mean", "max", "std", "first", "last", "distinct", "active_days", "recency",
    "tenure", "gap_mean", "hour_share", "weekday_share", "decayed_count",
]  # fmt: skip

WINDOWS: tuple[int | None, ...] = (1, 3, 7, 14, 30, 90, 180, 365, None)
"""Days; None is all history."""

ZERO_IF_EMPTY = frozenset({"count", "sum", "distinct", "active_days", "decayed_count"})


@dataclass(frozen=True)
class Declared:
    """One feature.

    Attributes
    ----------
    kind
        The aggregate.
    event
        Event type; None is all of them.
    column
        What is aggregated: ``amount``, ``category``, or nothing.
    days
        The window, or the half-life of a decayed count; None is all history.
    category
        Only events of this category.
    hours
        First and last hour of an ``hour_share``, both in.
    """

    kind: Kind
    event: str | None
    column: str | None = None
    days: int | None = None
    category: str | None = None
    hours: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        """The feature in propense's language."""
        subject = self.event or "*"
        subject += f".{self.column}" if self.column else ""
        arguments = [subject, *(str(hour) for hour in self.hours or ())]
        if self.kind == "weekday_share":
            arguments += ["6", "7"]
        if self.days is not None:
            arguments.append(f"'{self.days}d'")
        tail = f" FILTER (WHERE category = '{self.category}')" if self.category else ""
        return f"{self.kind}({', '.join(arguments)}){tail}"

    @property
    def slice_bound(self) -> int:
        """The place of the window in :data:`WINDOWS`."""
        return WINDOWS.index(self.days)


def declared() -> list[Declared]:
    """Give the 198 features, in order."""
    subjects = (None, *EVENT_TYPES)
    amount = [
        Declared(kind, "purchase", "amount", days)
        for kind in ("sum", "mean", "max")
        for days in WINDOWS
    ]
    kinds: tuple[Kind, ...] = ("recency", "tenure", "gap_mean")
    return [
        *(Declared("count", event, days=days) for event in subjects for days in WINDOWS),
        *amount,
        *(Declared("std", "purchase", "amount", days) for days in (90, 365, None)),
        *(Declared(kind, "purchase", "amount") for kind in ("first", "last")),
        *(
            Declared("distinct", event, "category", days)
            for event in ("view_item", "purchase")
            for days in WINDOWS
        ),
        *(Declared("active_days", None, days=days) for days in WINDOWS),
        *(Declared("active_days", "app_open", days=days) for days in (7, 30, 90, 365, None)),
        *(Declared(kind, event) for kind in kinds for event in subjects),
        *_filtered("view_item", (7, 30, 90, None)),
        *_filtered("purchase", (30, 90, 365, None)),
        *(
            Declared("hour_share", event, hours=(start, start + 5))
            for event in (None, "purchase")
            for start in (0, 6, 12, 18)
        ),
        *(Declared("weekday_share", event) for event in (None, "purchase")),
        *(
            Declared("decayed_count", event, days=days)
            for event in (None, "app_open", "view_item", "purchase")
            for days in (7, 30)
        ),
    ]


def texts() -> list[str]:
    """Give the features in propense's language, in order."""
    return [feature.text for feature in declared()]


def _filtered(event: str, windows: tuple[int | None, ...]) -> list[Declared]:
    return [
        Declared("count", event, days=days, category=category)
        for category in CATEGORIES[:4]
        for days in windows
    ]
