"""Tiers: most, moderately and least likely, cut from scores by a policy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.exceptions import ModelError

TIERS = ("most_likely", "moderately_likely", "least_likely")
TIER_TYPE = pl.Enum(TIERS)


@dataclass(frozen=True)
class TierPolicy:
    """How scores are cut into tiers; made by one of its class methods.

    A user is ``most_likely`` if the score is at or above the upper cut-off, ``least_likely`` if it
    is below the lower one, and ``moderately_likely`` otherwise. Equal scores are in one tier: where
    a share or a number falls inside a run of equal scores, the whole run goes to the middle, so that
    no outer tier is larger than was asked for.
    """

    kind: Literal["quantile", "probability", "capacity", "precision"]
    most: float | None = None
    least: float | None = None
    floor: float | None = None
    """The lowest precision of the top tier, for ``precision``."""

    @classmethod
    def quantile(cls, most: float = 0.2, least: float = 0.2) -> TierPolicy:
        """Cut off shares of the audience at training; the cut-offs are then frozen as scores."""
        if not (0 <= most <= 1 and 0 <= least <= 1 and most + least <= 1):
            raise ModelError(
                f"quantile tiers: most={most} and least={least} must be shares between 0 and 1 "
                "that add up to at most 1"
            )
        return cls("quantile", most=most, least=least)

    @classmethod
    def probability(cls, most: float = 0.75, least: float = 0.5) -> TierPolicy:
        """Cut at scores: most likely from ``most`` up, least likely below ``least``."""
        if not 0 <= least <= most <= 1:
            raise ModelError(
                f"probability tiers: expected 0 ≤ least ≤ most ≤ 1, found least={least}, most={most}"
            )
        return cls("probability", most=most, least=least)

    @classmethod
    def capacity(cls, most: int, least: float = 0.2) -> TierPolicy:
        """Take the best ``most`` users of each scored audience; ``least`` is a share of the rest's end.

        The upper cut-off is found anew in every scoring. If users tie for the last places none of
        them is taken, so there are never more than ``most``.
        """
        if not (0 <= most < math.inf and most == int(most) and 0 <= least <= 1):
            raise ModelError(
                f"capacity tiers: most={most} must be a whole number of users from 0 up and "
                f"least={least} a share between 0 and 1"
            )
        return cls("capacity", most=int(most), least=least)

    @classmethod
    def precision(cls, precision: float, least: float = 0.2) -> TierPolicy:
        """Take the largest top tier whose precision on the test period is at least ``precision``."""
        if not (0 < precision <= 1 and 0 <= least <= 1):
            raise ModelError(
                f"precision tiers: precision={precision} must lie above 0 and up to 1 and "
                f"least={least} between 0 and 1"
            )
        return cls("precision", least=least, floor=precision)

    def as_dict(self) -> dict[str, Any]:
        """Give the policy as a manifest keeps it."""
        values = {"most": self.most, "least": self.least, "precision": self.floor}
        return {"policy": self.kind} | {k: v for k, v in values.items() if v is not None}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TierPolicy:
        """Build a policy from a manifest's or a goal file's table."""
        values = dict(values)
        kind = values.pop("policy", "quantile")
        makers: dict[str, Callable[..., TierPolicy]] = {
            "quantile": cls.quantile,
            "probability": cls.probability,
            "capacity": cls.capacity,
            "precision": cls.precision,
        }
        try:
            return makers[kind](**values)
        except KeyError:
            known = ", ".join(makers)
            raise ModelError(f"policy: {kind!r} is unknown; expected one of {known}") from None
        except TypeError:
            raise ModelError(
                f"{values} do not fit the policy {kind!r}; see TierPolicy.{kind}"
            ) from None


@dataclass(frozen=True)
class CutOffs:
    """Scores at which tiers begin: most likely at or above ``most``, least likely below ``least``."""

    most: float
    least: float

    def tiers(self, scores: NDArray[np.float32]) -> pl.Series:
        """Give each score's tier; shape (n,) in, an Enum series of n out."""
        upper = scores >= np.float32(self.most)
        lower = scores < np.float32(self.least)
        # A policy never lets the two overlap, but a frozen pair of a stale model might.
        codes = np.where(upper, 0, np.where(lower, 2, 1)).astype(np.uint8)
        return pl.Series("tier", np.asarray(TIERS)[codes], dtype=TIER_TYPE)


def cut_offs(
    policy: TierPolicy,
    audience: NDArray[np.float32],
    users: int,
    test_scores: NDArray[np.floating[Any]],
    test_labels: NDArray[np.bool_],
) -> CutOffs:
    """Find the cut-offs of a policy.

    Parameters
    ----------
    policy
        The policy.
    audience
        Scores of the audience that shares are of, shape (n,): all of them, or evenly spaced order
        statistics, those at :func:`order_places`.
    users
        How many users the audience has, n or more.
    test_scores, test_labels
        Scores of the test period and what happened, shape (m,), for ``precision``.
    """
    if policy.kind == "probability":
        return CutOffs(float(policy.most or 0.0), float(policy.least or 0.0))
    least = lower_cut(audience, policy.least or 0.0)
    if policy.kind == "quantile":
        most = upper_cut(audience, math.floor((policy.most or 0.0) * len(audience) + 1e-9))
    elif policy.kind == "capacity":
        most = upper_cut(audience, points_for(int(policy.most or 0), users, len(audience)))
    else:
        most = precision_cut(test_scores, test_labels, policy.floor or 1.0)
    return CutOffs(most, min(least, most))


def order_places(users: int, points: int) -> NDArray[np.int64]:
    """Give the places, from 0, of evenly spaced order statistics of so many users, both ends in."""
    return np.linspace(0, users - 1, points).astype(np.int64)


def points_for(count: int, users: int, points: int) -> int:
    """Give how many of the highest order statistics surely stand for at most ``count`` users.

    Users between the last one taken and the next are told from neither, and stay out: the result is
    ``count`` itself where every user is a point.
    """
    above = np.append(users - 1 - order_places(users, points)[::-1], users)
    return int(np.searchsorted(above, count, side="right")) - 1


def upper_cut(scores: NDArray[np.float32], count: int) -> float:
    """Give the lowest score with at most ``count`` scores at or above it, or one above them all."""
    if count >= len(scores):
        return float(scores.min())
    # The first score that must stay out decides; every score equal to it stays out too.
    outside = np.partition(scores, len(scores) - count - 1)[len(scores) - count - 1]
    inside = scores[scores > outside]
    return float(inside.min()) if len(inside) else _above(scores)


def lower_cut(scores: NDArray[np.float32], share: float) -> float:
    """Give the highest score with at most ``share`` of the scores below it, or one above them all."""
    count = math.floor(share * len(scores) + 1e-9)
    return _above(scores) if count >= len(scores) else float(np.partition(scores, count)[count])


def _above(scores: NDArray[np.float32]) -> float:
    return float(np.nextafter(scores.max(), np.float32(np.inf)))


def precision_cut(
    scores: NDArray[np.floating[Any]], labels: NDArray[np.bool_], floor: float
) -> float:
    """Give the lowest score such that those at or above it are positive at a rate of ``floor``.

    Raises
    ------
    ModelError
        No cut-off reaches the floor.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    precision = np.cumsum(labels[order]) / np.arange(1, len(ranked) + 1)
    last_of_run = np.append(ranked[1:] != ranked[:-1], True)
    good = np.flatnonzero(last_of_run & (precision >= floor))
    if len(good) == 0:
        best = precision[last_of_run].max() if len(ranked) else 0.0
        raise ModelError(
            f"no top tier reaches a precision of {floor} on the test period; the best is {best:.3f}"
        )
    return float(ranked[good[-1]])
