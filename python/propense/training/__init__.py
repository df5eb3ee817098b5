"""Training: rows, the default trainer, metrics, models from elsewhere."""

from __future__ import annotations

from propense.training.rows import export_training
from propense.training.train import train

__all__ = ["export_training", "train"]
