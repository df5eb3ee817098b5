"""The model that events are scored with from end to end: trained once on a small log, then kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import propense as pp
from propense.bench.declared import texts
from propense.bench.forests import ForestSize, exported, leaves_of, trained
from propense.bench.generator import AS_OF, LogSize, cached_events

VERSION = 1
_USERS = 12_000
_EVENTS_A_USER = 50


def cached_model(size: ForestSize, folder: Path, *, users: int = _USERS) -> Path:
    """Give the folder of a model on the 198 features, trained if it is not there.

    Raises
    ------
    TrainingError
        LightGBM or onnx is not installed.
    """
    place = folder / f"model-v{VERSION}-{size.trees}x{size.leaves}-{users}"
    if not place.exists():
        small = LogSize(users * _EVENTS_A_USER, users, seed=5)
        log = pp.read_events(cached_events(small, folder))
        goal = pp.Goal("buys", "count(purchase) >= 1", horizon="30d")
        features = pp.FeatureSet(texts())
        training = pp.export_training(log, goal, features=features, as_of=AS_OF)
        newest = training.filter(training["as_of"] == training["as_of"].max())
        matrix = newest.select(features.names).to_numpy().astype(np.float32)
        booster = trained(matrix, newest["label"].to_numpy().astype(np.float64), size)
        if leaves_of(booster)["leaves"] < 0.9 * size.leaves:
            raise pp.TrainingError(
                f"{users:,} users give trees of {leaves_of(booster)['leaves']:.0f} leaves; "
                f"{size.leaves} were asked for. Train on more users."
            )
        onnx = exported(booster, len(features))
        model = pp.Model.from_onnx(onnx, features=features, goal=goal, log=log, as_of=AS_OF)
        model.save(place)
    return place
