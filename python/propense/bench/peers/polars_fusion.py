"""From events to tiers by Polars and ONNX Runtime: what one would write without propense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import propense as pp
from propense.bench.contender import Answer, Contender
from propense.bench.declared import texts
from propense.bench.forests import ONNX_FILE
from propense.bench.peers.grouped import grouped_events, raw_events
from propense.bench.peers.onnxruntime_forest import pooled
from propense.bench.peers.polars_features import polars_features
from propense.bench.peers.polars_plans import Engine
from propense.bench.peers.propense_fusion import tiers_answer


class PolarsFusion(Contender):
    """Gives the frame of users, scores, percentiles and tiers.

    Polars computes the features by the plan that is quickest in it, ONNX Runtime scores blocks of
    1,024 rows, one session of one thread for each of the threads.
    """

    def __init__(
        self,
        events: str,
        model: str,
        *,
        threads: int = 2,
        source: str = "grouped",
        engine: Engine = "streaming",
        batch: int = 1_024,
    ) -> None:
        self._path, self._model, self._grouped = events, Path(model), source == "grouped"
        self._threads, self._engine, self._batch = threads, engine, batch

    def prepare(self) -> None:
        """Load the model, its cut-offs, and the events; sort them if that is not to be timed."""
        model = pp.load_model(self._model)
        self._cuts, self._known = model.cut_offs, model._parts.audience
        self._score = pooled(self._model / ONNX_FILE, self._threads, self._batch)
        if self._grouped:
            self._events, self._ids = grouped_events(self._path)
        else:
            self._events = raw_events(self._path)

    def run(self) -> Any:
        """Compute features, scores, percentiles and tiers."""
        frame = polars_features(self._events, "slices", self._engine, grouped=self._grouped)
        users = self._ids.gather(frame["user"]) if self._grouped else frame["user_id"]
        matrix = frame.select(texts()).to_numpy(order="c")
        scores = self._score(matrix)
        percentile = 100.0 * np.searchsorted(self._known, scores, side="right") / len(self._known)
        return pl.DataFrame(
            {
                "user_id": users,
                "score": scores,
                "percentile": percentile.astype(np.float32),
                "tier": self._cuts.tiers(scores),
            }
        )

    def answer(self, result: Any) -> Answer:
        """Users, scores and tiers."""
        return tiers_answer(result)
