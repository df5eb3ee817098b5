"""From events to tiers by propense: ``Model.score``."""

from __future__ import annotations

from typing import Any

import numpy as np

import propense as pp
from propense.bench.contender import Answer, Contender
from propense.bench.generator import AS_OF
from propense.bench.peers.grouped import raw_events


class PropenseFusion(Contender):
    """Gives the frame of users, scores, percentiles and tiers.

    ``source`` is ``grouped`` (a log read before), ``table`` (reading the table into a log is part of
    the work) or ``folder`` (a saved log that is opened and scored).
    """

    def __init__(self, events: str, model: str, *, source: str = "grouped") -> None:
        self._events, self._folder, self._source = events, model, source

    def prepare(self) -> None:
        """Load the model, and what is not to be timed of the log."""
        self._model = pp.load_model(self._folder)
        if self._source == "table":
            self._table = raw_events(self._events)
        elif self._source == "grouped":
            self._log = pp.read_events(raw_events(self._events))
        else:
            self._saved = saved_log(self._events)

    def run(self) -> Any:
        """Score everyone with an event before the as_of."""
        if self._source == "table":
            self._log = pp.read_events(self._table)
        elif self._source == "folder":
            self._log = pp.open_log(self._saved)
        return self._model.score(self._log, as_of=AS_OF)

    def answer(self, result: Any) -> Answer:
        """Users, scores and tiers."""
        return tiers_answer(result)

    def facts(self) -> dict[str, Any]:
        """Say which engine the model uses."""
        return {"engine": self._model.runs_on}


def saved_log(events: str) -> str:
    """Give the folder of the log, grouped and saved beside its Parquet file."""
    folder = events.removesuffix(".parquet") + ".log"
    try:
        pp.open_log(folder)
    except pp.PropenseError:
        pp.read_events(raw_events(events)).save(folder)
    return folder


def tiers_answer(scores: Any) -> Answer:
    """Give users, scores, percentiles and tiers, ascending by user."""
    ordered = scores.sort("user_id")
    return {
        "user": ordered["user_id"].cast(str).to_numpy().astype(np.str_),
        "score": ordered["score"].to_numpy(),
        "percentile": ordered["percentile"].to_numpy(),
        "tier": ordered["tier"].to_physical().to_numpy().astype(np.float32),
    }
