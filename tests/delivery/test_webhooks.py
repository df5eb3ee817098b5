"""Webhooks to receivers that fail, move, redirect, stall and change keys."""

from __future__ import annotations

import random
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pretend_server import PretendServer, caught_up, folded, items, standing, until
from receiver import OTHER_SECRET, SECRET, Receiver, Request, receiver

from propense.delivery import Deliveries, Retry, Webhook, destination_from
from propense.delivery.addresses import AllowedPrivate
from serving import free_address

SEGMENTS = ("at_risk", "vip")
QUICK = {"first_s": 0.01, "longest_s": 0.05, "attempts": 30}


def webhook(url: str, **options: object) -> Webhook:
    values = {
        "name": "crm",
        "kind": "webhook",
        "segments": SEGMENTS,
        "url": url,
        "secrets": [SECRET],
        "allow_private": ["127.0.0.1"],
        "begin": "beginning",
        "retry": QUICK,
    }
    made = destination_from(values | options, "test")
    assert isinstance(made, Webhook)
    return made


@pytest.fixture
def server() -> PretendServer:
    return PretendServer()


@pytest.fixture(name="receiving")
def receiving_fixture() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def test_a_receiver_that_fails_a_third_of_the_time_gets_everything_in_order(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    rng, lock = random.Random(5), threading.Lock()

    def answer(_request: Request) -> tuple[int, dict[str, str]]:
        with lock:
            fails = rng.random() < 0.3
            # 0: the connection ends without an answer, after the request was taken.
            return (rng.choice([500, 502, 404, 302, 0]), {}) if fails else (200, {})

    receiving.answer = answer
    server.wander(700, 40, SEGMENTS, seed=1)
    with Deliveries([webhook(receiving.url)], server, tmp_path):
        server.wander(300, 40, SEGMENTS, seed=2)
        until(lambda: caught_up(tmp_path, "crm", server))
    assert not items(tmp_path, "crm")
    assert receiving.unverified == 0
    assert len(receiving.requests) > len(server.transitions) * 1.2
    assert len(receiving.accepted) == len(server.transitions)
    members = folded(receiving.moves())
    assert members == {segment: server.inside(segment) for segment in SEGMENTS}
    assert standing(tmp_path, "crm")["delivered"] == len(server.transitions)


def test_the_id_stays_and_the_time_of_the_attempt_does_not(
    server: PretendServer, receiving: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1_800_000_000, 1_900_000_000, 7))
    receiving.answer = lambda request: (500 if len(receiving.requests) < 4 else 200, {})
    monkeypatch.setattr("propense.delivery.webhook.time.time", lambda: next(clock))
    server.move("ann", "vip")
    with Deliveries([webhook(receiving.url)], server, tmp_path):
        until(lambda: receiving.accepted)
    assert len(receiving.requests) == 5
    assert len({one.id for one in receiving.requests}) == 1
    assert "." not in receiving.requests[0].id
    stamps = [int(one.headers["webhook-timestamp"]) for one in receiving.requests]
    assert stamps == sorted(set(stamps))


def test_ids_tell_transitions_and_stores_apart(receiving: Receiver, tmp_path: Path) -> None:
    for name in ("one", "two"):
        server = PretendServer()
        server.wander(20, 3, SEGMENTS, seed=3)
        (tmp_path / name).mkdir()
        with Deliveries([webhook(receiving.url)], server, tmp_path / name):
            until(lambda name=name, server=server: caught_up(tmp_path / name, "crm", server))
    assert len({one.id for one in receiving.requests}) == 40


def test_keys_change_without_a_moment_in_which_none_fits(
    server: PretendServer, tmp_path: Path
) -> None:
    def delivered(*secrets: str) -> None:
        server.move("ann", "vip")
        with Deliveries([webhook(receiving.url, secrets=secrets)], server, tmp_path):
            until(lambda: caught_up(tmp_path, "crm", server))

    with receiver() as receiving:
        delivered(SECRET)
        delivered(OTHER_SECRET, SECRET)
        receiving.secret = OTHER_SECRET
        delivered(OTHER_SECRET, SECRET)
        delivered(OTHER_SECRET)
        assert receiving.unverified == 0
        delivered(SECRET)
        assert receiving.unverified == 1


def test_redirects_are_not_followed(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    server.move("ann", "vip")
    with receiver() as elsewhere:
        receiving.answer = lambda request: (307, {"location": elsewhere.url})
        retry = QUICK | {"attempts": 3}
        with Deliveries([webhook(receiving.url, retry=retry)], server, tmp_path):
            until(lambda: items(tmp_path, "crm", "dead"))
        assert elsewhere.connections == 0
    assert len(receiving.requests) == 3
    (dead,) = items(tmp_path, "crm")
    assert "redirect" in str(dead["error"])


def test_gone_is_a_dead_letter_and_a_pause(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    receiving.answer = lambda request: (410, {})
    server.move("ann", "vip")
    with Deliveries([webhook(receiving.url)], server, tmp_path):
        until(lambda: standing(tmp_path, "crm").get("paused"))
        server.move("bob", "vip")
        time.sleep(0.7)
    assert len(receiving.requests) == 1
    assert [row["user_id"] for row in items(tmp_path, "crm", "dead")] == ["ann"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_asks_to_be_left_alone_is(
    server: PretendServer, receiving: Receiver, tmp_path: Path, status: int
) -> None:
    times = list[float]()

    def answer(_request: Request) -> tuple[int, dict[str, str]]:
        times.append(time.monotonic())
        return (status, {"retry-after": "1"}) if len(times) == 1 else (200, {})

    receiving.answer = answer
    server.move("ann", "vip")
    with Deliveries([webhook(receiving.url, concurrency=1)], server, tmp_path):
        until(lambda: times)
        server.move("bob", "vip")
        until(lambda: caught_up(tmp_path, "crm", server))
    assert times[1] - times[0] >= 0.95
    assert len(times) == 3


def test_one_that_is_down_or_stalls_delays_no_other(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    silent = socket.create_server(("127.0.0.1", 0), backlog=8)
    timeout_s = 60
    destinations = [
        webhook(f"http://127.0.0.1:{silent.getsockname()[1]}/", name="silent", timeout_s=timeout_s),
        # As rarely as to leave no dead letter, however long this takes.
        webhook(f"http://{free_address()}/", name="closed", retry={"first_s": 0.01}),
        webhook(receiving.url),
    ]
    with silent, Deliveries(destinations, server, tmp_path) as running:
        began = time.monotonic()
        for step in range(100):
            server.move(f"u{step}", "vip")
        until(lambda: caught_up(tmp_path, "crm", server))
        for name in ("silent", "closed"):
            until(lambda name=name: len(items(tmp_path, name, "waiting")) == 100)
        # Nobody waited for an answer that never comes, nor does who stops.
        assert time.monotonic() - began < timeout_s / 2
        running.stop(patience_s=0.5)
        assert time.monotonic() - began < timeout_s
    assert len(items(tmp_path, "closed", "waiting")) == 100
    assert len(items(tmp_path, "silent", "waiting")) == 100


def test_a_failing_user_holds_back_only_what_follows_of_the_same_segment(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    broken = True

    def answer(request: Request) -> tuple[int, dict[str, str]]:
        fails = broken and request.data["user_id"] == "ann" and request.data["segment"] == "vip"
        return (500 if fails else 200), {}

    receiving.answer = answer
    for _ in range(3):
        for user in ("ann", "bob", "cat"):
            for segment in SEGMENTS:
                server.move(user, segment)
    retry = QUICK | {"attempts": 1_000}
    with Deliveries([webhook(receiving.url, retry=retry)], server, tmp_path):
        until(lambda: len(receiving.accepted) == 15)
        until(lambda: len(items(tmp_path, "crm", "waiting")) == 3)
        broken = False
        until(lambda: caught_up(tmp_path, "crm", server))
    assert folded(receiving.moves()) == {name: {"ann", "bob", "cat"} for name in SEGMENTS}


def test_after_the_last_attempt_the_rest_goes_on(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    receiving.answer = lambda request: (500 if request.data["number"] == 1 else 200, {})
    server.move("ann", "vip")
    server.move("ann", "vip")
    with Deliveries([webhook(receiving.url, retry=QUICK | {"attempts": 4})], server, tmp_path):
        until(lambda: caught_up(tmp_path, "crm", server))
    (dead,) = items(tmp_path, "crm")
    assert (dead["number"], dead["attempts"], dead["error"]) == (1, 4, "HTTP 500")
    assert [one.data["number"] for one in receiving.accepted] == [2]


def test_an_answer_may_be_neither_slow_nor_endless(server: PretendServer, tmp_path: Path) -> None:
    endings = list[str]()

    def serve(listening: socket.socket) -> None:
        for kind in ("dripping", "endless", "headers"):
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                began, sent = time.monotonic(), 0
                start = b"HTTP/1.1 200 OK\r\n" + (b"" if kind == "headers" else b"\r\n")
                try:
                    connection.sendall(start)
                    while time.monotonic() - began < 20 and sent < 1 << 28:
                        piece = b"x" * 65_536 if kind == "endless" else b"a: b\r\n"
                        connection.sendall(piece)
                        sent += len(piece)
                        time.sleep(0.02 if kind != "endless" else 0)
                    endings.append(f"{kind} went on")
                except OSError:
                    endings.append(kind)

    server.move("ann", "vip")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        destination = webhook(address, timeout_s=2, retry=QUICK | {"attempts": 1})
        with Deliveries([destination], server, tmp_path):
            until(lambda: endings == ["dripping"])
            server.move("bob", "vip")
            until(lambda: len(endings) == 2)
            server.move("cat", "vip")
            until(lambda: len(endings) == 3)
    assert endings == ["dripping", "endless", "headers"]
    # The first two had answered.
    assert [row["user_id"] for row in items(tmp_path, "crm")] == ["cat"]


def test_a_name_that_changes_its_address_is_not_followed_into_the_private_network(
    server: PretendServer, receiving: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(receiving.url.rpartition(":")[2].partition("/")[0])
    asked, connected, really = list[str](), list[str](), socket.getaddrinfo

    def rebinding(host: str, *arguments: object, **options: object) -> list[object]:
        if host != "crm.example":
            return really(host, *arguments, **options)  # type: ignore[arg-type]
        asked.append(host)
        # Public whenever it is checked, and this machine a moment later.
        address = "93.184.215.14" if len(asked) % 2 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        connected.append(address[0])
        if address[0] != "127.0.0.1":
            raise ConnectionRefusedError("no way there from a test")
        really_connect(self, address)

    really_connect = socket.socket.connect
    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket.socket, "connect", connect)
    server.move("ann", "vip")
    destination = webhook(
        f"https://crm.example:{port}/", allow_private=[], retry=QUICK | {"attempts": 10}
    )
    with Deliveries([destination], server, tmp_path):
        until(lambda: items(tmp_path, "crm", "dead"))
    assert set(connected) == {"93.184.215.14"}
    assert receiving.connections == 0
    assert len(asked) == 10


def test_the_certificate_is_that_of_the_name_though_the_address_is_connected_to(
    server: PretendServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    wanted = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=crm"]
    wanted += ["-addext", "subjectAltName=DNS:crm.example", "-keyout", str(key), "-out"]
    subprocess.run([openssl, *wanted, str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    here = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    really = socket.getaddrinfo

    def lookup(host: str, *arguments: object, **options: object) -> list[object]:
        named = host.endswith(".example")
        return here if named else really(host, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with receiver(tls=context) as receiving:
        port = int(receiving.url.rpartition(":")[2].partition("/")[0])
        options = {"ca": certificate, "retry": QUICK | {"attempts": 2}}
        destinations = [
            webhook(
                f"https://{host}.example:{port}/",
                name=host,
                allow_private=[f"{host}.example"],
                **options,
            )
            for host in ("crm", "other")
        ]
        server.move("ann", "vip")
        with Deliveries(destinations, server, tmp_path):
            until(lambda: items(tmp_path, "other", "dead"))
            until(lambda: receiving.accepted)
    assert len(receiving.requests) == 1
    (dead,) = items(tmp_path, "other")
    assert "certificate" in str(dead["error"]).lower()


def test_a_host_with_one_private_address_among_its_addresses_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 443)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.8", 443)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_o: both)
    with pytest.raises(OSError, match=r"10\.0\.0\.8, which is not public"):
        AllowedPrivate().resolve("crm.example", 443)
    assert len(AllowedPrivate(["10.0.0.0/8"]).resolve("crm.example", 443)) == 2
    assert len(AllowedPrivate(["CRM.example."]).resolve("crm.example", 443)) == 2


def test_secrets_and_users_are_in_no_message(
    server: PretendServer, receiving: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiving.answer = lambda request: (500, {})
    server.move("canary-4711", "vip")
    destination = webhook(receiving.url, headers={"x-token": "hush-4711"}, retry=Retry(attempts=1))
    with Deliveries([destination], server, tmp_path):
        until(lambda: items(tmp_path, "crm", "dead"))
    assert receiving.requests[0].headers["x-token"] == "hush-4711"
    shown = caplog.text + repr(destination) + str(standing(tmp_path, "crm"))
    assert "canary" not in shown
    assert "hush" not in shown
    assert SECRET not in shown


def test_a_slow_answer_delays_no_other_user(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    gate = threading.Event()

    def answer(request: Request) -> tuple[int, dict[str, str]]:
        if str(request.data["user_id"]).startswith("slow"):
            gate.wait(60)
        return 200, {}

    receiving.answer = answer
    for user in ("slow-1", "slow-2") * 2:
        server.move(user, "vip")
    for number in range(60):
        server.move(f"u{number}", "vip")
    with Deliveries([webhook(receiving.url, concurrency=3, timeout_s=60)], server, tmp_path):
        until(lambda: len(receiving.accepted) == 60)
        assert not any(row["attempts"] for row in items(tmp_path, "crm"))
        gate.set()
        until(lambda: caught_up(tmp_path, "crm", server))
    slow = [kind for user, _, kind in receiving.moves() if user == "slow-1"]
    assert slow == ["enter", "exit"]


def test_of_an_erased_user_nothing_stays_but_the_news(
    server: PretendServer, receiving: Receiver, tmp_path: Path
) -> None:
    receiving.answer = lambda request: (500, {})
    for user in ("canary-dead", "canary-told", "bob"):
        server.move(user, "vip")
    with Deliveries([webhook(receiving.url, retry=QUICK | {"attempts": 2})], server, tmp_path):
        until(lambda: len(items(tmp_path, "crm", "dead")) == 3)
    server.erased |= {"canary-dead", "canary-told"}
    server.move("canary-told", "vip", "erased")
    receiving.answer = lambda request: (200, {})
    with Deliveries([webhook(receiving.url)], server, tmp_path):
        until(lambda: receiving.accepted)
        until(lambda: [row["user_id"] for row in items(tmp_path, "crm")] == ["bob"])
    assert receiving.moves() == [("canary-told", "vip", "exit")]
    for path in tmp_path.iterdir():
        assert b"canary" not in path.read_bytes()
