"""A forest by propense, from the ONNX file."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from propense import _core
from propense.bench.forests import ONNX_FILE
from propense.bench.peers.rows import Matrix, Scorer
from propense.runtime import initialise


class PropenseForest(Scorer):
    """Scores with the engine that propense chooses at load."""

    def load(self) -> None:
        """Load the ONNX file."""
        initialise()
        content = (self._forest / ONNX_FILE).read_bytes()
        self._model = _core.OnnxModel(content, self._rows.shape[1])

    def score(self, rows: Matrix) -> NDArray[Any]:
        """Give the probability of each row."""
        return self._model.score(rows)

    def facts(self) -> dict[str, Any]:
        """Say which engine was chosen."""
        model = self._model
        return {name: getattr(model, name) for name in ("engine", "native")}
