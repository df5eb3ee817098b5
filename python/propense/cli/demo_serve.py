"""The demo's second half: its events into a store, a server, and a client that asks it."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import polars as pl
from rich.console import Console

from propense.cli.demo_folder import STORE
from propense.instants import in_words, to_us
from propense.server import serve
from propense.tables import tier_summary, tier_table
from propense.terminal import verbatim_console

ADDRESS = "127.0.0.1:50051"
_ASK = "propense.v1.ScoringService/ScoreUser"


def serve_demo(out: Path, model: str, scores: pl.DataFrame, as_of: datetime, keep: bool) -> None:
    """Serve what the demo has made, compare the server's scores with its own, and say how to go on.

    Parameters
    ----------
    out
        The demo's folder, taken by it.
    model
        Its model's name.
    scores
        What scoring in this process gave at ``as_of``.
    as_of
        The instant to compare at.
    keep
        Whether to go on serving, at a port that is known beforehand, until Ctrl-C.
    """
    from propense.client import Client

    console = verbatim_console()
    store = out / STORE
    if store.exists():
        shutil.rmtree(store)  # another demo's, or the folder would not have been taken
    with serve(store, out / "models", address=ADDRESS if keep else "127.0.0.1:0") as server:
        with Client(server.address, timeout=60.0) as client:
            receipt = client.ingest(
                out / "events.parquet", profiles=out / "profiles.parquet", time="ts"
            )
            console.print(f"\n{receipt.accepted:,} events are in {store}, safe on disk")
            best = scores.row(int(scores["score"].arg_max() or 0), named=True)["user_id"]
            one = client.score_user(best, models=model, as_of=as_of)[model]
            console.print(f"{best} by gRPC: score {one.score:.4f}, {_words(one.tier)}")
            served = client.score_audience(model, as_of=as_of)
        console.print(tier_table(tier_summary(served), "the whole audience by gRPC"))
        _compare(console, served, scores)
        where = server.address if keep else ADDRESS
        _how_to_go_on(console, store, out, asking(where, best, as_of), keep)
        if keep:
            server.wait()
            console.print("stopped")


def _compare(console: Console, served: pl.DataFrame, scores: pl.DataFrame) -> None:
    """Say how many scores differ from those computed in this process."""
    both = scores.join(served, on="user_id", how="full", suffix="_served")
    different = both.filter(pl.col("score").ne_missing(pl.col("score_served"))).height
    console.print(f"{different:,} of {both.height:,} scores differ from those computed here")


def asking(address: str, user: str, as_of: datetime) -> list[str]:
    """Give commands that ask for a user's score as of an instant.

    Without it they would ask as of the server's clock, long after the simulated log's end.
    """
    when = in_words(to_us(as_of), always_time=True)
    asked = json.dumps({"user_id": user, "as_of": when})
    call = f"pp.Client('{address}').score_user('{user}', as_of='{when}')"
    return [
        f"grpcurl -plaintext -d '{asked}' {address} {_ASK}",
        f'python -c "import propense as pp; print({call})"',
    ]


def _how_to_go_on(console: Console, store: Path, out: Path, asks: list[str], keep: bool) -> None:
    lines = ["", "go on with:" if keep else "go on with, once it serves again:"]
    if not keep:
        lines.append(f"  propense serve --store {store} --models {out / 'models'}")
    lines += [f"  {ask}" for ask in asks]
    lines += ["serving; Ctrl-C stops it"] if keep else []
    for line in lines:
        console.print(line, soft_wrap=True)


def _words(tier: str | None) -> str:
    return (tier or "no tier").replace("_", " ")
