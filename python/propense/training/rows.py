"""Training rows: features at several as_of dates, each with what happened in the horizon after it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense import _core
from propense.cuts import choose_cuts
from propense.events import EventLog
from propense.exceptions import PropenseWarning, TrainingError
from propense.features import (
    TRAINING_COLUMNS,
    FeatureSet,
    compute_matrix,
    matrix_columns,
    members,
    names_of_attributes,
    refuse_clashes,
    user_frame,
)
from propense.goal import Goal
from propense.instants import Instant, in_words, to_us
from propense.reach import require_reached


@dataclass(frozen=True)
class TrainingRows:
    """Rows of several periods, oldest period first, users ascending within one.

    ``users`` uint32, ``period`` int64 (0 = oldest), ``matrix`` float32 with NaN for missing and
    ``label`` bool have one entry a row.
    """

    users: NDArray[np.uint32]
    period: NDArray[np.int64]
    matrix: NDArray[np.float32]
    label: NDArray[np.bool_]
    as_of_us: tuple[int, ...]

    def of(self, as_of_us: Sequence[int]) -> TrainingRows:
        """Give the rows of some of the periods, numbered anew."""
        places = [self.as_of_us.index(instant) for instant in as_of_us]
        rows = np.isin(self.period, places)
        renumbered = np.searchsorted(places, self.period[rows])
        return TrainingRows(
            self.users[rows], renumbered, self.matrix[rows], self.label[rows], tuple(as_of_us)
        )

    @property
    def users_of_each(self) -> tuple[int, int]:
        """Count users who reached the goal on some date, and users who did not on some date."""
        reached, did_not = self.users[self.label], self.users[~self.label]
        return len(np.unique(reached)), len(np.unique(did_not))

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.label)


@dataclass(frozen=True)
class Question:
    """A goal asked of a log: checked expressions, ready to be answered at any as_of."""

    log: EventLog
    goal: Goal
    timezone: str

    def __post_init__(self) -> None:
        """Check the goal and the audience against the log before any long work."""
        _core.check_goal(self.goal.when, self.log.core)
        for condition in self.goal.audience.condition:
            _core.check_audience(condition, self.log.core)

    def cut_us(self, as_of: Instant | None) -> int:
        """Give the instant at and after which nothing is seen; left out: just after the last event.

        Raises
        ------
        TrainingError
            The as_of lies at or before the first event, or beyond the log's last day.
        """
        first_us, last_us = self.log.span_us
        cut_us = last_us + 1 if as_of is None else to_us(as_of, self.timezone)
        if cut_us <= first_us:
            raise TrainingError(
                f"as_of {in_words(cut_us)} is not after the first event ({in_words(first_us)}); "
                f"the log runs to {in_words(last_us)}"
            )
        require_reached(self.log, self.goal, cut_us)
        return cut_us

    def audience(self, as_of_us: int) -> NDArray[np.uint32]:
        """Give the places of the users in the audience at an as_of, ascending."""
        conditions = self.goal.audience.condition
        return members(self.log, conditions, self.timezone, as_of_us)

    def labels(self, users: NDArray[np.uint32], as_of_us: int) -> NDArray[np.bool_]:
        """Say for each user whether the goal was reached in ``[as_of, as_of + horizon)``."""
        spec = FeatureSet([self.goal.when], timezone=self.timezone).spec
        end_us = as_of_us + self.goal.horizon_us
        plan = _core.Plan.compile(spec, self.log.core, strict=False, before_us=end_us)
        reached = _core.compute(self.log.core, plan, users, start_us=as_of_us, end_us=end_us)
        met: NDArray[np.bool_] = reached[:, 0] == 1.0
        return met

    def rows(
        self,
        features: FeatureSet,
        as_of_us: Sequence[int],
        *,
        max_rows: int | None = None,
        seed: int = 0,
    ) -> TrainingRows:
        """Give the audience's features and labels at each as_of.

        Over ``max_rows`` rows in all, the same random share of users is kept in every period.
        """
        plan = _core.Plan.compile(
            features.spec, self.log.core, strict=True, before_us=max(as_of_us)
        )
        audiences = [self.audience(instant) for instant in as_of_us]
        total = sum(len(audience) for audience in audiences)
        if max_rows is not None and total > max_rows:
            # Drawn among those seen so far, so that users who come later change nothing.
            seen = np.unique(np.concatenate(audiences))
            kept = seen[np.random.default_rng(seed).random(len(seen)) < max_rows / total]
            audiences = [np.intersect1d(audience, kept) for audience in audiences]
        matrices = [
            compute_matrix(self.log, plan, users, instant)
            for users, instant in zip(audiences, as_of_us, strict=True)
        ]
        labels = [
            self.labels(users, instant) for users, instant in zip(audiences, as_of_us, strict=True)
        ]
        sizes = [len(audience) for audience in audiences]
        return TrainingRows(
            np.concatenate(audiences),
            np.repeat(np.arange(len(sizes)), sizes),
            np.concatenate(matrices),
            np.concatenate(labels),
            tuple(as_of_us),
        )


def export_training(
    log: EventLog,
    goal: Goal,
    *,
    features: FeatureSet | Sequence[str] | None = None,
    as_of: Instant | None = None,
    timezone: str = "UTC",
) -> pl.DataFrame:
    """Give a training frame that any trainer can use.

    Parameters
    ----------
    log
        The events.
    goal
        What is to be learnt.
    features
        A feature set, or texts; left out: :meth:`FeatureSet.auto` over the events before ``as_of``.
    as_of
        Nothing at or after this instant is seen, neither by features nor by labels; left out: just
        after the last event. Not beyond the log's last day, for what then happened is not known.
    timezone
        IANA time zone of days and hours, where ``features`` does not bring one.

    Returns
    -------
    polars.DataFrame
        One row a user and as_of: the user column as it came, ``as_of`` (Datetime, UTC), one Float32
        column a feature (NaN is missing), ``label`` (Boolean: the goal was reached in
        ``[as_of, as_of + horizon)``). The as_of dates are those that :func:`propense.train` uses;
        see :func:`propense.cuts.choose_cuts`. The newest is the test period there.

    Raises
    ------
    ExpressionError
        The goal, the audience or a feature does not fit the log.
    TrainingError
        The log is too short for the horizon, or ends before the as_of.
    """
    if isinstance(features, FeatureSet):
        timezone = features.timezone
    question = Question(log, goal, timezone)
    cut_us = question.cut_us(as_of)
    cuts = choose_cuts(log.span_us[0], cut_us, goal.horizon_us)
    chosen = resolve_features(question, features, cut_us)
    refuse_clashes(chosen, {log.user_column.name, *TRAINING_COLUMNS})
    rows = question.rows(chosen, cuts.as_of_us)
    instants = pl.Series("as_of", np.asarray(rows.as_of_us)[rows.period])
    return (
        user_frame(log, rows.users)
        .with_columns(instants.cast(pl.Datetime("us", "UTC")))
        .hstack(matrix_columns(rows.matrix, chosen.names))
        .with_columns(pl.Series("label", rows.label))
    )


def resolve_features(
    question: Question, features: FeatureSet | Sequence[str] | None, cut_us: int
) -> FeatureSet:
    """Give the features that were named, or the automatic ones, with their codes fixed by the log."""
    if features is None:
        features = FeatureSet.auto_before(
            question.log, cut_us, goal=question.goal, timezone=question.timezone
        )
    elif not isinstance(features, FeatureSet):
        features = FeatureSet(features, timezone=question.timezone)
    warn_of_protected(question.log, features)
    return features.bound(question.log, cut_us)


def warn_of_protected(log: EventLog, features: FeatureSet) -> None:
    """Say which features that were named read a protected attribute."""
    read = names_of_attributes(features, log.protected)
    if read:
        warnings.warn(
            f"protected attributes are read by features that were named, and stay: {', '.join(read)}",
            PropenseWarning,
            stacklevel=2,
        )
