"""What a server's metrics page shows of a validation: a file beside the model's folder."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from propense.instants import to_us
from propense.output import write_text

if TYPE_CHECKING:
    from propense.validate.validation import Validation

FORMAT = 1
ENDING = ".validation.json"


def write_published(found: Validation, model: Path) -> Path:
    """Write the file of a validation; see ``Validation.publish``."""
    # Also of `.` and of a folder with a slash at its end.
    folder = model.resolve()
    total = found.forecast.total
    content = {
        "format": FORMAT,
        "model_digest": found.model_digest,
        "validated_us": to_us(datetime.now(UTC)),
        "as_of_us": to_us(found.as_of),
        "ends_us": to_us(found.ends),
        "verdict": found.verdict,
        "users": total.users,
        "expected": total.expected,
        "low": total.low,
        "high": total.high,
        "actual": found.actual,
        "score_drift": _largest(found.drift, "score"),
        "feature_drift": _largest(found.drift, "feature"),
    }
    text = json.dumps(content, indent=2, allow_nan=False)
    return write_text(f"{text}\n", folder.with_name(folder.name + ENDING))


def _largest(drift: pl.DataFrame | None, of: str) -> float | None:
    """Give the largest population stability; None for models that say nothing of training."""
    if drift is None:
        return None
    found = drift.filter(pl.col("of") == of)["stability"].max()
    return None if found is None else float(found)  # type: ignore[arg-type]
