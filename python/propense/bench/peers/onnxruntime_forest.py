"""A forest by ONNX Runtime, at the batch size and threads that are best for it."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from propense.bench.forests import ONNX_FILE
from propense.bench.peers.rows import Matrix, Scorer

Score = Callable[[Matrix], NDArray[Any]]

BATCHES = (1, 64, 256, 1_024, 10_000)
_TRIAL_ROWS = 10_000
_TRIAL_S = 0.3
_TRIAL_CALLS = 1_000


class OnnxRuntimeForest(Scorer):
    """Tries every way on some rows, then takes the best.

    The ways are blocks of several sizes, each by one session with one thread or all, or shared out to
    a pool of threads with a session of one thread each; for one row, ``run`` and bound inputs.
    With ``way`` it is told which to take.
    """

    def __init__(self, *, way: str | None = None, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._way = way

    def load(self) -> None:
        """Load the ONNX file and choose."""
        model = self._forest / ONNX_FILE
        ways = one_row_ways(model) if self._one_row else batch_ways(model, self._threads)
        time_way = _seconds_a_call if self._one_row else _seconds_a_row
        some = self._rows[:_TRIAL_ROWS]
        if self._way is not None:
            ways = {self._way: ways[self._way]}
        self._trials = {name: time_way(score, some) for name, score in ways.items()}
        self._chosen = min(self._trials, key=self._trials.__getitem__)
        self._score = ways[self._chosen]

    def score(self, rows: Matrix) -> NDArray[Any]:
        """Give the probability of each row."""
        return self._score(rows)

    def facts(self) -> dict[str, Any]:
        """Say what was tried and chosen."""
        trials = {name: f"{1e6 * seconds:.2f} µs/row" for name, seconds in self._trials.items()}
        return {"chosen": self._chosen, "trials": trials}


def batch_ways(model: Path, threads: int) -> dict[str, Score]:
    """Give the ways to score many rows, by name."""
    ways: dict[str, Score] = {}
    for number in sorted({1, threads}):
        session = make_session(model, number)
        for batch in (*BATCHES, None):
            name = f"{'all rows' if batch is None else f'{batch:,}'}, {_threads(number)}"
            ways[name] = _in_blocks(_plain(session), batch)
    if threads > 1:
        for batch in BATCHES[1:]:
            ways[f"{batch:,}, {threads} sessions of 1 thread"] = pooled(model, threads, batch)
    return ways


def one_row_ways(model: Path) -> dict[str, Score]:
    """Give the ways to score one row, by name."""
    session = make_session(model, 1)
    return {"run, 1 thread": _plain(session), "bound, 1 thread": _bound(session)}


def pooled(model: Path, threads: int, batch: int) -> Score:
    """Share blocks out to threads, each with a session of one thread."""
    pool = ThreadPoolExecutor(threads)
    sessions = [_plain(make_session(model, 1)) for _ in range(threads)]

    def score(rows: Matrix) -> NDArray[Any]:
        starts = range(0, len(rows), batch)
        scores = np.empty(len(rows), np.float32)

        def part(number: int) -> None:
            for start in starts[number::threads]:
                block = rows[start : start + batch]
                scores[start : start + len(block)] = sessions[number](block)

        for done in [pool.submit(part, number) for number in range(threads)]:
            done.result()
        return scores

    return score


def make_session(model: Path, threads: int) -> onnxruntime.InferenceSession:
    """Make a session of so many threads."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _plain(session: onnxruntime.InferenceSession) -> Score:
    entry = session.get_inputs()[0].name
    return lambda rows: session.run(None, {entry: rows})[0].reshape(-1)


def _bound(session: onnxruntime.InferenceSession) -> Score:
    entry, end = session.get_inputs()[0].name, session.get_outputs()[0].name
    width = session.get_inputs()[0].shape[1]
    row, score = np.zeros((1, width), np.float32), np.zeros(1, np.float32)
    binding = session.io_binding()
    binding.bind_input(entry, "cpu", 0, np.float32, row.shape, row.ctypes.data)
    binding.bind_output(end, "cpu", 0, np.float32, score.shape, score.ctypes.data)

    def one(rows: Matrix) -> NDArray[Any]:
        row[:] = rows
        session.run_with_iobinding(binding)
        return score.copy()

    return one


def _in_blocks(score: Score, batch: int | None) -> Score:
    if batch is None:
        return score
    return lambda rows: np.concatenate(
        [score(rows[start : start + batch]) for start in range(0, len(rows), batch)]
    )


def _threads(number: int) -> str:
    return f"{number} thread" + ("s" if number > 1 else "")


def _seconds_a_row(score: Score, rows: Matrix) -> float:
    """Time a way: more and more rows until it has taken half a second, warmed up before."""
    n = 1
    score(rows[:1])
    while True:
        started = time.perf_counter()
        score(rows[:n])
        seconds = time.perf_counter() - started
        if n == len(rows) or seconds > _TRIAL_S:
            return seconds / n
        n = min(len(rows), n * 8)


def _seconds_a_call(score: Score, rows: Matrix) -> float:
    """Time a way of scoring one row: the median of calls with different rows."""
    times = []
    for at in range(min(_TRIAL_CALLS, len(rows))):
        started = time.perf_counter()
        score(rows[at : at + 1])
        times.append(time.perf_counter() - started)
    return statistics.median(times)
