"""The LightGBM forest compiled to machine code by TL2cgen and the C compiler."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import tl2cgen
import treelite
from numpy.typing import NDArray

from propense.bench.forests import LIGHTGBM_FILE
from propense.bench.peers.rows import Matrix, Scorer

_LIBRARY = "tl2cgen.so"


class Tl2cgenForest(Scorer):
    """Scores with the compiled library, which is kept beside the forest."""

    def load(self) -> None:
        """Compile, if not done before, for this machine's instructions."""
        library = self._forest / _LIBRARY
        self._compiled_s: float | None = None
        if not library.exists():
            started = time.monotonic()
            model = treelite.frontend.load_lightgbm_model(str(self._forest / LIGHTGBM_FILE))
            tl2cgen.export_lib(
                model,
                toolchain="gcc",
                libpath=str(library),
                params={"parallel_comp": 16, "quantize": 1},
                nthread=self._threads,
                options=["-march=native"],
            )
            self._compiled_s = time.monotonic() - started
        self._predictor = tl2cgen.Predictor(str(library), nthread=self._threads)

    def score(self, rows: Matrix) -> NDArray[Any]:
        """Give the probability of each row."""
        return np.asarray(self._predictor.predict(tl2cgen.DMatrix(rows))).reshape(-1)

    def facts(self) -> dict[str, Any]:
        """Say how long the compiler took."""
        return {} if self._compiled_s is None else {"compiled_s": round(self._compiled_s, 1)}
