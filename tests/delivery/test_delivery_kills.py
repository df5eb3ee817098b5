"""The process is killed at random points: every delivery folds to the membership there is."""

from __future__ import annotations

import json
import multiprocessing
import random
import threading
from collections import Counter
from contextlib import nullcontext
from multiprocessing.process import BaseProcess
from pathlib import Path

import deliverer
import polars as pl
import psycopg
from postgres import database, programs
from pretend_server import PretendServer, folded, items, standing, until
from receiver import SECRET, Receiver, Request, receiver

from serving import LONG

SEGMENTS = ("at_risk", "vip")
KILLS = 100 if LONG else 12
STEPS = 40 * KILLS


def write_destinations(folder: Path, hooks: Receiver, dsn: str | None) -> list[str]:
    web = (
        f'kind = "webhook"\nurl = "{hooks.url}"\nsecrets = ["{SECRET}"]\nbegin = "beginning"\n'
        'allow_private = ["127.0.0.1"]\n'
    )
    texts = {
        "hooks": web + 'channel = "email"\n',
        "lines": 'kind = "jsonl"\npath = "../moves.jsonl"\n',
        "told": 'kind = "jsonl"\npath = "../told.jsonl"\nchannel = "letter"\n',
        "files": 'kind = "parquet"\npath = "../files"\nseconds = 0.05\n',
    }
    if dsn is not None:
        texts["table"] = f'kind = "postgresql"\ndsn = "{dsn}"\nallow_private = ["127.0.0.1"]\n'
    (folder / "destinations").mkdir()
    for name, text in texts.items():
        text += f"segments = {json.dumps(SEGMENTS)}\n"
        text += "retry = { first_s = 0.005, longest_s = 0.02, attempts = 1000 }\n"
        (folder / "destinations" / f"{name}.toml").write_text(text)
    return list(texts)


def test_killed_at_any_point_every_destination_folds_to_the_membership(tmp_path: Path) -> None:
    rng, lock = random.Random(17), threading.Lock()

    def answer(_request: Request) -> tuple[int, dict[str, str]]:
        with lock:
            return rng.choice([(200, {})] * 7 + [(500, {}), (0, {}), (503, {})])

    server = PretendServer()
    log = tmp_path / "transitions.jsonl"
    log.touch()
    with receiver(answer=answer) as hooks, database() if programs() else nullcontext() as running:
        names = write_destinations(tmp_path, hooks, running and running.dsn)
        write_part(server, log, seed=0)
        for kill in range(1, KILLS + 1):
            process = start(tmp_path)
            timer = threading.Timer(rng.uniform(0.0, 0.25), process.kill)
            timer.start()
            write_part(server, log, seed=kill)
            process.join()
            timer.cancel()
        process = start(tmp_path)
        try:
            until(lambda: all(done(tmp_path, name) for name in names), 600)
        finally:
            process.kill()
            process.join()
        check_hooks(hooks, server)
        check_messages(tmp_path, hooks, server)
        if running:
            check_table(running.dsn, server)
    check_files(tmp_path, server)


def start(folder: Path) -> BaseProcess:
    # Forked from a process that has imported everything and has no threads.
    context = multiprocessing.get_context("forkserver")
    sinks = ("webhook", "parquet_files", "postgresql", "json_lines")
    context.set_forkserver_preload(["deliverer", *(f"propense.delivery.{name}" for name in sinks)])
    begun = context.Event()
    process = context.Process(target=deliverer.main, args=(folder, begun), daemon=True)
    process.start()
    assert begun.wait(120)
    return process


def write_part(server: PretendServer, log: Path, seed: int) -> None:
    before = len(server.transitions)
    server.wander(STEPS // (KILLS + 1), 30, SEGMENTS, seed)
    with log.open("a") as file:
        for one in server.transitions[before:]:
            values = {name: getattr(one, name) for name in one.__slots__}
            file.write(json.dumps(values | {"time": one.time.isoformat()}) + "\n")


def done(folder: Path, name: str) -> bool:
    row, newest = standing(folder, name), (folder / "transitions.jsonl").read_text().count("\n")
    return row.get("cursor") == newest and not items(folder, name)


def wanted(server: PretendServer) -> dict[str, set[str]]:
    return {segment: server.inside(segment) for segment in SEGMENTS}


def check_hooks(hooks: Receiver, server: PretendServer) -> None:
    """Each at least once; by the ids, each once and in order."""
    assert hooks.unverified == 0
    assert len(hooks.accepted) == len(server.transitions)
    assert folded(hooks.moves()) == wanted(server)
    ids = Counter((one.data["number"], one.id) for one in hooks.requests)
    assert len(ids) == len(server.transitions)


def check_messages(folder: Path, hooks: Receiver, server: PretendServer) -> None:
    rows = map(json.loads, (folder / "messages.jsonl").read_text().splitlines())
    enters = {one.number for one in server.transitions if one.kind == "enter"}
    assert {(name, number) for name, number in rows} == {
        (name, number) for name in ("hooks", "told") for number in enters
    }


def check_files(folder: Path, server: PretendServer) -> None:
    """Of files even: each once."""
    numbers = list(range(1, len(server.transitions) + 1))
    assert read_numbers(folder / "moves.jsonl", server) == numbers
    # Whoever is told one thing at a time gets some out of turn.
    assert sorted(read_numbers(folder / "told.jsonl", server)) == numbers
    files = sorted((folder / "files").glob("0*.parquet"))
    frame = pl.concat([pl.read_parquet(path) for path in files])
    assert frame["number"].to_list() == numbers


def read_numbers(path: Path, server: PretendServer) -> list[int]:
    rows = [json.loads(text) for text in path.read_text().splitlines()]
    assert folded([(r["user_id"], r["segment"], r["transition"]) for r in rows]) == wanted(server)
    return [row["number"] for row in rows]


def check_table(dsn: str, server: PretendServer) -> None:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT segment, user_id FROM propense_membership WHERE is_member"
        ).fetchall()
    members: dict[str, set[str]] = {segment: set() for segment in SEGMENTS}
    for segment, user in found:
        members[segment].add(user)
    assert members == wanted(server)
