"""Runs contenders against each other: answers compared first, then alternating timed runs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from propense.bench.answers import Tolerance, disagreement
from propense.bench.contender import Answer, Entry, missing_packages
from propense.exceptions import PropenseError

_THREAD_VARIABLES = ("RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "OMP_NUM_THREADS")


Say: TypeAlias = Callable[[str], object]


def _silent(_line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Pace:
    """How often to time: ``rounds`` alternating runs of each, fewer for who has used ``seconds``.

    With ``calls``, a run is the median of that many short calls.
    """

    rounds: int = 5
    seconds: float = 20.0
    calls: int | None = None


@dataclass
class Timing:
    """What was measured of one contender; times in seconds, in the order of the runs."""

    label: str
    threads: int
    runs: list[float] = field(default_factory=list)
    cpu_runs: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    skipped: str | None = None
    difference: str | None = None

    @property
    def median(self) -> float:
        """Median of the runs; NaN without any."""
        return statistics.median(self.runs) if self.runs else float("nan")

    @property
    def spread(self) -> tuple[float, float]:
        """Shortest and longest run."""
        return (min(self.runs), max(self.runs)) if self.runs else (float("nan"),) * 2


def race(
    entries: Sequence[Entry], *, tolerance: Tolerance | None, pace: Pace, say: Say = _silent
) -> list[Timing]:
    """Time contenders side by side.

    Parameters
    ----------
    entries
        Who takes part; the first one's answer is what the others' are compared with.
    tolerance
        How far answers may differ; None: they are not compared.
    pace
        How often to time.
    say
        Called with a line for each thing that happens.

    Returns
    -------
    list of Timing
        One an entry, in order. A contender whose package is missing, that fails, or whose answer
        is another one is ``skipped`` with the reason, and not timed.
    """
    timings = [Timing(entry.label, entry.threads) for entry in entries]
    running: list[tuple[Runner, Timing]] = []
    first: Answer | None = None
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        for place, (entry, timing) in enumerate(zip(entries, timings, strict=True)):
            missing = missing_packages(entry.kind)
            if missing:
                timing.skipped = f"not installed: pip install {' '.join(missing)}"
                say(f"skipped {entry.label}: {timing.skipped}")
                continue
            runner = Runner(entry, Path(folder) / str(place))
            stack.callback(runner.stop)
            try:
                answer = runner.prepared()
            except WorkerFailedError as failed:
                timing.skipped = str(failed)
                say(f"skipped {entry.label}: {timing.skipped}")
                continue
            compared = tolerance is not None and first is not None
            if tolerance is not None and first is not None:
                timing.difference = disagreement(first, answer, tolerance)
            if timing.difference is not None:
                timing.skipped = f"another answer: {timing.difference}"
                say(f"skipped {entry.label}: {timing.skipped}")
                runner.stop()
                continue
            first = answer if first is None else first
            say(f"{entry.label}: ready" + (", same answers" if compared else ""))
            running.append((runner, timing))
        _alternate(running, pace)
        for runner, timing in running:
            timing.facts = runner.ask({"do": "facts"})
            say(f"{timing.label}: {timing.median:.4g} s")
    return timings


def _alternate(running: list[tuple[Runner, Timing]], pace: Pace) -> None:
    command = {"do": "run"} if pace.calls is None else {"do": "repeat", "calls": pace.calls}
    for turn in range(pace.rounds):
        for runner, timing in running:
            if turn >= 2 and sum(timing.runs) * (pace.calls or 1) > pace.seconds:
                continue
            measured = runner.ask(command)
            timing.runs.append(measured["seconds"])
            timing.cpu_runs.append(measured["cpu_seconds"])
            timing.peak_bytes = measured["peak_bytes"]


class WorkerFailedError(PropenseError, RuntimeError):
    """A contender's process ended before it had answered."""


class Runner:
    """A contender's process."""

    def __init__(self, entry: Entry, scratch: Path) -> None:
        self._errors = scratch.with_suffix(".txt").open("w+")
        self._answer = scratch.with_suffix(".npz")
        limits = dict.fromkeys(_THREAD_VARIABLES, str(entry.threads))
        parameters = json.dumps(dict(entry.parameters))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "propense.bench.worker", entry.kind, parameters],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | limits | {"PYTHONWARNINGS": "ignore"},
        )

    def prepared(self) -> Answer:
        """Prepare and run once, which warms up too; give the answer."""
        self.ask({"do": "prepare"})
        self.ask({"do": "answer", "path": str(self._answer)})
        with np.load(self._answer) as arrays:
            answer = {name: arrays[name] for name in arrays.files}
        self._answer.unlink()
        return answer

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send a command and wait for its reply.

        Raises
        ------
        WorkerFailedError
            The process ended; the message has its last line.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:  # pragma: no cover - both are asked for above
            raise WorkerFailedError("the process has no pipes")
        try:
            stdin.write(json.dumps(command) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.wait()
            self._errors.seek(0)
            said = [text.strip() for text in self._errors if text.strip()]
            self.stop()
            raise WorkerFailedError(said[-1] if said else "it ended without a word")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def stop(self) -> None:
        """End the process; once is enough."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()
