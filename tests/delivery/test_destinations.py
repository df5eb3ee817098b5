"""Destinations as files: what they say, and what is wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpcore
import pytest
from pretend_server import PretendServer
from receiver import OTHER_SECRET, SECRET
from standardwebhooks import Webhook as Reference

import propense as pp
from propense.delivery import Deliveries, Webhook, destination_from, read_destinations
from propense.delivery.backoff import LONGEST_ASKED_S, Pace, full_jitter
from propense.delivery.signature import secret_key, signatures
from propense.delivery.webhook import _host, _retry_after_s, _url

WEBHOOK = f"""
segments = ["at_risk", "buys.most_likely"]
kind = "webhook"
url = "https://crm.example/hooks?from=propense"
secrets = ["{SECRET}", "env:TEST_HOOK_SECRET"]
channel = "email"
only_if = "may_contact"
headers = {{ authorization = "env:TEST_HOOK_TOKEN" }}
retry = {{ attempts = 5 }}
"""


def test_a_file_says_what_goes_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_HOOK_SECRET", OTHER_SECRET)
    monkeypatch.setenv("TEST_HOOK_TOKEN", "Bearer 4711")
    (tmp_path / "crm.toml").write_text(WEBHOOK)
    (tmp_path / "lines.toml").write_text('kind = "jsonl"\nsegments = ["vip"]\npath = "a/b.jsonl"')
    (tmp_path / "notes.txt").write_text("not a destination")
    crm, lines = read_destinations(tmp_path)
    assert isinstance(crm, Webhook)
    assert (crm.name, crm.segments) == ("crm", ("at_risk", "buys.most_likely"))
    assert [one.reveal() for one in crm.secrets] == [SECRET, OTHER_SECRET]
    assert crm.headers["authorization"].reveal() == "Bearer 4711"
    assert (crm.retry.attempts, crm.begins_at, lines.begins_at) == (5, "now", "beginning")
    assert lines.path == tmp_path / "a" / "b.jsonl"
    assert "4711" not in repr(crm)
    assert SECRET not in repr(crm)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("url", '"http://crm.example/"'), "http:// is not encrypted"),
        (("url", '"https://10.0.0.8/"'), "10.0.0.8 is not public; if that is right, name it in"),
        (("url", '"https://[::ffff:127.0.0.1]/"'), "not public"),
        (("url", '"ftp://crm.example/"'), "expected https://"),
        (("url", '"https://a:b@crm.example/"'), "use headers"),
        (("url", '"https://crm.example/#x"'), "never sent"),
        (("url", '"https://crm.example:99999/"'), "crm.toml"),
        (("secrets", '["whsec_c2hvcnQ="]'), "24 to 64 bytes"),
        (("secrets", '["whsec_???"]'), "base64"),
        (("secrets", '["env:TEST_NOT_SET"]'), "TEST_NOT_SET is not set"),
        (("secrets", "[]"), "secrets"),
        (("segments", "[]"), "segments"),
        (("segments", '["a b"]'), "segments"),
        (("kind", '"pigeon"'), "webhook"),
        (
            ("kind", '"webhok"'),
            "kind: expected webhook, jsonl, parquet or postgresql (did you mean",
        ),
        (("segments", '"vip"'), "segments: expected a list"),
        (("only_iff", '"vip"'), "only_iff: no such field (did you mean 'only_if'?)"),
        (("retry", "{ attemps = 3 }"), "retry.attemps: no such field (did you mean 'attempts'?)"),
        (("headers", '{ webhook-id = "1" }'), "set by propense"),
        (("headers", '{ x = "a\\r\\nb" }'), "printable"),
        (("allow_private", '["10.0.0.0/99"]'), "neither a host nor a network"),
        (("name", '"../crm"'), "name"),
        (("retry", "{ attempts = 0 }"), "attempts"),
        (("concurrency", "100000"), "concurrency"),
        (("channel", '""'), "channel"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], words: str
) -> None:
    monkeypatch.setenv("TEST_HOOK_SECRET", OTHER_SECRET)
    monkeypatch.setenv("TEST_HOOK_TOKEN", "x")
    kept = [line for line in WEBHOOK.splitlines() if not line.startswith(f"{change[0]} =")]
    (tmp_path / "crm.toml").write_text("\n".join([*kept, f"{change[0]} = {change[1]}"]))
    with pytest.raises(pp.DeliveryError) as raised:
        read_destinations(tmp_path)
    assert words in str(raised.value)
    assert "crm.toml" in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_field_that_is_misspelt_is_named_before_the_one_it_leaves_out(tmp_path: Path) -> None:
    (tmp_path / "lines.toml").write_text('kind = "jsonl"\nsegments = ["vip"]\npaht = "a.jsonl"')
    with pytest.raises(pp.DeliveryError, match=r"paht: no such field \(did you mean 'path'\?\)"):
        read_destinations(tmp_path)


def test_two_destinations_do_not_write_to_one_place(tmp_path: Path) -> None:
    for name in ("a", "b"):
        text = 'kind = "jsonl"\nsegments = ["vip"]\npath = "x.jsonl"'
        (tmp_path / f"{name}.toml").write_text(text)
    with pytest.raises(pp.DeliveryError, match="'a' and 'b' both write"):
        read_destinations(tmp_path)
    (tmp_path / "b.toml").write_text('name = "a"\nkind = "jsonl"\nsegments = ["x"]\npath = "y"')
    with pytest.raises(pp.DeliveryError, match="two destinations are called 'a'"):
        read_destinations(tmp_path)
    (tmp_path / "b.toml").write_text("name =")
    with pytest.raises(pp.DeliveryError, match="is not TOML"):
        read_destinations(tmp_path)
    with pytest.raises(pp.DeliveryError, match="not a folder"):
        read_destinations(tmp_path / "none")


def test_the_signature_is_that_of_the_specification() -> None:
    at, body = 1_614_265_330, b'{"test": 2432232314}'
    given = signatures([secret_key(SECRET)], "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
    assert given == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    when = datetime.fromtimestamp(at, UTC)
    both = signatures([secret_key(OTHER_SECRET), secret_key(SECRET)], "tr_1", at, body).split(" ")
    wanted = [Reference(one).sign("tr_1", when, body.decode()) for one in (OTHER_SECRET, SECRET)]
    assert both == wanted


def test_waits_grow_and_differ() -> None:
    tops = [full_jitter(n, 1.0, 60.0, lambda _low, high: high) for n in (1, 2, 3, 6, 7, 500)]
    assert tops == [1.0, 2.0, 4.0, 32.0, 60.0, 60.0]
    assert full_jitter(3, 1.0, 60.0, lambda low, _high: low) == 0.0
    assert len({full_jitter(8, 1.0, 600.0) for _ in range(50)}) == 50


def test_what_is_down_is_asked_ever_more_rarely_and_at_once_when_it_is_back() -> None:
    pace, now = Pace(1.0, 3_600.0), 0.0
    for _ in range(4):
        pace.failed(now)
    assert not pace.down
    waits = []
    for _ in range(12):
        pace.failed(now)
        waits.append(pace.wait_s(now))
        now += pace.wait_s(now)
    assert pace.down
    assert max(waits[-4:]) > max(waits[:4])
    pace.succeeded()
    assert not pace.down
    pace.unavailable(now, asked_s=1e9)
    assert pace.wait_s(now) <= LONGEST_ASKED_S + 1e-3


def test_retry_after_is_seconds_or_a_date() -> None:
    def asked(text: str) -> float | None:
        return _retry_after_s(httpcore.Response(503, headers=[(b"Retry-After", text.encode())]))

    assert asked("120") == 120.0
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 80 < (asked(soon) or 0) <= 91
    assert asked("9" * 400) == asked("Fri, 31 Dec 9999 23:59:59 GMT") == LONGEST_ASKED_S
    assert asked("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0
    assert [asked(text) for text in ("", "soon", "-5", "1e9", "٣")] == [None] * 5


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://CRM.example./a?b=c", b"crm.example"),
        ("https://crm.example:8443", b"crm.example:8443"),
        ("http://[2606:4700::1111]:80/", b"[2606:4700::1111]"),
        ("https://[2606:4700::1111]:444/", b"[2606:4700::1111]:444"),
        ("https://bücher.example/", b"xn--bcher-kva.example"),
    ],
)
def test_the_host_is_named_as_it_is_connected_to(url: str, host: bytes) -> None:
    assert _host(_url(url)) == host


@pytest.mark.parametrize("host", ["10.0.0.3", "[::1]", "db.example,192.168.0.1", "%2Frun%2Fpg"])
def test_a_database_at_a_private_address_is_refused_at_the_start(host: str, tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    values = {"name": "sql", "kind": "postgresql", "segments": ["vip"]}
    values["dsn"] = f"postgresql://crm@{host}/crm"
    with pytest.raises(pp.DeliveryError, match=r"sql: dsn: .* not public; .* allow_private"):
        Deliveries([destination_from(values, "test")], PretendServer(), tmp_path)
    named = host.rpartition(",")[2].replace("%2F", "/").strip("[]")
    Deliveries(
        [destination_from(values | {"allow_private": [named]}, "test")], PretendServer(), tmp_path
    )
