"""A contender that scores rows: all at once, or one after another."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propense.bench.contender import Answer, Contender

Matrix = NDArray[np.float32]
_ONE_ROW_ANSWERS = 500


class Scorer(Contender):
    """Scores the rows of a file with a forest's folder; with ``one_row`` a run is the next row alone."""

    def __init__(self, forest: str, rows: str, *, threads: int = 2, one_row: bool = False) -> None:
        self._forest, self._path = Path(forest), rows
        self._threads, self._one_row, self._next = threads, one_row, 0

    @abstractmethod
    def load(self) -> None:
        """Load the model."""

    @abstractmethod
    def score(self, rows: Matrix) -> NDArray[Any]:
        """Give the probability of each row."""

    def prepare(self) -> None:
        """Load rows and model."""
        self._rows: Matrix = np.load(self._path)
        self.load()

    def run(self) -> Any:
        """Score all rows, or the next one."""
        if not self._one_row:
            return self.score(self._rows)
        at = self._next
        self._next = (at + 1) % len(self._rows)
        return self.score(self._rows[at : at + 1])

    def answer(self, result: Any) -> Answer:
        """Scores, float32; with ``one_row`` those of some rows, each scored alone."""
        if not self._one_row:
            return {"score": np.asarray(result, np.float32).reshape(-1)}
        some = range(min(_ONE_ROW_ANSWERS, len(self._rows)))
        scores = [np.asarray(self.score(self._rows[at : at + 1])).reshape(-1) for at in some]
        return {"score": np.concatenate(scores).astype(np.float32)}
