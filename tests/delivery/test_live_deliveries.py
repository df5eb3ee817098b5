"""A real server delivers: caps over real messages, and folds that survive kills of the server."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import polars as pl
import pytest
from pretend_server import folded, items, standing, until
from receiver import SECRET, Receiver, Request, receiver
from typer.testing import CliRunner

import propense as pp
from propense.cli.app import app
from propense.delivery import destination_from
from propense.delivery.client_source import ClientSource
from propense.delivery.deliveries import Deliveries
from serving import LONG, free_address, start

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLOCK = ("--clock", "simulated@2026-01-01")
KILLS = 20 if LONG else 4


def folder_of(path: Path, texts: dict[str, str]) -> Path:
    path.mkdir()
    for name, text in texts.items():
        (path / f"{name}.toml").write_text(text)
    return path


def hook(url: str, segments: list[str], more: str = "") -> str:
    return (
        f'kind = "webhook"\nurl = "{url}"\nsecrets = ["{SECRET}"]\nbegin = "beginning"\n'
        f'allow_private = ["127.0.0.1"]\nsegments = {json.dumps(segments)}\n{more}\n'
        "retry = { first_s = 0.01, longest_s = 0.05, attempts = 1000 }\n"
    )


def happened(users: list[str], event: str, at: datetime) -> pl.DataFrame:
    rows = [(user, at, event) for user in users]
    return pl.DataFrame(rows, schema=["user_id", "event_time", "event"], orient="row")


@pytest.fixture(name="receiving")
def receiving_fixture() -> Receiver:
    with receiver() as made:
        yield made


def test_messages_are_events_that_cap_the_next_ones(receiving: Receiver, tmp_path: Path) -> None:
    segments = {
        "at_risk": "rule = \"count(contact, '30d') >= 1\"",
        "vip": "rule = \"count(purchase, '30d') >= 1\"",
        "may_mail": "rule = \"count(message, '7d') FILTER (WHERE channel = 'email') < 1\"",
    }
    rules = 'channel = "email"\nonly_if = "may_mail"'
    destinations = {
        name: hook(receiving.url, ["at_risk", "vip"], rules) for name in ("mail", "news")
    }
    users = [f"u{number}" for number in range(20)]
    (tmp_path / "models").mkdir()
    running = start(
        tmp_path / "store",
        tmp_path / "models",
        *CLOCK,
        *("--segments", str(folder_of(tmp_path / "segments", segments))),
        *("--destinations", str(folder_of(tmp_path / "destinations", destinations))),
    )
    try:
        with pp.Client(running.address) as client:
            earlier = NOW - timedelta(days=1)
            client.ingest(happened(users, "contact", earlier))
            client.ingest(happened(users, "purchase", earlier))
            contacted = {}
            for days in range(4):
                # Each user is in two segments of two destinations: four messages, one a week.
                until(lambda days=days: len(receiving.accepted) == 20 * (days + 1))
                until(lambda: not items(tmp_path / "store", "mail", "waiting", "sent"))
                until(lambda: not items(tmp_path / "store", "news", "waiting", "sent"))
                contacted = Counter(user for user, _, _ in receiving.moves())
                assert contacted == dict.fromkeys(users, days + 1)
                assert client.get_segment("may_mail").members == 0
                client.advance_clock("7d")
            exported = client.export_user("u0").events
            messages = exported.filter(pl.col("event") == "message")
            assert messages["channel"].to_list() == ["email"] * 4
            assert set(zip(messages["segment"], messages["destination"], strict=True)) == {
                (segment, name) for segment in ("at_risk", "vip") for name in ("mail", "news")
            }
        assert running.stop() == 0
    finally:
        running.kill()
    lines = [json.loads(line) for line in running.errors.read_text().splitlines()]
    assert all({"time", "level", "event"} <= set(line) for line in lines)


def test_killed_again_and_again_the_deliveries_fold_to_the_members(
    receiving: Receiver, tmp_path: Path
) -> None:
    rng, lock = random.Random(23), threading.Lock()

    def answer(_request: Request) -> tuple[int, dict[str, str]]:
        with lock:
            return rng.choice([(200, {})] * 7 + [(500, {}), (0, {}), (503, {})])

    receiving.answer = answer
    segments = {
        "busy": "rule = \"count(visit, '3d') >= 2\"",
        "gone": "rule = \"count(*) >= 1 AND count(visit, '2d') = 0\"",
    }
    lines = f'kind = "jsonl"\npath = "../moves.jsonl"\nsegments = {json.dumps(list(segments))}\n'
    destinations = {"crm": hook(receiving.url, list(segments)), "lines": lines}
    models = tmp_path / "models"
    models.mkdir()
    options = (
        *("--segments", str(folder_of(tmp_path / "segments", segments))),
        *("--destinations", str(folder_of(tmp_path / "destinations", destinations))),
    )
    store, now, address = tmp_path / "store", NOW, free_address()
    users = [f"u{number}" for number in range(60)]
    for kill in range(KILLS + 1):
        clock = ("--clock", f"simulated@{now.isoformat()}")
        running = start(store, models, *clock, *options, address=address)
        with pp.Client(address) as client:
            for _ in range(3):
                client.ingest(happened(rng.sample(users, 25), "visit", now))
                client.advance_clock("18h")
                now += timedelta(hours=18)
            if kill < KILLS:
                threading.Event().wait(rng.uniform(0.0, 0.3))
                running.kill()
    with pp.Client(address) as client:
        last = client.list_segments().last_transition
        for name in ("crm", "lines"):
            until(lambda name=name: standing(store, name).get("cursor") == last)
            until(lambda name=name: not items(store, name))
        members = {name: set(client.members(name)) for name in segments}
    assert running.stop() == 0
    rows = [json.loads(line) for line in (tmp_path / "moves.jsonl").read_text().splitlines()]
    assert [row["number"] for row in rows] == list(range(1, last + 1))
    assert folded([(r["user_id"], r["segment"], r["transition"]) for r in rows]) == members
    assert receiving.unverified == 0
    assert folded(receiving.moves()) == members


def test_another_process_delivers_over_grpc(receiving: Receiver, tmp_path: Path) -> None:
    segments = {"busy": "rule = \"count(visit, '3d') >= 1\""}
    (tmp_path / "models").mkdir()
    address = free_address()
    options = (*CLOCK, "--segments", str(folder_of(tmp_path / "segments", segments)))
    values = {
        "name": "crm",
        "kind": "webhook",
        # Of two segments one is not there yet; the other's transitions come nevertheless.
        "segments": ["busy", "later"],
        "url": receiving.url,
        "secrets": [SECRET],
        "allow_private": ["127.0.0.1"],
        "begin": "beginning",
        "channel": "email",
        "only_if": "busy",
    }
    running = start(tmp_path / "store", tmp_path / "models", *options, address=address)
    with pp.Client(address) as client:
        source = ClientSource(client)
        with Deliveries([destination_from(values, "test")], source, tmp_path):
            client.ingest(happened(["ann"], "visit", NOW - timedelta(days=1)))
            until(lambda: receiving.moves() == [("ann", "busy", "enter")])
            until(lambda: not items(tmp_path, "crm"))
            assert standing(tmp_path, "crm")["missing"] == '{"later": null}'
            running.kill()
            running = start(tmp_path / "store", tmp_path / "models", *options, address=address)
            client.put_segment(pp.Segment("later", "count(visit, '30d') >= 1"), wait=True)
            until(lambda: ("ann", "later", "enter") in receiving.moves())
            client.advance_clock("5d")
            until(lambda: ("ann", "busy", "exit") in receiving.moves())
            until(lambda: not items(tmp_path, "crm"))
        source.close()
        events = client.export_user("ann").events
    assert sorted(events["event"]) == ["message", "message", "visit"]
    assert running.stop() == 0


def test_the_metrics_page_shows_how_each_destination_stands(
    receiving: Receiver, tmp_path: Path
) -> None:
    receiving.answer = lambda request: (400 if request.data["user_id"] == "bob" else 200, {})
    segments = {"at_risk": "rule = \"count(contact, '30d') >= 1\""}
    lines = 'kind = "jsonl"\npath = "../moves.jsonl"\nsegments = ["at_risk"]\n'
    crm = hook(receiving.url, ["at_risk"]).replace("attempts = 1000", "attempts = 3")
    destinations = {"crm": crm, "lines": lines}
    (tmp_path / "models").mkdir()
    metrics = free_address()
    running = start(
        tmp_path / "store",
        tmp_path / "models",
        *CLOCK,
        *("--metrics", metrics),
        *("--segments", str(folder_of(tmp_path / "segments", segments))),
        *("--destinations", str(folder_of(tmp_path / "destinations", destinations))),
    )

    def shown() -> dict[str, float]:
        with urlopen(f"http://{metrics}/metrics", timeout=60) as page:
            rows = page.read().decode().splitlines()
        found = (row.rsplit(" ", 1) for row in rows if row.startswith("propense_delivery_"))
        return {name.removeprefix("propense_delivery_"): float(value) for name, value in found}

    wanted = {
        "crm": (0, 0, 0, 0, 1, 0, 1, 3),
        "lines": (0, 0, 0, 0, 0, 0, 2, 0),
    }
    names = ("unread", "waiting", "held", "oldest_seconds", "dead_letters", "paused")
    names += ("delivered_total", "failed_attempts_total")
    expected = {
        f'{name}{{destination="{destination}"}}': float(number)
        for destination, numbers in wanted.items()
        for name, number in zip(names, numbers, strict=True)
    }
    try:
        with pp.Client(running.address) as client:
            client.ingest(happened(["ann", "bob"], "contact", NOW - timedelta(days=1)))
            until(lambda: shown() == expected)
            said = "pause", "lines", "--store", str(tmp_path / "store")
            assert CliRunner().invoke(app, ["deliveries", *said]).exit_code == 0
            until(lambda: shown()['paused{destination="lines"}'] == 1)
            client.ingest(happened(["cat"], "contact", NOW - timedelta(days=1)))
            # What it was waiting for when it was paused may be in the queue already.
            behind = ('unread{destination="lines"}', 'waiting{destination="lines"}')
            until(lambda: sum(shown()[name] for name in behind) == 1)
            until(lambda: shown()['delivered_total{destination="crm"}'] == 2)
            assert "ann" not in str(shown())
        assert running.stop() == 0
    finally:
        running.kill()


def test_a_server_warns_of_a_destination_whose_segment_is_not_there(tmp_path: Path) -> None:
    segments = {"at_risk": "rule = \"count(contact, '30d') >= 1\""}
    lines = 'kind = "jsonl"\npath = "../moves.jsonl"\nsegments = ["at_rsik"]\n'
    (tmp_path / "models").mkdir()
    running = start(
        tmp_path / "store",
        tmp_path / "models",
        *CLOCK,
        *("--segments", str(folder_of(tmp_path / "segments", segments))),
        *("--destinations", str(folder_of(tmp_path / "destinations", {"lines": lines}))),
    )
    try:
        until(lambda: "segment_missing" in running.errors.read_text())
        with pp.Client(running.address) as client:
            with pytest.raises(pp.NotFoundError, match='did you mean "at_risk"'):
                client.get_segment("at_rsik")
            client.put_segment(pp.Segment("at_rsik", "count(contact, '30d') >= 1"), wait=True)
            client.ingest(happened(["ann"], "contact", NOW - timedelta(days=1)))
            until(lambda: standing(tmp_path / "store", "lines")["delivered"] == 1)
            until(lambda: standing(tmp_path / "store", "lines")["missing"] is None)
        assert running.stop() == 0
    finally:
        running.kill()
    told = [json.loads(line) for line in running.errors.read_text().splitlines()]
    (warning,) = (line for line in told if line["event"] == "segment_missing")
    assert (warning["level"], warning["destination"]) == ("warning", "lines")
    assert warning["problem"].startswith("no segment 'at_rsik' (did you mean 'at_risk'?)")
