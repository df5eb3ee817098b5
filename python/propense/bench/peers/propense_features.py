"""The features by propense: from a grouped log, or from a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

import propense as pp
from propense import _core
from propense.bench.contender import Answer, Contender, features_answer
from propense.bench.declared import texts
from propense.bench.generator import AS_OF
from propense.bench.peers.grouped import raw_events
from propense.features import compute_matrix, everyone, user_frame
from propense.instants import to_us


class PropenseFeatures(Contender):
    """Gives the matrix and the users; with ``frame`` the frame of ``compute_features``.

    With ``grouped`` the log is read before; otherwise reading the table into a log is part of the
    work.
    """

    def __init__(self, events: str, *, grouped: bool = True, frame: bool = False) -> None:
        self._events, self._grouped, self._frame = events, grouped, frame

    def prepare(self) -> None:
        """Read the table, and group it if that is not to be timed."""
        self._table = raw_events(self._events)
        self._features = pp.FeatureSet(texts())
        if self._grouped:
            self._log = pp.read_events(self._table)
            del self._table

    def run(self) -> Any:
        """Compute the features of everyone with an event before the as_of."""
        log = self._log if self._grouped else pp.read_events(self._table)
        if self._frame:
            return pp.compute_features(log, self._features, as_of=AS_OF)
        as_of_us = to_us(AS_OF)
        plan = _core.Plan.compile(self._features.spec, log.core, strict=True, before_us=as_of_us)
        users = everyone(log, as_of_us)
        return user_frame(log, users), compute_matrix(log, plan, users, as_of_us)

    def answer(self, result: Any) -> Answer:
        """Users and matrix."""
        if isinstance(result, pl.DataFrame):
            matrix = result.drop("user_id").to_numpy()
            return features_answer(result["user_id"].to_numpy().astype(np.str_), matrix)
        frame, matrix = result
        return features_answer(frame["user_id"].to_numpy().astype(np.str_), matrix)

    def facts(self) -> dict[str, Any]:
        """Bytes that the log holds, where the extension says so."""
        core = getattr(getattr(self, "_log", None), "core", None)
        names = ("memory_bytes", "bytes_per_event", "n_events", "n_users")
        return {name: getattr(core, name) for name in names if core is not None}
