"""The section on the data behind a model: what it learnt from, what it was measured on, every measure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from propense.instants import in_words
from propense.measured import MEASURED_ON, MEASURES, kind_of, trained_elsewhere
from propense.report.html import or_dash, section, table

if TYPE_CHECKING:
    from propense.model import Model


def data(model: Model) -> str:
    """Give the section."""
    training, metrics = model.training, model.metrics
    kind = kind_of(model._parts)
    measured = MEASURED_ON.get(kind, kind)
    rows = [
        (f"{period['as_of']}", f"{period['rows']:,}", f"{period['positives']:,}")
        for period in training["periods"]
    ]
    facts = [
        f"Goal: {model.goal.when} within {model.goal.horizon} (as it is computed).",
        _learnt(model),
        f"Quality was measured on {measured}: {metrics['n']:,} users as of {metrics['as_of']}.",
        f"{len(model.features)} features; days and hours are those of {model.features.timezone}.",
    ]
    protected = training.get("protected")
    if protected:
        facts.append(
            f"Protected attributes, kept out of automatic features: {', '.join(protected)}."
        )
    measures = [(label, or_dash(metrics[name]["value"], ".4f")) for name, label in MEASURES.items()]
    role = "measured" if trained_elsewhere(model._parts) else "trained"
    items = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    body = (
        f"<ul>{items}</ul><details><summary>For data scientists</summary>"
        f"{table(('measure, test period', 'value'), measures)}"
        f"{table((f'as_of that {role}', 'rows', 'reached the goal'), rows)}</details>"
    )
    return section("The data behind it", "", body)


def _learnt(model: Model) -> str:
    """Say what the model learnt from, as far as it is known."""
    training = model.training
    if not trained_elsewhere(model._parts):
        return (
            f"Learnt from {training['rows']:,} rows of users and dates, {training['positives']:,} of "
            f"which reached the goal; nothing at or after {in_words(model.as_of_us)} was seen."
        )
    before = training.get("trained_before")
    if before is None:
        return "Trained elsewhere, on what is not known here."
    return f"Trained elsewhere, as was said on nothing at or after {before}."
