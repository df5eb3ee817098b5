"""Which features matter to a model as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from propense.cuts import choose_cuts
from propense.events import EventLog
from propense.exceptions import DataError, ModelError
from propense.explain.asked import Asked
from propense.instants import Instant, in_words, to_us
from propense.progress import track
from propense.reach import require_passed
from propense.training.metrics import auc
from propense.training.rows import Question

if TYPE_CHECKING:
    from propense.model import Model

Kind = Literal["gain", "permutation", "contribution"]
MAX_ROWS = 10_000
"""Users that a permutation is tried on, or whose contributions are averaged."""
REPEATS = 3


def importance(
    model: Model,
    kind: Kind = "gain",
    *,
    log: EventLog | None = None,
    as_of: Instant | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """Give each feature's importance; see :meth:`propense.Model.importance`."""
    if kind == "gain":
        return _gain(model)
    if kind not in ("permutation", "contribution"):
        raise DataError(f"kind is {kind!r}; expected 'gain', 'permutation' or 'contribution'")
    if log is None:
        raise DataError(f"{kind} importance is measured on a log: give log=…")
    return (
        _contribution(model, log, as_of)
        if kind == "contribution"
        else _permutation(model, log, as_of, seed)
    )


def _gain(model: Model) -> pl.DataFrame:
    known = model.training.get("gain")
    if known is None:
        raise ModelError(
            "the gain of splits is not known of this model: it was trained elsewhere or by an earlier "
            "version, or has rates by recency and frequency; "
            'model.importance("permutation", log=log) works for any model'
        )
    shares = [float(known.get(name, 0.0)) for name in model.features.names]
    return _ranked(model.features.names, shares)


def _contribution(model: Model, log: EventLog, as_of: Instant | None) -> pl.DataFrame:
    asked = Asked.of(model, log, None, as_of)
    if not len(asked.users):
        raise DataError(f"nobody is in the audience as of {in_words(asked.as_of_us)}")
    chosen = np.linspace(0, len(asked.users) - 1, min(MAX_ROWS, len(asked.users))).astype(np.int64)
    sample = Asked(model, asked.log, asked.users[chosen], asked.as_of_us, asked.base, asked.reads)
    sizes = np.zeros(len(model.features))
    sizes[asked.reads] = np.abs(sample.whole()[0]).mean(axis=0, dtype=np.float64)
    return _ranked(model.features.names, sizes.tolist())


def _permutation(model: Model, log: EventLog, as_of: Instant | None, seed: int) -> pl.DataFrame:
    log = model.suited(log)
    question = Question(log, model.goal, model.features.timezone)
    first_us, last_us = log.span_us
    if as_of is None:
        as_of_us = choose_cuts(first_us, last_us + 1, model.goal.horizon_us).test_us
    else:
        as_of_us = to_us(as_of, model.features.timezone)
    require_passed(log, model.goal, as_of_us)
    rows = question.rows(model.features, [as_of_us], max_rows=MAX_ROWS, seed=seed)
    if not len(rows) or rows.label.all() or not rows.label.any():
        raise DataError(
            f"as of {in_words(as_of_us)} {int(rows.label.sum())} of {len(rows)} users reached the goal; "
            "importance needs some who did and some who did not"
        )
    random = np.random.default_rng(seed)
    matrix = np.ascontiguousarray(rows.matrix)
    whole = auc(rows.label, model.score_matrix(matrix))
    drops = np.zeros((len(model.features), REPEATS))
    with track("permuting features", len(model.features)) as report:
        for column in range(len(model.features)):
            kept = matrix[:, column].copy()
            # A feature that is the same for everyone cannot be permuted.
            if not np.array_equal(kept, np.full_like(kept, kept[0]), equal_nan=True):
                for repeat in range(REPEATS):
                    matrix[:, column] = random.permutation(kept)
                    drops[column, repeat] = whole - auc(rows.label, model.score_matrix(matrix))
                matrix[:, column] = kept
            report(column + 1)
    frame = _ranked(model.features.names, drops.mean(axis=1).tolist())
    spread = pl.DataFrame({"feature": model.features.names, "spread": drops.std(axis=1, ddof=1)})
    return frame.join(spread, on="feature", how="left", maintain_order="left")


def _ranked(names: list[str], values: list[float]) -> pl.DataFrame:
    frame = pl.DataFrame(
        {"feature": names, "importance": values}, schema_overrides={"importance": pl.Float64}
    )
    return frame.sort("importance", descending=True, maintain_order=True)
