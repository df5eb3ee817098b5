"""``propense deliveries``: lag, dead letters, replay, pause and resume."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pretend_server import PretendServer, caught_up, items, standing, until
from receiver import SECRET, Receiver, receiver
from typer.testing import CliRunner

import propense as pp
from propense.cli.app import app
from propense.delivery import Deliveries, Destination, destination_from
from propense.delivery.server_source import ServerSource


def crm(url: str, **options: object) -> Destination:
    values = {
        "name": "crm",
        "kind": "webhook",
        "segments": ["vip"],
        "url": url,
        "secrets": [SECRET],
        "allow_private": ["127.0.0.1"],
        "begin": "beginning",
        "retry": {"first_s": 0.01, "longest_s": 0.02, "attempts": 2},
    }
    return destination_from(values | options, "test")


@pytest.fixture
def server() -> PretendServer:
    return PretendServer()


@pytest.fixture(name="receiving")
def receiving_fixture() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def said(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["deliveries", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_dead_letters_are_shown_and_replayed_with_the_same_ids(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    broken = True
    receiving.answer = lambda request: (500 if broken else 200, {})
    for user in ("ann", "bob", "\x1b[31mcat"):
        server.move(user, "vip")
    with Deliveries([crm(receiving.url)], server, tmp_path):
        until(lambda: len(items(tmp_path, "crm", "dead")) == 3)
        ids = {one.id for one in receiving.requests}
        (state,) = map(json.loads, said("--store", tmp_path, "--json").splitlines())
        assert (state["dead"], state["waiting"], state["delivered"]) == (3, 0, 0)
        assert "failed" in said("--store", tmp_path)
        listed = said("dead", "crm", "--store", tmp_path)
        assert "\x1b" not in listed
        assert listed.count("HTTP 500") == 3
        broken = False
        assert "1 dead" in said("replay", "crm", "--id", 2, "--store", tmp_path)
        until(lambda: [one.data["user_id"] for one in receiving.accepted] == ["bob"])
        assert "2 dead" in said("replay", "crm", "--store", tmp_path)
        until(lambda: len(receiving.accepted) == 3)
        until(lambda: not items(tmp_path, "crm"))
    assert {one.id for one in receiving.requests} == ids
    letters = [json.loads(x) for x in said("--store", tmp_path, "--json").splitlines()]
    assert (letters[0]["dead"], letters[0]["delivered"]) == (0, 3)
    assert said("--store", tmp_path).split()[-1] == "ok"


def test_what_is_paused_waits_and_says_how_far_it_is_behind(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    def behind() -> int:
        # What it was waiting for when it was paused may be in the queue already.
        state = json.loads(said("--store", tmp_path, "--json"))
        return int(state["unread"] + state["waiting"])

    server.move("ann", "vip")
    with Deliveries([crm(receiving.url)], server, tmp_path):
        until(lambda: receiving.accepted)
        said("pause", "crm", "--store", tmp_path)
        for number in range(5):
            server.move(f"u{number}", "vip")
        until(lambda: behind() == 5)
        assert "paused: by hand" in said("--store", tmp_path)
        assert len(receiving.requests) == 1
        said("resume", "crm", "--store", tmp_path)
        until(lambda: len(receiving.accepted) == 6)


def test_transitions_that_are_gone_are_never_passed_over_in_silence(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    for number in range(3):
        server.move(f"u{number}", "vip")
    with Deliveries([crm(receiving.url)], server, tmp_path):
        until(lambda: caught_up(tmp_path, "crm", server))
    for number in range(3, 10):
        server.move(f"u{number}", "vip")
    server.first_kept = 6
    with Deliveries([crm(receiving.url)], server, tmp_path):
        until(lambda: standing(tmp_path, "crm").get("paused"))
        assert "no longer kept" in said("--store", tmp_path)
        said("resume", "crm", "--store", tmp_path, "--after", 5)
        until(lambda: caught_up(tmp_path, "crm", server))
    assert {one.data["number"] for one in receiving.accepted} == {1, 2, 3, *range(6, 11)}


def test_a_new_destination_begins_with_what_the_store_keeps(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    for number in range(10):
        server.move(f"u{number}", "vip")
    server.first_kept = 6
    with Deliveries([crm(receiving.url)], server, tmp_path):
        until(lambda: caught_up(tmp_path, "crm", server))
    assert {one.data["number"] for one in receiving.accepted} == set(range(6, 11))
    # What it had before it was away is not what it begins with.
    server.move("new", "vip")
    server.first_kept = 12
    with Deliveries([crm(receiving.url)], server, tmp_path):
        until(lambda: standing(tmp_path, "crm").get("paused"))


def test_a_server_within_tells_from_where_on_transitions_are_kept() -> None:
    said = "transitions are kept from number 42 on; read ListMembers, then resume from there"

    class Core:
        def transitions_after(self, *_asked: object) -> None:
            raise pp.TransitionsGoneError(said)

    with pytest.raises(pp.TransitionsGoneError) as raised:
        ServerSource(Core()).read(["vip"], 0, 10, 0.0)  # type: ignore[arg-type]
    assert raised.value.first == 42
    said = "the last transition is number 7"
    with pytest.raises(pp.TransitionsGoneError) as raised:
        ServerSource(Core()).read(["vip"], 9, 10, 0.0)  # type: ignore[arg-type]
    assert raised.value.first is None


def test_a_destination_begins_where_it_says_and_goes_on_where_it_was(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    for number in range(5):
        server.move(f"u{number}", "vip")
    destinations = [crm(receiving.url, begin=None)]
    with Deliveries(destinations, server, tmp_path):
        until(lambda: standing(tmp_path, "crm"))
        server.move("new", "vip")
        until(lambda: receiving.accepted)
        until(lambda: caught_up(tmp_path, "crm", server))
    server.move("later", "vip")
    with Deliveries(destinations, server, tmp_path):
        until(lambda: len(receiving.accepted) == 2)
    assert [one.data["user_id"] for one in receiving.accepted] == ["new", "later"]


def test_a_destination_can_be_forgotten(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    with Deliveries([crm(receiving.url)], server, tmp_path):
        until(lambda: standing(tmp_path, "crm"))
    said("forget", "crm", "--store", tmp_path, "--yes")
    assert said("--store", tmp_path, "--json") == ""


def test_in_a_pipe_a_destination_is_one_line_however_long(
    server: PretendServer, tmp_path: Path
) -> None:
    server.move("ann", "vip")
    hosts = ["https://localhost:9/", "https://127.0.0.1:9/"]
    refused = [
        crm(url, name=f"crm_{n}", allow_private=["127.0.0.1"]) for n, url in enumerate(hosts)
    ]
    refused[0] = crm(hosts[0], name="crm_0", allow_private=[])
    with Deliveries(refused, server, tmp_path):
        until(lambda: all(standing(tmp_path, one.name).get("last_error") for one in refused))
    head, *lines = said("--store", tmp_path).splitlines()
    assert [line.split()[0] for line in lines] == ["crm_0", "crm_1"], head
    assert "if that is right, name it in allow_private" in lines[0]


def test_what_is_said_before_the_subcommand_counts(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    receiving.answer = lambda request: (500, {})
    server.move("ann", "vip")
    with Deliveries([crm(receiving.url)], server, tmp_path):
        until(lambda: items(tmp_path, "crm", "dead"))
    assert json.loads(said("--store", tmp_path, "--json", "dead", "crm"))["user_id"] == "ann"
    put_back = "1 dead letter of crm is in the queue again"
    assert put_back in said("--store", tmp_path, "replay", "crm")
    for call in ("pause", "resume"):
        said("--store", tmp_path, call, "crm")
    said("--store", tmp_path, "forget", "crm", "--yes")
    assert CliRunner().invoke(app, ["deliveries", "dead", "crm"]).exit_code == 2


def test_what_is_not_there_is_named(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    def error(*arguments: object) -> str:
        done = CliRunner().invoke(app, ["deliveries", *map(str, arguments)])
        assert isinstance(done.exception, pp.DeliveryError)
        return str(done.exception)

    assert "has no deliveries" in error("--store", tmp_path)
    with Deliveries([crm(receiving.url)], server, tmp_path):
        until(lambda: standing(tmp_path, "crm"))
    assert "did you mean 'crm'" in error("replay", "crn", "--store", tmp_path)
    assert "no dead letter 7" in error("replay", "crm", "--id", 7, "--store", tmp_path)
    assert CliRunner().invoke(app, ["deliveries"]).exit_code == 2
    (tmp_path / "deliveries.sqlite").write_bytes(b"no database " * 100)
    assert "cannot be opened" in error("--store", tmp_path)
