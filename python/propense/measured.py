"""What a model's quality was measured on, and whether it may have learnt from that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from propense.parts import ModelParts

HELD_OUT = "held_out"
MAY_HAVE_SEEN = "may_have_seen"

MEASURED_ON = {
    HELD_OUT: "a period that training did not see",
    "out_of_fold": "users that training did not see; the log is too short to hold out a period",
    "in_sample": "the users that it was trained on, which flatters it; there was no earlier period to "
    "learn from instead",
    "calibrated_on_test": "the period that it was calibrated on; no earlier one would do for that",
    MAY_HAVE_SEEN: "users from whom it may have learnt, which would flatter it; it was trained "
    "elsewhere, and nothing says that it did not see this period",
}
"""What quality was measured on, by the kind that the manifest names."""

MEASURES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "log_loss": "log loss",
    "expected_calibration_error": "expected calibration error",
}
"""The measures of a manifest's metrics, in the order in which they are shown."""


def kind_of(parts: ModelParts) -> str:
    """Give the kind of a model's metrics.

    Earlier versions wrote that models trained elsewhere were held out, though nobody had said so.
    """
    kind: str = parts.metrics["kind"]
    unsaid = trained_elsewhere(parts) and "trained_before" not in parts.training
    return MAY_HAVE_SEEN if unsaid else kind


def trained_elsewhere(parts: ModelParts) -> bool:
    """Say whether the model was brought along, so that propense does not know what it learnt from."""
    return parts.training.get("trained") == "elsewhere"


def may_have_seen_test(parts: ModelParts) -> bool:
    """Say whether the model may have learnt from the period that its quality was measured on."""
    return kind_of(parts) == MAY_HAVE_SEEN


def may_have_seen_past(parts: ModelParts) -> bool:
    """Say whether the model may have learnt, or been calibrated, on a past date that it was tried on."""
    past = parts.backtest
    return past is not None and not past.retrained and kind_of(parts) != HELD_OUT
