"""The audience at training: the scores that a model keeps, weighed so that tiers are as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from propense.exceptions import ModelError
from propense.forecast.counts import Crowd
from propense.forecast.shift import logit, shift
from propense.tiers import TIERS, CutOffs

if TYPE_CHECKING:
    from propense.model import Model


def tiers_at_training(scores: NDArray[np.float32], cuts: CutOffs) -> dict[str, Any]:
    """Count an audience's users by tier and add up their scores, as a manifest keeps it.

    Of a large audience only some scores are kept, which tell both but nearly.
    """
    codes = cuts.tiers(scores).to_physical().to_numpy()
    users = np.bincount(codes, minlength=len(TIERS)).tolist()
    expected = np.bincount(codes, scores.astype(np.float64), minlength=len(TIERS)).tolist()
    return {
        "most_likely_from": cuts.most,
        "least_likely_below": cuts.least,
        "users": dict(zip(TIERS, users, strict=True)),
        "expected": dict(zip(TIERS, expected, strict=True)),
    }


def audience_at_training(model: Model) -> Crowd:
    """Give the audience at training, an entry for each score that is kept.

    Where the model says how large its tiers were, at the cut-offs that it has, they are as large and
    their scores add up to the same.

    Raises
    ------
    ModelError
        The model does not say how large the audience was.
    """
    values, users = model._parts.audience, model.training.get("audience")
    if users is None:
        raise ModelError(
            "this model does not say how large its audience was; give scores, or train it again"
        )
    crowd = Crowd(logit(values), np.full(len(values), int(users) / len(values)))
    cuts = model.cut_offs
    known = model.training.get("audience_tiers", {})
    counted_at = known.get("most_likely_from"), known.get("least_likely_below")
    if counted_at != (cuts.most, cuts.least) or len(values) == int(users):
        return crowd
    return _as_they_were(crowd, cuts.tiers(values).to_physical().to_numpy(), known)


def _as_they_were(crowd: Crowd, codes: NDArray[np.uint8], known: dict[str, Any]) -> Crowd:
    """Give the entries of each tier its users, and move their log odds, by little, to its sum."""
    logits, weight = crowd.logits.copy(), crowd.weight.copy()
    for code, tier in enumerate(TIERS):
        here, users, expected = codes == code, known["users"][tier], known["expected"][tier]
        if here.any() != (users > 0):
            return crowd
        if users:
            weight[here] = users / here.sum()
        if 0.5 <= expected <= users - 0.5:  # beyond that no shift is told from none or all
            logits[here] += shift(logits[here], weight[here], expected)[0]
    return Crowd(logits, weight)
