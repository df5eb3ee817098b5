"""What a run measures, and how large."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from propense.bench.forests import ForestSize
from propense.bench.generator import LogSize
from propense.bench.race import Pace, Say

SECTIONS = ("features", "forest", "fusion", "scaling", "limits")


@dataclass(frozen=True)
class BenchPlan:
    """Sizes and limits of a run.

    Attributes
    ----------
    log
        The events that features and fusion are measured on.
    scaling_events
        Sizes at which the cost of an event is compared, with as many events a user as ``log``.
    forest_sizes, forest_rows
        Which forests, and on how many rows.
    fusion_forest
        The forest of the model that events are scored with.
    threads
        How many every contender may use.
    pace
        How often to time.
    full
        Race every plan of every peer, not only the one that was found to be its quickest.
    cache
        Folder of logs, models and compiled forests.
    say
        Called with a line for each thing that happens.
    """

    log: LogSize
    scaling_events: tuple[int, ...]
    forest_rows: int
    fusion_forest: ForestSize
    threads: int
    pace: Pace
    cache: Path
    say: Say
    full: bool = False
    forest_sizes: tuple[ForestSize, ...] = (ForestSize(300, 31), ForestSize(500, 64))
