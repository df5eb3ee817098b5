"""Validation: what was predicted beside what happened, and how far users have drifted since."""

from __future__ import annotations

from propense.validate.validation import Validation

__all__ = ["Validation"]
