"""A forest by LightGBM, which trained it."""

from __future__ import annotations

from typing import Any

import lightgbm
from numpy.typing import NDArray

from propense.bench.forests import LIGHTGBM_FILE
from propense.bench.peers.rows import Matrix, Scorer


class LightgbmForest(Scorer):
    """Scores with ``Booster.predict``."""

    def load(self) -> None:
        """Load the booster."""
        self._booster = lightgbm.Booster(model_file=str(self._forest / LIGHTGBM_FILE))

    def score(self, rows: Matrix) -> NDArray[Any]:
        """Give the probability of each row."""
        scores: NDArray[Any] = self._booster.predict(
            rows, num_threads=self._threads, validate_features=False
        )
        return scores
