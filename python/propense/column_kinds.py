"""A log with its columns in the kinds that a model knows them in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from propense import _core
from propense.columns_read import ColumnsRead, Kind
from propense.events import EventLog
from propense.exceptions import DataError
from propense.features import FeatureSet, everyone

_WORDS: dict[Kind, str] = {
    "text": "texts",
    "number": "numbers",
    "boolean": "truth values",
    "time": "times",
}


@dataclass(frozen=True)
class _Other:
    """A column that is of another kind here than the model knows it."""

    role: str
    name: str
    found: Kind
    known: Kind

    @property
    def present(self) -> str:
        """What is above 0 for users who have a value."""
        name = '"' + self.name.replace('"', '""') + '"'
        if self.role == "attribute":
            return f"attr({name}) IS NOT NULL"
        return f"count(*) FILTER (WHERE {name} IS NOT NULL)"


def in_kinds(log: EventLog, known: ColumnsRead) -> EventLog:
    """Give the log with every column that a model reads in the kind that the model knows.

    A column without any value fits every kind. Columns that the log lacks are left to whoever reads
    them.

    Raises
    ------
    DataError
        A column has values of another kind; names it and both kinds.
    """
    others = [
        *_others("property", log.properties, known.properties),
        *_others("attribute", log.attributes, known.attributes),
    ]
    if not others:
        return log
    for other in others:
        if _has_values(log, other):
            raise DataError(_refusal(other))
    return _retyped(log, others)


def _others(role: str, found: dict[str, str], known: dict[str, Kind]) -> Iterable[_Other]:
    for name, kind in known.items():
        if found.get(name, kind) != kind:
            yield _Other(role, name, found[name], kind)  # type: ignore[arg-type]


def _has_values(log: EventLog, other: _Other) -> bool:
    as_of_us = log.span_us[1] + 1
    spec = FeatureSet([other.present]).spec
    plan = _core.Plan.compile(spec, log.core, strict=True, before_us=as_of_us)
    users = everyone(log, as_of_us)
    return bool(_core.compute(log.core, plan, users, start_us=None, end_us=as_of_us).any())


def _refusal(other: _Other) -> str:
    made = ""
    if other.found == "text" and other.known == "number":
        made = (
            "; one value that is no number, or a whole number beyond ±2^53, makes all of it texts"
        )
    return (
        f"the {other.role} {other.name!r} holds {_WORDS[other.found]} in this log, and "
        f"{_WORDS[other.known]} in the log that the model learnt from: its scores would mean nothing. "
        f"Give the column as {_WORDS[other.known]}, or train a model on such a log{made}"
    )


def _retyped(log: EventLog, others: list[_Other]) -> EventLog:
    """Give the log with its empty columns in the kinds that the model knows."""
    kinds: dict[str, dict[str, str]] = {
        role: {one.name: one.known for one in others if one.role == role}
        for role in ("property", "attribute")
    }
    return replace(log, core=log.core.with_empty(kinds["property"], kinds["attribute"]))
