"""Proxies: how well the features of a model tell protected groups apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.audit.groups import Grouping
from propense.features import FeatureSet, names_of_attributes
from propense.training.extra import require_train_extra
from propense.training.metrics import auc

SAMPLE_USERS = 6_000
"""Users that the check learns from at most."""
MIN_EACH = 50
"""A group with fewer users in the sample is not looked for."""
_FOLDS = 3
_ROUNDS = 30
_NAMED = 3
_LIGHTGBM = {
    "objective": "multiclass",
    "num_leaves": 15,
    "learning_rate": 0.15,
    "min_data_in_leaf": 20,
    "max_bin": 63,
    "feature_fraction": 0.5,
    "num_threads": 1,
    "deterministic": True,
    "verbose": -1,
}


def proxies(
    features: FeatureSet,
    matrix: NDArray[np.float32],
    groupings: Sequence[Grouping],
    *,
    seed: int = 0,
) -> pl.DataFrame:
    """Predict each user's group from features, and say how well that goes.

    Features that read the attribute itself are named apart and not used. Trees learn on two thirds of
    at most 6,000 users and predict the last third, three times over.

    Parameters
    ----------
    features
        The features, in the order of the matrix.
    matrix
        Their values, float32 of shape (users, width), NaN for missing.
    groupings
        The users' groups, one grouping a protected attribute.
    seed
        Draws the sample and the folds.

    Returns
    -------
    polars.DataFrame
        One row a group with at least 50 users in the sample: ``by``, ``group``, ``auc`` (the chance
        that a user of the group looks more like it than one who is not), ``tells_most`` (the three
        features that the trees used most, by gain, for the attribute) and ``read_directly`` (features
        that read the attribute itself).

    Raises
    ------
    TrainingError
        The extra ``train`` is not installed.
    """
    require_train_extra("lightgbm")
    rows = []
    for grouping in groupings:
        direct = names_of_attributes(features, [grouping.by])
        used = [place for place, name in enumerate(features.names) if name not in direct]
        known = np.flatnonzero(grouping.codes >= 0)
        if len(known) > SAMPLE_USERS:
            known = np.random.default_rng(seed).choice(known, SAMPLE_USERS, replace=False)
        codes = grouping.codes[known]
        sizes = np.bincount(codes, minlength=len(grouping.names))
        groups = np.flatnonzero(sizes >= MIN_EACH)
        if len(groups) < 2 or not used:
            continue
        kept = np.isin(codes, groups)
        labels = np.searchsorted(groups, codes[kept])
        predicted, gain = _out_of_fold(matrix[known[kept]][:, used], labels, len(groups), seed)
        most = [features.names[used[place]] for place in np.argsort(-gain)[:_NAMED] if gain[place]]
        for place, group in enumerate(groups):
            value = auc(labels == place, predicted[:, place])
            rows.append((grouping.by, grouping.names[group], value, ", ".join(most), direct))
    schema: dict[str, Any] = {
        "by": pl.String,
        "group": pl.String,
        "auc": pl.Float64,
        "tells_most": pl.String,
        "read_directly": pl.List(pl.String),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _out_of_fold(
    matrix: NDArray[np.float32], labels: NDArray[np.int64], groups: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give each row's probabilities by trees that did not see it, and the gain of each feature."""
    import lightgbm

    fold = np.random.default_rng(seed).permutation(len(labels)) % _FOLDS
    predicted = np.zeros((len(labels), groups))
    gain = np.zeros(matrix.shape[1])
    for out in range(_FOLDS):
        inside = fold != out
        data = lightgbm.Dataset(matrix[inside], label=labels[inside])
        settings = _LIGHTGBM | {"num_class": groups, "seed": seed}
        booster = lightgbm.train(settings, data, num_boost_round=_ROUNDS)
        predicted[~inside] = booster.predict(matrix[~inside])
        gain += booster.feature_importance("gain")
    return predicted, gain
