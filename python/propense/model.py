"""A model: scores users of a log, cuts them into tiers, and is one directory on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense import _core
from propense.backtest import Backtest, summary
from propense.events import EventLog, Profiles
from propense.exceptions import DataError, ModelError
from propense.features import FeatureSet, members, user_frame
from propense.goal import Goal
from propense.instants import Instant, in_words, to_us
from propense.manifest import MODEL_FILES
from propense.output import replaced_folder
from propense.parts import ModelParts
from propense.progress import track
from propense.runtime import initialise
from propense.sources import Source
from propense.tiers import CutOffs, TierPolicy, upper_cut

if TYPE_CHECKING:
    from propense.audit import Audit, AuditPolicy
    from propense.audit.groups import Edges
    from propense.forecast import Forecast
    from propense.report import Report
    from propense.validate import Validation

TOLERANCE = 1e-6
"""How far a score may lie from the one stored with the model's check rows."""


OWN_COLUMNS = ("score", "percentile", "tier")


class Model:
    """A goal's scores for any log that holds the model's features.

    Made by :func:`propense.train`, :meth:`from_onnx` or :func:`propense.load_model`.

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
            features' time zone. Left out: just after the log's last event.

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
            The user column is named like a column of the scores.
        """
        if log.user_column.name in OWN_COLUMNS:
            raise DataError(
                f"the user column is named {log.user_column.name!r}, like a column of the scores; "
                "rename it before reading the log"
            )
        timezone = self.features.timezone
        as_of_us = log.span_us[1] + 1 if as_of is None else to_us(as_of, timezone)
        conditions = self.goal.audience.condition
        users = members(log, conditions, timezone, as_of_us, strict=False)
        scores = self.score_places(log, users, as_of_us)
        percentile = pl.Series("percentile", self.percentiles(scores))
        return user_frame(log, users).hstack(
            [pl.Series("score", scores), percentile, self.tiers_of(scores)]
        )

    def score_places(
        self, log: EventLog, users: NDArray[np.uint32], as_of_us: int
    ) -> NDArray[np.float32]:
        """Score users given by their places in a log, whatever the audience; float32 of shape (n,)."""
        plan = _core.Plan.compile(self.features.spec, log.core, strict=False, before_us=as_of_us)
        with track("scoring", len(users)) as report:
            return _core.score_users(
                log.core, plan, self._core, users, as_of_us=as_of_us, report=report
            )

    def explain(
        self,
        log: EventLog,
        *,
        users: Sequence[Any] | None = None,
        as_of: Instant | None = None,
        top: int | None = None,
    ) -> pl.DataFrame:
        """Say what each feature contributed to each user's score.

        Contributions are exact Shapley values of the logit (path-dependent TreeSHAP): those of a user
        and the base add up to the logit of the score.

        Parameters
        ----------
        log, as_of
            As in :meth:`score`.
        users
            Ids of users in the audience; left out: all of it.
        top
            How many features to list a user, those that moved the score most; left out: all that
            the model reads. For a large audience give it: every row takes memory.

        Returns
        -------
        polars.DataFrame
            For each user, in order, a row ``(base)`` and one a feature: the user column as it came;
            ``feature`` (Enum); ``value`` (Float32, null where missing); ``contribution`` (Float32, to
            the logit). With ``top`` features come largest first, a row ``(others)`` sums up the rest,
            and ``words`` (String) says the value and what is usual: "4 visits in 7 days, usually 1".

        Raises
        ------
        ModelError
            The model cannot be explained exactly: it is not made of trees, or its file does not say
            how many training rows came by each node. See :meth:`importance`.
        DataError
            A user is not in the log or not in the audience; ``top`` is not a number from 1 up.
        """
        from propense import explain

        return explain.explain(self, log, users=users, as_of=as_of, top=top)

    def explain_change(
        self,
        log: EventLog,
        *,
        users: Sequence[Any],
        before: Instant,
        after: Instant | None = None,
        top: int | None = None,
    ) -> pl.DataFrame:
        """Say why scores, and with them tiers, changed from one as_of to a later one.

        Parameters
        ----------
        log, users, top
            As in :meth:`explain`; users are in the audience at both.
        before, after
            The two as_of; ``after`` left out: just after the log's last event.

        Returns
        -------
        polars.DataFrame
            For each user one row a feature, the largest change first: ``feature``, ``value_before``,
            ``value_after``, ``contribution_before``, ``contribution_after``, ``change`` (Float64; all
            of a user add up to the change of the logit) and ``words``.

        Raises
        ------
        ModelError
            As :meth:`explain`.
        DataError
            As :meth:`explain`, or ``before`` does not lie before ``after``.
        """
        from propense import explain

        return explain.explain_change(self, log, users=users, before=before, after=after, top=top)

    def explain_tiers(
        self, log: EventLog, *, as_of: Instant | None = None, top: int = 5
    ) -> pl.DataFrame:
        """Say what sets each tier apart from the audience.

        Parameters
        ----------
        log, as_of
            As in :meth:`score`. Of more than 50,000 users evenly spaced ones are looked at.
        top
            How many features to list a tier.

        Returns
        -------
        polars.DataFrame
            By tier, the features whose mean contribution there differs most from everyone's: ``tier``,
            ``feature``, ``typical`` and ``typical_of_all`` (median values), ``contribution`` (mean in
            the tier), ``apart`` (that less everyone's mean) and ``words``.

        Raises
        ------
        ModelError
            As :meth:`explain`.
        DataError
            Nobody is in the audience.
        """
        from propense import explain

        return explain.explain_tiers(self, log, as_of=as_of, top=top)

    def importance(
        self,
        kind: Literal["gain", "permutation", "contribution"] = "gain",
        *,
        log: EventLog | None = None,
        as_of: Instant | None = None,
        seed: int = 0,
    ) -> pl.DataFrame:
        """Give each feature's importance to the model as a whole.

        Parameters
        ----------
        kind
            ``"gain"``: its share of what the splits gained in training, known of models that propense
            trained. ``"permutation"``: by how much the AUC falls when its values are dealt to other
            users, for any model. ``"contribution"``: its mean absolute contribution to the logit.
        log
            The events, except for gain.
        as_of
            For permutation the horizon after it must have passed; left out: the newest for which it
            has. For contribution as in :meth:`score`.
        seed
            Of the permutations.

        Returns
        -------
        polars.DataFrame
            ``feature``, ``importance`` (Float64), the largest first; for permutation also ``spread``,
            the standard deviation over three permutations.

        Raises
        ------
        ModelError
            The gain is not known, or the model has no exact contributions.
        DataError
            The log is missing, or the horizon has not passed in it.
        """
        from propense import explain

        return explain.importance(self, kind, log=log, as_of=as_of, seed=seed)

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

    def audit(
        self,
        log: EventLog,
        profiles: Profiles | Source,
        protected: Sequence[str] | Mapping[str, Edges] = (),
        *,
        as_of: Instant | None = None,
        policy: AuditPolicy | None = None,
    ) -> Audit:
        """Score the audience and say whether groups are chosen alike; see :func:`propense.audit`.

        Precision, recall and calibration are of what then happened, where the log holds the whole
        horizon after the as_of. Whether features stand in for a protected attribute is looked at too.

        Parameters
        ----------
        log, as_of
            As in :meth:`score`.
        profiles, protected, policy
            As in :func:`propense.audit`; without protected attributes, those marked in the profiles or
            the log, or else those that were kept out of the model's features.

        Raises
        ------
        DataError, TrainingError
            As :func:`propense.audit`; or the extra ``train`` is not installed.
        """
        from propense.audit.of_model import audit_model

        return audit_model(self, log, profiles, protected, as_of, policy)

    @property
    def backtest(self) -> pl.DataFrame:
        """How it did on past dates, each predicted with what was known then.

        One row a date, oldest first: ``as_of``, ``audience``, ``users`` (those looked at),
        ``expected``, ``actual``, ``ratio`` (actual over expected), ``auc``, ``top_rate`` and
        ``rule_rate`` (rate of the same number of users, picked by score and by whether they reached
        the goal in the horizon before), ``base_rate``. No rows where the log was too short, or in
        models of earlier versions.
        """
        past = self._parts.backtest
        return summary(() if past is None else past.cuts)

    def forecast(
        self,
        scores: pl.DataFrame | None = None,
        *,
        target: float | None = None,
        level: float = 0.9,
    ) -> Forecast:
        """Forecast how many of the scored users will reach the goal in the horizon.

        The interval holds what chance does to so many users, and what past dates show of how far
        whole periods may be off: it is wide where few past dates are known.

        Parameters
        ----------
        scores
            From :meth:`score`, with columns ``score`` and, if tiers are to be kept as they are,
            ``tier``; left out: the audience at training.
        target
            The number that is wanted (or, of a goal to prevent, the most that are allowed).
        level
            Share of intervals that are to contain the truth.

        Returns
        -------
        Forecast
            ``table`` by tier, ``verdict`` on the target, and ``plan`` for closing the gap.

        Raises
        ------
        PlanError
            The target is negative, or the level no share.
        ModelError
            The frame has no scores in [0, 1], or no tiers where tiers belong.
        """
        from propense.forecast.ask import forecast

        return forecast(self, scores, target, level)

    def validate(
        self,
        log: EventLog,
        *,
        scores: pl.DataFrame | None = None,
        as_of: Instant | None = None,
    ) -> Validation:
        """Compare what was predicted as of a date with what then happened.

        Parameters
        ----------
        log
            Events up to the end of the horizon at least.
        scores
            What was predicted then, from :meth:`score`; left out: the audience is scored as of then,
            of which only events before it are seen.
        as_of
            When; left out: the model's own as_of. Not before it, as the model has learnt from that.

        Returns
        -------
        Validation
            ``table`` by tier, ``metrics``, ``drift`` and a ``verdict`` with reasons.

        Raises
        ------
        DataError
            The horizon has not passed in the log, the date is before the model's, or the scores are
            not of users of its audience.
        ModelError
            The frame has no scores in [0, 1].
        """
        from propense.validate.ask import validate

        return validate(self, log, scores, as_of)

    def drift(self, log: EventLog, *, as_of: Instant | None = None) -> pl.DataFrame:
        """Compare the spread of scores and features over the audience with that at training.

        Parameters
        ----------
        log
            The events; up to 20,000 users of the audience are looked at.
        as_of
            When; left out: as late as the log goes, a whole number of weeks after training.

        Returns
        -------
        polars.DataFrame
            One row for the score and one a feature, each most moved first: ``of`` (``score`` or
            ``feature``), ``name``, ``stability`` (population stability index, 0 or more),
            ``reading`` (``stable`` below 0.1, ``shifted`` from 0.25, else ``moved``),
            ``missing_then``, ``missing_now`` (shares).

        Raises
        ------
        ModelError
            The model is of a version that kept no such spread.
        DataError
            Nobody is in the audience then.
        """
        from propense.validate.ask import drift

        return drift(self, log, as_of)

    def report(self, *, previous: Model | None = None, audit: Audit | None = None) -> Report:
        """Sum the model up in one page: quality, lift, calibration, tiers, past dates, drivers.

        Parameters
        ----------
        previous
            The model before this one, to say what changed; left out: the one that this one replaced,
            as far as its manifest tells.
        audit
            An audit to include.

        Returns
        -------
        Report
            ``html`` is one page without scripts; ``save("report.html")`` writes it, and each chart as
            PNG and SVG.

        Raises
        ------
        ModelError
            The extra ``report`` is not installed.
        """
        from propense.report import report

        return report(self, previous, audit)

    def following(self, previous: Model) -> Model:
        """Give the same model with a memory of the one before it, for what its report says changed."""
        from propense.report.changes import remembered

        training = self.training | {"previous": remembered(previous)}
        return Model(replace(self._parts, training=training, read_digest=None))

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

    @classmethod
    def from_onnx(
        cls,
        model: str | Path | bytes,
        *,
        features: FeatureSet | Sequence[str],
        goal: Goal,
        log: EventLog,
        as_of: Instant | None = None,
        positive_class: int | str | None = None,
        tiers: TierPolicy | None = None,
    ) -> Model:
        """Take a model of your own: any ONNX file with one float input of the features' width.

        Classifiers and regressors of scikit-learn, XGBoost, LightGBM and CatBoost are understood. A
        classifier's probability is taken as it is; a regressor's value becomes a probability by a
        logistic calibration on the log. Quality is measured on the log's newest period.

        Parameters
        ----------
        model
            The ONNX file or its bytes.
        features, goal
            What its columns are, in order, and what it predicts.
        log
            Events to calibrate, measure and cut tiers on.
        as_of
            Nothing at or after this instant is seen; left out: just after the last event.
        positive_class
            The class whose probability is the score, where it is not 1 or True.
        tiers
            How to cut tiers; left out: :meth:`TierPolicy.quantile`.

        Raises
        ------
        ModelError
            The file is not such a model, or takes another number of features.
        """
        from propense.training.foreign import adopt

        return adopt(model, features, goal, log, as_of, positive_class, tiers)

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

    def __repr__(self) -> str:
        """Name the goal, the features and the quality."""
        auc = self.metrics["auc"]["value"]
        quality = "" if auc is None else f", AUC {auc:.3f}"
        return (
            f"Model({self.goal.name}: {self.goal.when} within {self.goal.horizon}; "
            f"{len(self.features)} features{quality}; as of {in_words(self.as_of_us)})"
        )


def load_model(folder: str | Path) -> Model:
    """Load a model directory.

    Raises
    ------
    ModelError
        A file is missing or does not have the manifest's checksum, the plan is not the one the
        manifest was written for, or the scores of the check rows differ by more than 1e-6.
    """
    return Model(ModelParts.read(Path(folder)))
