"""The columns of a log that a model reads, with their kinds."""

from __future__ import annotations

from typing import Literal, TypeAlias

import pydantic

from propense import _core
from propense.events import EventLog
from propense.exceptions import ModelError
from propense.features import FeatureSet
from propense.goal import Goal

Kind: TypeAlias = Literal["text", "number", "boolean", "time"]


class ColumnsRead(pydantic.BaseModel):
    """Properties of events and attributes of profiles, each name with its kind."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    properties: dict[str, Kind]
    attributes: dict[str, Kind]


def columns_read(log: EventLog, goal: Goal, features: FeatureSet) -> ColumnsRead:
    """Give the kinds of what features, audience and goal read, as the log has them."""
    properties, attributes = names_read(goal, features)
    kinds: dict[str, Kind] = dict(log.core.properties)  # type: ignore[arg-type]
    kinds_of_attributes: dict[str, Kind] = dict(log.core.attributes)  # type: ignore[arg-type]
    return ColumnsRead(
        properties={name: kinds[name] for name in properties},
        attributes={name: kinds_of_attributes[name] for name in attributes},
    )


def check_columns(columns: ColumnsRead, goal: Goal, features: FeatureSet) -> None:
    """Refuse columns that are not those that features, audience and goal read.

    Raises
    ------
    ModelError
        Names the first column that is missing or that nothing reads.
    """
    properties, attributes = names_read(goal, features)
    for role, stated, names in (
        ("properties", columns.properties, properties),
        ("attributes", columns.attributes, attributes),
    ):
        for name in sorted(set(names) ^ set(stated)):
            problem = "is read, but its kind is missing" if name in names else "is read by nothing"
            raise ModelError(f"columns.{role}: {name!r} {problem}")


def names_read(goal: Goal, features: FeatureSet) -> tuple[list[str], list[str]]:
    """Give the names of the properties and of the attributes that are read, each ascending."""
    return _core.columns_named([*features.expressions, *goal.audience.condition, goal.when])
