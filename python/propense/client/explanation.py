"""Why a user has the score, as the service answers it, said in the library's words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from propense._proto import scoring_pb2
from propense.client.answers import SCORED, TIER_NAMES, instant_of
from propense.explain import BASE, OTHERS
from propense.explain.forms import phrase
from propense.explain.words import REST, STARTS, change_sentence, sentence


@dataclass(frozen=True)
class Standing:
    """A user's standing with a model at an instant.

    Attributes
    ----------
    as_of
        Events strictly before it were seen.
    in_audience
        Whether the model's goal applies to the user; if not, there is no score.
    score, percentile, tier
        As :meth:`propense.Model.score` gives them; a score is a float32's exact value.
    others
        What the features that are not listed contributed to the logit, together.
    """

    as_of: datetime
    in_audience: bool
    score: float | None
    percentile: float | None
    tier: str | None
    others: float


@dataclass(frozen=True)
class Contribution:
    """A feature that moved a score.

    Attributes
    ----------
    feature
        Its column name.
    value, contribution
        What the model saw, NaN for missing, and its exact Shapley value in the logit; both are a
        float32's exact value.
    value_before, contribution_before
        The same at the earlier as_of; None if none was asked for, or the user was not in the
        audience then.
    usual
        The median over the rows that the model learnt from, NaN if it is usually missing; None if
        the model does not say.
    words
        The value and what is usual, or what it was before: "4 visits in 7 days, usually 1".
    """

    feature: str
    value: float
    contribution: float
    value_before: float | None
    contribution_before: float | None
    usual: float | None
    words: str


@dataclass(frozen=True)
class UserExplanation:
    """Why one user has the score that one version of a model gives.

    Attributes
    ----------
    model, digest
        The model's name and the SHA-256 of the manifest of the version that answered.
    base
        The logit where every user starts. With ``now.others`` and all contributions it adds up to the
        logit of the score, within 1e-5.
    now, before
        The standing at the as_of and, if asked for, at the earlier one.
    contributions
        Of the features that moved the logit most, or changed it most, largest first; none if the
        user is not in the audience at the as_of.
    """

    user_id: str
    model: str
    digest: str
    base: float
    now: Standing
    before: Standing | None
    contributions: tuple[Contribution, ...]

    def frame(self) -> pl.DataFrame:
        """Give the rows that the library gives for this user.

        Those of :meth:`propense.Model.explain`, or of :meth:`propense.Model.explain_change` if the
        user was in the audience at an earlier as_of too; the feature's column is text.
        """
        listed = self.contributions
        if self.before is not None and self.before.in_audience:
            before, after = self.before.others, self.now.others
            return self._frame(
                {
                    "feature": [*(one.feature for one in listed), OTHERS],
                    "value_before": [*(one.value_before for one in listed), None],
                    "value_after": [*(one.value for one in listed), None],
                    "contribution_before": [*(one.contribution_before for one in listed), before],
                    "contribution_after": [*(one.contribution for one in listed), after],
                    "change": [*map(_change, listed), after - before],
                    "words": [*(one.words for one in listed), REST],
                }
            )
        return self._frame(
            {
                "feature": [BASE, *(one.feature for one in listed), OTHERS],
                "value": [None, *(one.value for one in listed), None],
                "contribution": [
                    self.base,
                    *(one.contribution for one in listed),
                    self.now.others,
                ],
                "words": [STARTS, *(one.words for one in listed), REST],
            }
        )

    def _frame(self, columns: dict[str, list[str | float | None]]) -> pl.DataFrame:
        types: dict[str, pl.DataType | type[pl.DataType]] = {
            name: pl.Float32 for name in columns if name.startswith(("value", "contribution"))
        }
        types |= {"feature": pl.String, "words": pl.String, "change": pl.Float64}
        rows = pl.DataFrame(
            [pl.Series(name, cells, types[name], strict=False) for name, cells in columns.items()]
        )
        return rows.select(pl.lit(self.user_id).alias("user_id"), pl.all()).with_columns(
            pl.col(pl.Float32).fill_nan(None)
        )


def user_explanation(answer: scoring_pb2.ExplainUserResponse) -> UserExplanation:
    """Give an explanation."""
    return UserExplanation(
        user_id=answer.user_id,
        model=answer.model.name,
        digest=answer.model.digest,
        base=answer.base,
        now=_standing(answer.now),
        before=_standing(answer.before) if answer.HasField("before") else None,
        contributions=tuple(map(_contribution, answer.features)),
    )


def _standing(given: scoring_pb2.Standing) -> Standing:
    scored = given.score.outcome == SCORED
    return Standing(
        as_of=instant_of(given.as_of),
        in_audience=scored,
        score=given.score.score if scored else None,
        percentile=given.score.percentile if scored else None,
        tier=TIER_NAMES.get(given.score.tier) if scored else None,
        others=given.others,
    )


def _contribution(given: scoring_pb2.ExplainedFeature) -> Contribution:
    words = phrase(given.expression, dict(given.texts) if given.is_text else None)
    usual = given.usual if given.HasField("usual") else None
    before = given.before if given.HasField("before") else None
    return Contribution(
        feature=given.name,
        value=given.now.value,
        contribution=given.now.contribution,
        value_before=None if before is None else before.value,
        contribution_before=None if before is None else before.contribution,
        usual=usual,
        words=sentence(words, given.now.value, usual, known=usual is not None)
        if before is None
        else change_sentence(words, before.value, given.now.value),
    )


def _change(one: Contribution) -> float:
    return one.contribution - (one.contribution_before or 0.0)
