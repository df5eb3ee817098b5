"""A forest of the same size by XGBoost: trained by itself, so its answers are its own."""

from __future__ import annotations

from typing import Any

import xgboost
from numpy.typing import NDArray

from propense.bench.forests import XGBOOST_FILE
from propense.bench.peers.rows import Matrix, Scorer


class XgboostForest(Scorer):
    """Scores with ``Booster.inplace_predict``."""

    def load(self) -> None:
        """Load the booster."""
        self._booster = xgboost.Booster()
        self._booster.load_model(self._forest / XGBOOST_FILE)
        self._booster.set_param({"nthread": self._threads})

    def score(self, rows: Matrix) -> NDArray[Any]:
        """Give the probability of each row."""
        scores: NDArray[Any] = self._booster.inplace_predict(rows, validate_features=False)
        return scores
