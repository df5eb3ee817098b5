"""Load on the gRPC service: rising open-loop rates, latencies from when a call was due.

``make bench-load`` runs it; ``--help`` has the sizes. The generator is
``rust/propense-server/examples/load``. Server and generator share this machine's cores, as do the
peer and its
generator.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

import propense as pp
from propense.bench.forests import ForestSize
from propense.bench.fusion_model import cached_model
from propense.bench.generator import AS_OF, LogSize, cached_events
from propense.bench.machine import commit, machine, versions
from propense.bench.results import Results, Row, targets_table
from propense.event_table import EventColumns
from propense.store import Store
from propense.store_rows import event_rows

sys.path.insert(0, str(Path(__file__).parent))
from servers import propense_server, python_server

MODEL = "buys"
AS_OF_US = int(AS_OF.timestamp()) * 1_000_000
GOAL_P99_MS = 5.0
STEP = 1.3
NARROWINGS = 2


@dataclass
class Setting:
    """What every run has in common."""

    load: Path
    work: Path
    seconds: float
    events: Path
    model: Path
    console: Console
    runs: list[dict[str, Any]]
    next_event_us: int = 4_000_000_000_000_000

    def run(self, server: str, address: str, mode: str, rate: float, **options: object) -> Any:
        """Run the generator once and keep what it measured."""
        given = {"address": address, "mode": mode, "rate": rate, "seconds": self.seconds}
        given |= {"model": MODEL, "users": self.work / "users.txt", **options}
        given["events-from-us"] = self.next_event_us
        self.next_event_us += 60_000_000_000
        if mode != "ingest":
            given["as-of-us"] = AS_OF_US
        command = [str(self.load)]
        for name, value in given.items():
            command += [f"--{name}", str(value)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        measured = json.loads(done.stdout) | {
            "server": server,
            **{k: str(v) for k, v in options.items()},
        }
        self.runs.append(measured)
        self.console.print(
            f"{server:>22} {mode:7} {rate:10,.0f}/s asked, {measured['answered_per_s']:10,.0f}/s "
            f"answered, p50 {_ms(measured['p50_ms'])}, p99 {_ms(measured['p99_ms'])}, p99.9 "
            f"{_ms(measured['p999_ms'])}; {measured['refused']} refused, {measured['failed']} failed",
            highlight=False,
        )
        return measured

    def capacity(
        self, server: str, address: str, mode: str, first: float, limit_ms: float, **options: object
    ) -> tuple[float, dict[str, Any] | None]:
        """Raise the rate until the p99 passes a limit or calls are lost twice in a row, then narrow.

        Gives the best rate, known to within 7 % of the one that was missed, and what it measured.
        """

        def met(rate: float) -> dict[str, Any] | None:
            # A machine that is shared stalls now and then: a rate is missed only if it is twice.
            for _ in range(2):
                measured = self.run(server, address, mode, rate, **options)
                kept = measured["failed"] == 0 and measured["refused"] == 0
                if kept and measured["p99_ms"] is not None and measured["p99_ms"] <= limit_ms:
                    return dict(measured)
            return None

        best: tuple[float, dict[str, Any] | None] = (0.0, None)
        missed, rate = 0, first
        while missed < 2:
            measured = met(rate)
            best, missed = ((rate, measured), 0) if measured else (best, missed + 1)
            rate *= STEP
        beyond = best[0] * STEP
        for _ in range(NARROWINGS):
            middle = math.sqrt(best[0] * beyond)
            measured = met(middle) if middle else None
            if measured:
                best = (middle, measured)
            else:
                beyond = middle
        return best


def main() -> None:
    """Prepare, compare answers, measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", type=Path, required=True, help="the generator's program")
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--users", type=int, default=40_000)
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each rate")
    parser.add_argument("--only", default="unary,batch,stream,ingest,mixed,overload,explain")
    parser.add_argument("--out", type=Path, default=Path("benches/runs"))
    parser.add_argument("--name", default="load")
    given = parser.parse_args()
    console = Console(width=160)
    setting = prepare(given, console)
    results = Results(
        name=given.name,
        command=f"benches/load/run.py {shlex.join(sys.argv[1:])}",
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit(),
        machine=machine(),
        versions=versions(),
        sizes={"events": given.events, "users": given.users, "trees": given.trees},
    )
    only = given.only.split(",")
    with propense_server(setting.work / "store", setting.work / "models") as address:
        results.rows += measure(setting, address, only)
    if "unary" in only:
        ours = next(row.value for row in results.rows if row.what.startswith("one user, requests"))
        results.rows += beside_python(setting, ours or 0.0)
    results.timings = setting.runs
    console.print(latency_table(setting.runs))
    console.print(targets_table(results))
    console.print(f"wrote {results.write(given.out)}", highlight=False)


def prepare(given: argparse.Namespace, console: Console) -> Setting:
    """Make log, model, store and list of users; the store anew every time."""
    cache = given.out / "cache"
    work = cache / "load"
    shutil.rmtree(work, ignore_errors=True)
    (work / "models").mkdir(parents=True)
    events = cached_events(LogSize(given.events, given.users, seed=3), cache)
    model = work / "models" / MODEL
    shutil.copytree(cached_model(ForestSize(given.trees, 31), cache), model)
    with pp.progress_shown(), Store(work / "store") as store:
        store.ingest(event_rows(events, EventColumns(), number_ties=True))
        store.compact()
    seen = pl.scan_parquet(events).filter(pl.col("event_time") < AS_OF)
    users = seen.select(pl.col("user_id").unique()).collect()["user_id"].sort()
    (work / "users.txt").write_text("\n".join(users.to_list()) + "\n", encoding="utf-8")
    return Setting(given.load, work, given.seconds, events, model, console, [])


def measure(setting: Setting, address: str, only: list[str]) -> list[Row]:
    """Measure every kind of call on propense's server."""
    rows, ours = [], "propense"
    if "unary" in only:
        rate, _ = setting.capacity(ours, address, "unary", 400, GOAL_P99_MS)
        rows.append(Row("load", "one user, requests/s at p99 ≤ 5 ms", "–", rate, unit="requests/s"))
        half = setting.run(ours, address, "unary", rate / 2)["p99_ms"] if rate else None
        rows.append(Row("load", "one user, p99 at half of that", "–", half, 2.0, "lower", "ms"))
        if "overload" in only and rate:
            rows += overload(setting, address, "unary", rate)
    if "explain" in only:
        rows += explanations(setting, address)
    if "batch" in only:
        rate, best = setting.capacity(ours, address, "batch", 5, 1_000.0, batch=1_000)
        value = best and best["rows_per_s"]
        rows.append(Row("load", "1,000 users a call at p99 ≤ 1 s", "–", value, unit="users/s"))
        if "overload" in only and rate:
            rows += overload(setting, address, "batch", rate, batch=1_000)
    if "stream" in only:
        rate, best = setting.capacity(ours, address, "stream", 2, 2_000.0, connections=1)
        value = best and best["rows_per_s"]
        rows.append(Row("load", "whole audience, one stream and more", "–", value, unit="users/s"))
    if "ingest" in only:
        rate, best = setting.capacity(ours, address, "ingest", 20, 1_000.0, batch=2_000)
        value = best and best["rows_per_s"]
        rows.append(Row("load", "durable ingest", "–", value, 200_000, unit="events/s"))
    if "mixed" in only:
        rate, best = setting.capacity(ours, address, "mixed", 200, 50.0, batch=100)
        what = "18 of one user : 1 batch : 1 ingest, 100 each, at p99 ≤ 50 ms"
        rows.append(Row("load", what, "–", rate, unit="requests/s"))
    return rows


def overload(
    setting: Setting, address: str, mode: str, within_limit: float, **options: object
) -> list[Row]:
    """Ask for twice and ten times what the server can do, and compare with 80 % of it."""
    rows = []
    # A connection holds back calls beyond 128; only many of them can ask for too much.
    given = {"deadline": 1.0, "connections": 32, **options}
    # What it can do is more than what it does within a limit of latency without a refusal.
    most = setting.run("propense", address, mode, within_limit * 2, **given)["answered_per_s"]
    usual = setting.run("propense", address, mode, most * 0.8, **given)["p99_ms"]
    for factor in (2, 10):
        measured = setting.run("propense", address, mode, most * factor, **given)
        share = 100 * measured["answered_per_s"] / most
        what = f"{mode}, {factor} times what it can"
        rows.append(Row("load", f"{what}: goodput", "–", share, 90.0, unit="%"))
        # What the generator itself is late counts in all latencies, and is no delay of the server's.
        note = f"calls made {_ms(measured['late_p99_ms'])} late, p99"
        late = measured["refused_p99_ms"]
        row = Row("load", f"{what}: refusals, p99", "–", late, 10.0, "lower", "ms", note=note)
        rows.append(row)
        slower = measured["p99_ms"] and usual and measured["p99_ms"] / usual
        what = f"{what}: answers' p99, of that at 80 %"
        rows.append(Row("load", what, "–", slower, 2.0, "lower", "×"))
    return rows


def explanations(setting: Setting, address: str) -> list[Row]:
    """Ask for the explanations of 1,000 users, one after the other."""
    users = pl.Series((setting.work / "users.txt").read_text("utf-8").split())
    took_ms = []
    with pp.Client(address) as client:
        for user in users.sample(1_000, seed=1, with_replacement=True):
            start = perf_counter()
            client.explain(user, MODEL, as_of=AS_OF, top=5)
            took_ms.append(1e3 * (perf_counter() - start))
    p50, p99 = np.percentile(took_ms, [50, 99])
    return [
        Row("load", "one user explained, p50", "–", float(p50), unit="ms"),
        Row("load", "one user explained, p99", "–", float(p99), unit="ms"),
    ]


def beside_python(setting: Setting, ours: float) -> list[Row]:
    """Race the Python server at its best setting, once its answers are the same."""
    best, label = 0.0, ""
    for how, style, processes in (
        ("kernel", "asyncio", 2),
        ("kernel", "threads", 2),
        ("kernel", "asyncio", 1),
        ("library", "asyncio", 2),
    ):
        name = f"{how} {style} ×{processes}"
        peer = python_server(setting.events, setting.model, how, style, processes)
        with peer as address:
            same_answers(setting, address)
            rate, _ = setting.capacity(name, address, "unary", 50, GOAL_P99_MS)
        if rate > best:
            best, label = rate, name
    ratio = ours / best if best else None
    return [
        Row("load", "one user, requests/s at p99 ≤ 5 ms", "Python grpcio", ratio, 10.0, note=label),
        Row("load", f"the Python server's own ({label})", "–", best, unit="requests/s"),
    ]


def same_answers(setting: Setting, address: str) -> None:
    """Compare the peer's scores with the library's, to the bit."""
    model = pp.load_model(setting.model)
    expected = model.score(pp.read_events(setting.events), as_of=AS_OF).sample(200, seed=1)
    with pp.Client(address) as client:
        found = [
            client.score_user(user, models=MODEL, as_of=AS_OF).scores[0].score
            for user in expected["user_id"]
        ]
    if not np.array_equal(np.array(found, np.float32), expected["score"].to_numpy()):
        raise RuntimeError("the peer gives other scores")


def latency_table(runs: list[dict[str, Any]]) -> Table:
    """Show every rate of every server."""
    heads = ("server", "mode", "asked/s", "answered/s", "p50", "p99", "p99.9", "refused", "failed")
    table = Table(title="rates and latencies", title_justify="left")
    for head in heads:
        table.add_column(head, justify="left" if head in ("server", "mode") else "right")
    for run in runs:
        times = (_ms(run[name]) for name in ("p50_ms", "p99_ms", "p999_ms"))
        rates = (f"{run['rate']:,.0f}", f"{run['answered_per_s']:,.0f}")
        table.add_row(
            run["server"], run["mode"], *rates, *times, str(run["refused"]), str(run["failed"])
        )
    return table


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g} ms"


if __name__ == "__main__":
    main()
