"""Feature sets, and the matrix they give."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense import _core
from propense.auto import automatic
from propense.events import EventLog
from propense.exceptions import DataError, ExpressionError
from propense.goal import Goal
from propense.instants import Instant, in_words, to_us
from propense.progress import track

TRAINING_COLUMNS = ("as_of", "label")
"""What a training frame has beside the users and the features."""


@dataclass(frozen=True, init=False)
class FeatureSet:
    """Declared features, in order.

    Parameters
    ----------
    expressions
        Texts in the language of features, such as ``"count(purchase, '30d')"``, or a mapping from
        column name to text. A text without a name is named after itself (``purchase_count_30d``).
    timezone
        IANA time zone of calendar days and hours, and of an as_of without one. Dates in expressions,
        such as ``attr(joined) < '2024-05-01'``, are UTC unless they say otherwise.

    Raises
    ------
    ExpressionError
        A text cannot be parsed, is declared twice, or two names are equal.

    Examples
    --------
    >>> import propense as pp
    >>> pp.FeatureSet(["count(purchase, '30d')", "recency(app_open)"]).names
    ['purchase_count_30d', 'app_open_recency']
    """

    spec: str
    """The features as JSON, the form in which they go to Rust and into manifests."""

    def __init__(
        self, expressions: Sequence[str] | Mapping[str, str], *, timezone: str = "UTC"
    ) -> None:
        if isinstance(expressions, str):
            expressions = [expressions]
        declared: list[tuple[str | None, str]]
        if isinstance(expressions, Mapping):
            declared = [(name, text) for name, text in expressions.items()]
        else:
            declared = [(None, text) for text in expressions]
        object.__setattr__(self, "spec", _core.declare(declared, timezone))

    @classmethod
    def from_spec(cls, spec: str) -> FeatureSet:
        """Take over a spec as JSON, such as a manifest's."""
        features = object.__new__(cls)
        object.__setattr__(features, "spec", spec)
        return features

    @classmethod
    def auto(
        cls,
        log: EventLog,
        *,
        goal: Goal | None = None,
        before: Instant | None = None,
        timezone: str = "UTC",
    ) -> FeatureSet:
        """Declare about 200 features from what the log holds, protected attributes left out.

        Parameters
        ----------
        log
            The log.
        goal
            The event types that this goal names are looked at in most detail, then the commonest.
        before
            Only events before this instant are looked at when choosing; left out: all.
        timezone
            IANA time zone of calendar days and hours, and of ``before``.

        Raises
        ------
        DataError
            There is no event before that instant.
        """
        before_us = log.span_us[1] + 1 if before is None else to_us(before, timezone)
        return cls.auto_before(log, before_us, goal=goal, timezone=timezone)

    @classmethod
    def auto_before(
        cls, log: EventLog, before_us: int, *, goal: Goal | None, timezone: str
    ) -> FeatureSet:
        """Declare features as :meth:`auto` does, with the instant in microseconds."""
        summary = json.loads(log.core.summary(before_us))
        if not summary["events"]:
            raise DataError(f"no event before {in_words(before_us)} to choose features from")
        first = [] if goal is None else _core.event_types_named(goal.when)
        features = cls(automatic(summary, first, log.protected), timezone=timezone)
        return features.renamed({log.user_column.name, *TRAINING_COLUMNS})

    def renamed(self, taken: set[str]) -> FeatureSet:
        """Give the same features, with ``attr_`` before names that are taken."""
        names = self.names
        for place, name in enumerate(names):
            if name in taken:
                other = f"attr_{name}"
                while other in taken or other in names:
                    other += "_"
                names[place] = other
        named = dict(zip(names, self.expressions, strict=True))
        return self if names == self.names else FeatureSet(named, timezone=self.timezone)

    def bound(self, log: EventLog, before_us: int) -> FeatureSet:
        """Give the same features with the codes of every text feature fixed by events before then."""
        plan = _core.Plan.compile(self.spec, log.core, strict=True, before_us=before_us)
        return FeatureSet.from_spec(plan.spec)

    @property
    def names(self) -> list[str]:
        """Column names, in order."""
        return [feature["name"] for feature in self._fields["features"]]

    @property
    def expressions(self) -> list[str]:
        """Canonical texts, in order."""
        return [feature["expression"] for feature in self._fields["features"]]

    @property
    def timezone(self) -> str:
        """IANA time zone of calendar days and hours."""
        return str(self._fields["timezone"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of names, texts, time zone and codes; equal only for equal features."""
        return _core.fingerprint(self.spec)

    @property
    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self.spec)
        return fields

    def __len__(self) -> int:
        """Count the features."""
        return len(self.names)

    def __repr__(self) -> str:
        """Name the first few features."""
        names = self.names
        shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
        return f"FeatureSet({len(names)} features: {shown})"


def compute_features(
    log: EventLog, features: FeatureSet | Sequence[str], *, as_of: Instant
) -> pl.DataFrame:
    """Give every user's features at an as_of.

    Parameters
    ----------
    log
        The events.
    features
        A feature set, or texts.
    as_of
        Only events strictly before this instant are seen; a date is its first instant in the
        features' time zone.

    Returns
    -------
    polars.DataFrame
        One row a user with an event before the as_of, ascending by id: the user column as it came,
        then one Float32 column a feature. NaN is missing: no such events, except for ``count``,
        ``sum``, ``distinct`` and ``active_days``, which are then 0.

    Raises
    ------
    ExpressionError
        A feature names an event, property or attribute that the log does not hold, or compares what
        cannot be compared.
    """
    features = features if isinstance(features, FeatureSet) else FeatureSet(features)
    as_of_us = to_us(as_of, features.timezone)
    refuse_clashes(features, {log.user_column.name})
    plan = _core.Plan.compile(features.spec, log.core, strict=True, before_us=as_of_us)
    users = everyone(log, as_of_us)
    with track(f"features as of {in_words(as_of_us)}", len(users)) as report:
        columns = _core.compute_columns(log.core, plan, users, as_of_us=as_of_us, report=report)
    return user_frame(log, users).hstack(pl.DataFrame(columns))


def everyone(log: EventLog, as_of_us: int) -> NDArray[np.uint32]:
    """Give the places of the users with an event before an as_of, ascending."""
    return _core.everyone(log.core, as_of_us)


def members(
    log: EventLog, conditions: Sequence[str], timezone: str, as_of_us: int, *, strict: bool = True
) -> NDArray[np.uint32]:
    """Give the places of the users for whom all conditions hold at an as_of, ascending."""
    spec = FeatureSet(conditions, timezone=timezone).spec
    plan = _core.Plan.compile(spec, log.core, strict=strict, before_us=as_of_us)
    return _core.audience(log.core, plan, as_of_us)


def names_of_attributes(features: FeatureSet, attributes: Sequence[str]) -> list[str]:
    """Give the names of the features that read one of these profile attributes."""
    wanted = set(attributes)
    pairs = zip(features.names, features.expressions, strict=True)
    return [name for name, text in pairs if wanted & set(_core.columns_named([text])[1])]


def refuse_clashes(features: FeatureSet, taken: set[str]) -> None:
    """Refuse features named like other columns of the frame that they go into.

    Raises
    ------
    ExpressionError
        Names the feature.
    """
    for name in features.names:
        if name in taken:
            raise ExpressionError(
                f"the feature named {name!r} would hide the column {name!r}; give it another name"
            )


def compute_matrix(
    log: EventLog, plan: _core.Plan, users: NDArray[np.uint32], as_of_us: int
) -> NDArray[np.float32]:
    """Give the matrix (len(users), width) of a plan at an as_of, its columns contiguous."""
    with track(f"features as of {in_words(as_of_us)}", len(users)) as report:
        return _core.compute(log.core, plan, users, start_us=None, end_us=as_of_us, report=report)


def matrix_columns(matrix: NDArray[np.float32], names: Sequence[str]) -> list[pl.Series]:
    """Give the columns of a matrix as Polars series."""
    by_column = np.ascontiguousarray(matrix.T)
    return [pl.Series(name, values) for name, values in zip(names, by_column, strict=True)]


def user_frame(log: EventLog, users: NDArray[np.uint32]) -> pl.DataFrame:
    """Give a frame of one column: the ids of users given by their places, as they came."""
    ids = pl.Series(log.core.user_ids(users)).cast(log.user_column.dtype)
    return pl.DataFrame({log.user_column.name: ids})
