"""The peer: a Python gRPC server around the same model, written as well as Python allows.

The log is read once and grouped; a request computes its user's features afresh and scores them, both in
propense's kernels, so what is compared is the service, not the arithmetic. Two ways of calling them:
``kernel`` (the plan is compiled once, the bound functions are called on the log's row of that user) and
``library`` (``Model.score`` on a log of the one user, as the documentation shows it).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import polars as pl

import propense as pp
from propense import _core
from propense._proto import scoring_pb2, scoring_pb2_grpc, types_pb2

TIERS = {
    "most_likely": types_pb2.TIER_MOST_LIKELY,
    "moderately_likely": types_pb2.TIER_MODERATELY_LIKELY,
    "least_likely": types_pb2.TIER_LEAST_LIKELY,
}
Scorer = Callable[[str, int], tuple[float, float, str]]


def kernel_scorer(model: pp.Model, log: pp.EventLog) -> Scorer:
    """Score one user of the whole log; everything that can be made beforehand is."""
    end_us = log.span_us[1] + 1
    plan = _core.Plan.compile(model.features.spec, log.core, strict=False, before_us=end_us)
    everyone = np.arange(log.n_users, dtype=np.uint32)
    ids = pl.Series(log.core.user_ids(everyone)).to_list()
    places = {user: everyone[place : place + 1] for place, user in enumerate(ids)}
    onnx, known, cuts = model._core, model._parts.audience, model.cut_offs

    def score(user: str, as_of_us: int) -> tuple[float, float, str]:
        scores = _core.score_users(log.core, plan, onnx, places[user], as_of_us=as_of_us)
        value = float(scores[0])
        percentile = 100.0 * int(known.searchsorted(scores[0], side="right")) / len(known)
        if value >= cuts.most:
            return value, percentile, "most_likely"
        return value, percentile, "least_likely" if value < cuts.least else "moderately_likely"

    return score


def library_scorer(model: pp.Model, events: pl.DataFrame) -> Scorer:
    """Score one user's log with the documented calls."""
    logs = {
        str(user[0]): pp.read_events(part)
        for user, part in events.partition_by("user_id", as_dict=True).items()
    }

    def score(user: str, as_of_us: int) -> tuple[float, float, str]:
        frame = model.score(logs[user], as_of=pp.instants.from_us(as_of_us))
        _, value, percentile, tier = frame.row(0)
        return value, percentile, tier

    return score


class Scoring(scoring_pb2_grpc.ScoringServiceServicer):
    """``ScoreUser`` for one model; the rest is not offered."""

    def __init__(self, score: Scorer, version: types_pb2.ModelVersion) -> None:
        self._score, self._version = score, version

    def answer(self, request: Any) -> Any:
        """Make the answer to one request."""
        as_of_us = request.as_of.seconds * 1_000_000 + request.as_of.nanos // 1_000
        value, percentile, tier = self._score(request.user_id, as_of_us)
        standing = scoring_pb2.Score(
            outcome=scoring_pb2.OUTCOME_SCORED, score=value, percentile=percentile, tier=TIERS[tier]
        )
        return scoring_pb2.ScoreUserResponse(
            user_id=request.user_id,
            as_of=request.as_of,
            scores=[scoring_pb2.ModelScore(model=self._version, score=standing)],
        )

    def ScoreUser(self, request: Any, context: Any) -> Any:
        try:
            return self.answer(request)
        except KeyError:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such user")


class AsyncScoring(Scoring):
    """The same on an event loop: a call is too short to be worth a thread."""

    async def ScoreUser(self, request: Any, context: Any) -> Any:
        try:
            return self.answer(request)
        except KeyError:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such user")


OPTIONS = (("grpc.so_reuseport", 1),)


async def serve_async(servicer: Scoring, address: str) -> None:
    """Serve on an event loop until SIGTERM."""
    server = grpc.aio.server(options=OPTIONS)
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(servicer, server)
    server.add_insecure_port(address)
    await server.start()
    print("ready", flush=True)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: os._exit(0))
    await server.wait_for_termination()


def serve_threads(servicer: Scoring, address: str, threads: int) -> None:
    """Serve on a pool of threads until SIGTERM."""
    server = grpc.server(ThreadPoolExecutor(threads), options=OPTIONS)
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(servicer, server)
    server.add_insecure_port(address)
    server.start()
    print("ready", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.wait_for_termination()


def main() -> None:
    """Load everything, then serve; several processes may share a port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument(
        "--address", required=True, help="host:port, shared with other processes of this"
    )
    parser.add_argument("--how", choices=("kernel", "library"), default="kernel")
    parser.add_argument("--style", choices=("asyncio", "threads"), default="asyncio")
    given = parser.parse_args()
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    # Calls of one user are too short to share out among threads.
    os.environ["RAYON_NUM_THREADS"] = "1"
    model = pp.load_model(given.model)
    if given.how == "kernel":
        scorer = kernel_scorer(model, pp.read_events(given.events))
    else:
        scorer = library_scorer(model, pl.read_parquet(given.events))
    name = json.dumps({"how": given.how, "style": given.style})
    version = types_pb2.ModelVersion(name="buys", digest=name)
    if given.style == "asyncio":
        asyncio.run(serve_async(AsyncScoring(scorer, version), given.address))
    else:
        serve_threads(Scoring(scorer, version), given.address, threads=4)


def end_with(parent: int) -> None:
    """End this process once its parent is gone, however that came about."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    main()
