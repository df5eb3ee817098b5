"""What an audit gives: a verdict with its reasons, and the tables behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from propense.audit.groups import Grouping
from propense.audit.measures import People
from propense.audit.policy import AuditPolicy
from propense.audit.published import write_published
from propense.audit.verdict import LEVELS, Verdict
from propense.exceptions import DataError, FairnessError
from propense.output import write_text


@dataclass(frozen=True)
class Audit:
    """The result of :func:`propense.audit`.

    Attributes
    ----------
    verdict
        ``pass``, ``warn`` or ``block``: the gravest of all findings.
    reasons
        Why, one sentence a finding, the gravest first.
    notes
        What was not looked at, and why.
    groups, pairs
        One row a group of an attribute, and of a pair of attributes: ``by``, ``group``, ``people``,
        ``selected``; ``selection_rate`` and ``ratio`` (over the rate of the group ``against``, which
        is chosen most), and with outcomes ``reached``, ``base_rate``, ``precision``, ``recall``,
        ``recall_ratio`` and ``calibration`` (outcomes over scores, next to everyone's), each with
        ``…_low`` and ``…_high``; ``finding``. Null where there are not enough people.
    proxies
        How well features tell groups apart; see :func:`propense.audit.proxies.proxies`. None if no
        features were given.
    people, selected
        Users scored, and in words who of them counts as chosen.
    policy
        By what was judged.
    model_digest
        Of the model whose scores these are (:attr:`propense.Model.digest`); None if scores were
        audited that may be anyone's.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    groups: pl.DataFrame
    pairs: pl.DataFrame
    proxies: pl.DataFrame | None
    people: int
    selected: str
    policy: AuditPolicy
    _people: People = field(repr=False, compare=False)
    _groupings: tuple[Grouping, ...] = field(repr=False, compare=False)
    model_digest: str | None = None

    def require(self, at_most: Verdict = "pass") -> Audit:
        """Give the audit back, if its verdict is no graver than ``at_most``.

        Raises
        ------
        FairnessError
            It is; says why.
        """
        if LEVELS.index(self.verdict) > LEVELS.index(at_most):
            raise FairnessError(
                f"the audit says {self.verdict}, {at_most} is required: {'; '.join(self.reasons)}"
            )
        return self

    def as_dict(self) -> dict[str, Any]:
        """Give everything but the users, ready for JSON."""
        return {
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "people": self.people,
            "selected": self.selected,
            "model_digest": self.model_digest,
            "policy": self.policy.as_dict(),
            "groups": self.groups.to_dicts(),
            "pairs": self.pairs.to_dicts(),
            "proxies": None if self.proxies is None else self.proxies.to_dicts(),
        }

    def save(self, path: str | Path) -> Path:
        """Write the audit as JSON, aside first, then renamed.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        text = json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        return write_text(f"{text}\n", path)

    def publish(self, model: str | Path) -> Path:
        """Write the audit beside the model's folder, where segments that require one look for it.

        A server reads it when it looks at the model: at its start and at each reload. It counts for
        as long as that version of the model is served.

        Parameters
        ----------
        model
            The folder of the model that was audited.

        Returns
        -------
        Path
            The file, ``NAME.audit.json`` beside the folder ``NAME``.

        Raises
        ------
        DataError
            Scores were audited, and not a model.
        OutputError
            It cannot be written.
        """
        return write_published(self, Path(model))

    def metric_frame(
        self, attribute: str, metrics: Mapping[str, Callable[..., Any]] | Callable[..., Any]
    ) -> Any:
        """Give a :class:`fairlearn.metrics.MetricFrame` of the same users, for any other metric.

        Parameters
        ----------
        attribute
            A protected attribute, or a pair such as ``"country × age"``.
        metrics
            Functions of ``(y_true, y_pred)``, as fairlearn takes them: whether users reached the goal
            (all False where that is not known) and whether they are chosen.

        Raises
        ------
        DataError
            No such attribute was audited, or the extra ``fairness`` is not installed.
        """
        try:
            from fairlearn.metrics import MetricFrame
        except ImportError as error:
            raise DataError(
                "fairlearn not installed; this needs: pip install 'propense[fairness]'"
            ) from error
        grouping = next((each for each in self._groupings if each.by == attribute), None)
        if grouping is None:
            known = ", ".join(each.by for each in self._groupings)
            raise DataError(f"no attribute {attribute!r} was audited; these were: {known}")
        known_group = grouping.codes >= 0
        chosen = self._people.selected
        reached = chosen & False if self._people.reached is None else self._people.reached
        groups = pl.Series(grouping.by, grouping.names).gather(grouping.codes[known_group])
        return MetricFrame(
            metrics=dict(metrics) if isinstance(metrics, Mapping) else metrics,
            y_true=reached[known_group],
            y_pred=chosen[known_group],
            sensitive_features={grouping.by: groups.to_list()},
        )

    def __repr__(self) -> str:
        """Say the verdict and the reasons."""
        reasons = "; ".join(self.reasons) or "nothing found"
        return f"Audit({self.verdict}: {reasons})"
