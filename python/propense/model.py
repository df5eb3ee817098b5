"""A model: scores users of a log and answers for the scores; one directory on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from propense.backtest import summary
from propense.events import EventLog, Profiles
from propense.features import FeatureSet
from propense.goal import Goal
from propense.instants import Instant, in_words
from propense.measured import may_have_seen_test
from propense.parts import ModelParts
from propense.scorer import Scorer
from propense.sources import Source
from propense.tiers import TierPolicy

if TYPE_CHECKING:
    from propense.audit import Audit, AuditPolicy
    from propense.audit.groups import Edges
    from propense.forecast import Forecast
    from propense.report import Report
    from propense.validate import Validation


class Model(Scorer):
    """A goal's scores for any log that holds the model's features.

    Made by :func:`propense.train`, :meth:`from_onnx` or :func:`propense.load_model`.

    Attributes
    ----------
    goal, features, metrics, calibration, training, checks
        What was asked, of which features, and how good the answer was; as in the manifest.
    """

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
        models of earlier versions. A model from elsewhere is one and the same on every date.
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
            ``chance`` (what chance alone exceeds once in a hundred, with so many users then and now),
            ``reading`` (``stable`` below 0.1 or within chance, ``shifted`` from 0.25, else ``moved``),
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
        trained_before: Instant | None = None,
    ) -> Model:
        """Take a model of your own: any ONNX file with one float input of the features' width.

        Classifiers and regressors of scikit-learn, XGBoost, LightGBM and CatBoost are understood. A
        classifier's probability is taken as it is; a regressor's value becomes a probability by a
        logistic calibration on the log. Quality is measured on the log's newest period whose horizon
        has passed. It counts as held out only if ``trained_before`` says that the model did not learn
        from that period; else ``metrics["kind"]`` is ``"may_have_seen"``, and the report judges nothing.

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
        trained_before
            The model learnt from nothing at or after this instant, neither events nor outcomes: the
            ``as_of`` that :func:`propense.export_training` was given. Left out: not known. Past dates
            before it are not looked at.

        Raises
        ------
        ModelError
            The file is not such a model, or takes another number of features.
        """
        from propense.training.foreign import adopt

        return adopt(model, features, goal, log, as_of, positive_class, tiers, trained_before)

    def __repr__(self) -> str:
        """Name the goal, the features and the quality."""
        auc = self.metrics["auc"]["value"]
        quality = "" if auc is None else f", AUC {auc:.3f}"
        if quality and may_have_seen_test(self._parts):
            quality += " on users it may have learnt from"
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
