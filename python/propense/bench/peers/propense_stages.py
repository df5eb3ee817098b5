"""From Parquet to a file of scores by propense, one stage after another, each timed."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import propense as pp
from propense import _core
from propense.bench.contender import Answer, Contender
from propense.bench.generator import AS_OF
from propense.bench.peers.grouped import raw_events
from propense.bench.peers.propense_fusion import tiers_answer
from propense.features import compute_matrix, everyone
from propense.instants import to_us
from propense.output import write_table

T = TypeVar("T")


class PropenseStages(Contender):
    """Its facts are the median seconds of each stage.

    ``features`` and ``forest`` (bins included) write and read the whole matrix; ``fused`` is the same
    work as the model does it, percentiles and tiers included.
    """

    def __init__(self, events: str, model: str) -> None:
        self._events, self._folder = events, model
        self._stages: dict[str, list[float]] = {}

    def prepare(self) -> None:
        """Load the model."""
        self._model = pp.load_model(self._folder)

    def run(self) -> Any:
        """Go through all the stages."""
        table = self._timed("read", lambda: raw_events(self._events))
        log = self._timed("group", lambda: pp.read_events(table))
        as_of_us = to_us(AS_OF)
        spec = self._model.features.spec
        plan = _core.Plan.compile(spec, log.core, strict=True, before_us=as_of_us)
        users = everyone(log, as_of_us)
        matrix = self._timed("features", lambda: compute_matrix(log, plan, users, as_of_us))
        self._timed("forest", lambda: self._model.score_matrix(matrix))
        scores = self._timed("fused", lambda: self._model.score(log, as_of=AS_OF))
        with tempfile.TemporaryDirectory() as folder:
            self._timed("output", lambda: write_table(scores, Path(folder) / "scores.parquet"))
        return scores

    def answer(self, result: Any) -> Answer:
        """Users, scores and tiers."""
        return tiers_answer(result)

    def facts(self) -> dict[str, Any]:
        """Give the median of each stage's times, the first, which warms up, left out."""
        return {
            f"{name}_s": statistics.median(times[1:] or times)
            for name, times in self._stages.items()
        }

    def _timed(self, stage: str, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        result = work()
        self._stages.setdefault(stage, []).append(time.perf_counter() - started)
        return result
