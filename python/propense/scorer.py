"""What a model is: parts that were checked, and the scores and tiers that they give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense import _core
from propense.backtest import Backtest
from propense.column_kinds import in_kinds
from propense.events import EventLog
from propense.exceptions import DataError, ModelError
from propense.features import FeatureSet, members, user_frame
from propense.goal import Goal
from propense.instants import Instant, to_us
from propense.manifest import MODEL_FILES
from propense.output import replaced_folder
from propense.parts import ModelParts
from propense.progress import track
from propense.reach import warn_if_stale
from propense.runtime import initialise
from propense.tiers import CutOffs, TierPolicy, upper_cut

TOLERANCE = 1e-6
"""How far a score may lie from the one stored with the model's check rows."""


OWN_COLUMNS = ("score", "percentile", "tier")


class Scorer:
    """The scores and tiers of a model; its questions are those of :class:`propense.Model`.

    Attributes
    ----------
    goal, features, metrics, calibration, training, checks
        What was asked, of which features, and how good the answer was; as in the manifest.
    """

    def __init__(self, parts: ModelParts) -> None:
        initialise()
        self._parts = parts
        self._tiers = parts.tiers
        self._core = _core.OnnxModel(parts.onnx, len(parts.features))
        self._verify()

    @property
    def core(self) -> _core.OnnxModel:
        """What scores, in Rust."""
        return self._core

    @property
    def goal(self) -> Goal:
        """What the scores are the probability of."""
        return self._parts.goal

    @property
    def runs_on(self) -> str:
        """Which engine scores here and why: the native forest, or ONNX Runtime."""
        return self._core.engine

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, by which servers name a version; it changes with the tiers."""
        return self._parts.digest

    @property
    def features(self) -> FeatureSet:
        """The features the model reads, in order."""
        return self._parts.features

    @property
    def metrics(self) -> dict[str, Any]:
        """Quality on the test period, each with the counts behind it."""
        return self._parts.metrics

    @property
    def training(self) -> dict[str, Any]:
        """What was learnt from: as_of dates, rows, positives."""
        return self._parts.training

    @property
    def calibration(self) -> dict[str, Any]:
        """How raw scores became probabilities."""
        return self._parts.calibration

    @property
    def checks(self) -> dict[str, Any]:
        """What the ONNX file was compared with, on which rows, and the largest differences."""
        return self._parts.checks

    @property
    def as_of_us(self) -> int:
        """Nothing at or after this instant was seen in training, microseconds since 1970 UTC."""
        return self._parts.as_of_us

    @property
    def tiers(self) -> TierPolicy:
        """How scores are cut into tiers; set it to cut the same scores otherwise."""
        return self._tiers

    @tiers.setter
    def tiers(self, policy: TierPolicy) -> None:
        self._parts = self._parts.with_tiers(policy)
        self._tiers = policy

    @property
    def test(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Scores of the test period and whether the goal was reached, each of shape (m,)."""
        return self._parts.test_scores, self._parts.test_labels

    @property
    def audience(self) -> NDArray[np.float32]:
        """Scores of the audience at training, ascending; at most 10,001 order statistics of them."""
        return self._parts.audience

    @property
    def past(self) -> Backtest | None:
        """Scores and outcomes on past dates; None in models of earlier versions."""
        return self._parts.backtest

    @property
    def cut_offs(self) -> CutOffs:
        """The scores at which tiers begin."""
        return self._parts.cut_offs

    def score(self, log: EventLog, *, as_of: Instant | None = None) -> pl.DataFrame:
        """Score the goal's audience.

        Parameters
        ----------
        log
            The events. Event types that the model knows and the log lacks count as not happened.
        as_of
            Only events strictly before this instant are seen; a date is its first instant in the
            features' time zone. Left out: just after the log's last event. Longer after that event
            than 7 days, or than the horizon if that is less, it gives a warning.

        Returns
        -------
        polars.DataFrame
            One row a user in the audience, ascending by id: the user column as it came; ``score``
            (Float32, the calibrated probability); ``percentile`` (Float32 in [0, 100]: the share of
            the audience at training with a score at or below this one); ``tier`` (Enum of
            ``most_likely``, ``moderately_likely``, ``least_likely``). Users outside the audience
            are not in it.

        Raises
        ------
        ExpressionError
            The log lacks a property or attribute that a feature reads.
        DataError
            The user column is named like a column of the scores, or a property or attribute has
            values of another kind than in the log that the model learnt from.
        """
        if log.user_column.name in OWN_COLUMNS:
            raise DataError(
                f"the user column is named {log.user_column.name!r}, like a column of the scores; "
                "rename it before reading the log"
            )
        log = self.suited(log)
        timezone = self.features.timezone
        as_of_us = log.span_us[1] + 1 if as_of is None else to_us(as_of, timezone)
        warn_if_stale(log, self.goal, as_of_us)
        conditions = self.goal.audience.condition
        users = members(log, conditions, timezone, as_of_us, strict=False)
        scores = self.score_places(log, users, as_of_us)
        percentile = pl.Series("percentile", self.percentiles(scores))
        return user_frame(log, users).hstack(
            [pl.Series("score", scores), percentile, self.tiers_of(scores)]
        )

    def suited(self, log: EventLog) -> EventLog:
        """Give the log with the columns that the model reads in the kinds that it learnt them in.

        Raises
        ------
        DataError
            A column has values of another kind. One without any value fits every kind.
        """
        return in_kinds(log, self._parts.columns)

    def score_places(
        self, log: EventLog, users: NDArray[np.uint32], as_of_us: int
    ) -> NDArray[np.float32]:
        """Score users given by their places in a log, whatever the audience; float32 of shape (n,)."""
        log = self.suited(log)
        plan = _core.Plan.compile(self.features.spec, log.core, strict=False, before_us=as_of_us)
        with track("scoring", len(users)) as report:
            return _core.score_users(
                log.core, plan, self._core, users, as_of_us=as_of_us, report=report
            )

    def score_matrix(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score rows of features, float32 of shape (n, width), NaN for missing; gives float32 (n,)."""
        return self._core.score(np.ascontiguousarray(matrix, dtype=np.float32))

    def retier(self, scores: pl.DataFrame) -> pl.DataFrame:
        """Give the same scores with tiers by the policy now set; nothing is scored again.

        Raises
        ------
        ModelError
            The frame has no column ``score``.
        """
        if "score" not in scores.columns:
            found = ", ".join(scores.columns)
            raise ModelError(f"retier needs a column 'score'; the columns are {found}")
        values = scores["score"].cast(pl.Float32).to_numpy()
        return scores.with_columns(self.tiers_of(values))

    def percentiles(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rank scores among the audience at training: the share at or below, in [0, 100]."""
        known = self._parts.audience
        places = np.searchsorted(known, scores, side="right")
        return (100.0 * places / len(known)).astype(np.float32)

    def tiers_of(self, scores: NDArray[np.float32]) -> pl.Series:
        """Cut scores, float32 of shape (n,), into tiers by the policy now set."""
        cuts = self.cut_offs
        if self.tiers.kind == "capacity" and len(scores):
            most = upper_cut(scores, int(self.tiers.most or 0))
            cuts = CutOffs(most, min(cuts.least, most))
        return cuts.tiers(scores)

    def save(self, folder: str | Path) -> Path:
        """Write the model as a directory, in one step: aside first, then renamed.

        Raises
        ------
        OutputError
            It cannot be written; what was there before stays.
        """
        contents = self._parts.contents()
        with replaced_folder(folder, MODEL_FILES) as aside:
            for name, content in contents.items():
                (aside / name).write_bytes(content)
        return Path(folder)

    def _verify(self) -> None:
        """Refuse a model whose scores, or tiers, are not those it was saved with."""
        rows, expected = self._parts.check_rows, self._parts.check_scores
        found = self.score_matrix(rows)
        for scores, by in (
            (found, ""),
            (self._core.score_in_onnxruntime(rows), " in ONNX Runtime"),
        ):
            difference = float(np.abs(scores - expected).max(initial=0.0))
            if not difference <= TOLERANCE:
                raise ModelError(
                    f"the model gives other scores{by} than it was saved with: they differ by up to "
                    f"{difference:.2e} on its check rows, {TOLERANCE:g} is allowed"
                )
        flipped = (self.cut_offs.tiers(found) != self.cut_offs.tiers(expected)).sum()
        if flipped:
            raise ModelError(f"the model would put {flipped} of its check rows into other tiers")
