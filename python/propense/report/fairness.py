"""The section on fairness: an audit's verdict, reasons and groups."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from propense.report.html import section, table

if TYPE_CHECKING:
    from propense.audit import Audit


def fairness(audit: Audit | None) -> str:
    """Give the section; nothing without an audit."""
    if audit is None:
        return ""
    said = "".join(f"<li>{escape(text)}</li>" for text in (*audit.reasons, *audit.notes))
    rows = [
        (
            f"{escape(row['by'])}<small>{escape(row['group'])}</small>",
            f"{row['people']:,}",
            _with_interval(row, "selection_rate", ".1%"),
            _with_interval(row, "ratio", ".2f"),
            escape(row["finding"]),
        )
        for row in audit.groups.iter_rows(named=True)
    ]
    rules = "".join(f"<li>{escape(rule)}</li>" for rule in audit.policy.rules)
    body = (
        f"<p><span class='badge {audit.verdict}'>{audit.verdict}</span></p><ul>{said}</ul>"
        f"{table(('group', 'people', 'chosen', 'ratio', 'finding'), rows)}"
        f"<details><summary>The policy</summary><ul>{rules}</ul></details>"
    )
    text = f"Chosen are {audit.selected}, of {audit.people:,} users."
    return section("Is it fair?", text, body)


def _with_interval(row: dict[str, Any], name: str, style: str) -> str:
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value is None:
        return "–"
    return f"{value:{style}}<small>{low:{style}}–{high:{style}}</small>"
