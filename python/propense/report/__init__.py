"""A model in one page: how good it is, against what, and what it says of tomorrow."""

from __future__ import annotations

from propense.report.report import Report, report

__all__ = ["Report", "report"]
