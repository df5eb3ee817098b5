"""The command line: ``propense train | score | export | ingest | serve | …``."""

from __future__ import annotations

from propense.cli.app import main

__all__ = ["main"]
