"""A real PostgreSQL keeps the table that the transitions fold to."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from postgres import Database, database
from pretend_server import PretendServer, caught_up, items, standing, until

import propense as pp
from propense.delivery import Deliveries, Destination, destination_from
from propense.delivery.postgresql import PostgreSQLSink, checked_parameters
from propense.delivery.sink import Item, SinkUnavailableError

SEGMENTS = ("at_risk", "vip")


@pytest.fixture(scope="module")
def running() -> Iterator[Database]:
    with database() as made:
        yield made


@pytest.fixture
def server() -> PretendServer:
    made = PretendServer()
    made.wander(600, 40, (*SEGMENTS, "other"), seed=9)
    return made


def table(running: Database, name: str, **options: object) -> Destination:
    values = {
        "name": "table",
        "kind": "postgresql",
        "segments": SEGMENTS,
        "dsn": running.dsn,
        "table": name,
        "allow_private": ["127.0.0.1"],
        "retry": {"first_s": 0.01, "longest_s": 0.1},
    }
    return destination_from(values | options, "test")


def rows(running: Database, name: str) -> list[tuple[object, ...]]:
    with psycopg.connect(running.dsn) as connection:
        found = connection.execute(
            f"SELECT user_id, segment, is_member, since, transition_number FROM {name}"
            " ORDER BY user_id, segment"
        )
        return found.fetchall()


def expected(server: PretendServer) -> list[tuple[object, ...]]:
    last = {(one.user_id, one.segment): one for one in server.transitions}
    return [
        (user, segment, one.kind == "enter", one.time, one.number)
        for (user, segment), one in sorted(last.items())
        if segment in SEGMENTS
    ]


def test_the_table_is_the_fold_of_the_transitions(
    running: Database, server: PretendServer, tmp_path: Path
) -> None:
    with Deliveries([table(running, "plain")], server, tmp_path):
        until(lambda: caught_up(tmp_path, "table", server))
        assert rows(running, "plain") == expected(server)
        server.wander(200, 40, SEGMENTS, seed=10)
        until(lambda: caught_up(tmp_path, "table", server))
    assert rows(running, "plain") == expected(server)


def test_what_comes_twice_or_late_changes_nothing(running: Database, server: PretendServer) -> None:
    sink = PostgreSQLSink(table(running, "twice"), "")  # type: ignore[arg-type]
    made = [Item(one) for one in server.transitions if one.segment in SEGMENTS]
    rng = random.Random(3)
    for _ in range(4):
        start = rng.randrange(len(made))
        sink.deliver(made[start : start + 300])
        sink.deliver(made[: start + 1])
    sink.deliver(made)
    sink.deliver(made[:100])
    sink.close()
    assert rows(running, "twice") == expected(server)


def test_a_database_that_goes_and_comes_loses_nothing(
    server: PretendServer, tmp_path: Path
) -> None:
    with database() as running:
        with Deliveries([table(running, "crm.moves")], server, tmp_path):
            # There is no such schema yet, and making one is not propense's business.
            until(lambda: standing(tmp_path, "table").get("last_error"))
            with psycopg.connect(running.dsn) as connection:
                connection.execute("CREATE SCHEMA crm")
            until(lambda: caught_up(tmp_path, "table", server))
            for seed in (11, 12):
                running.stop()
                server.wander(100, 40, SEGMENTS, seed=seed)
                until(lambda: items(tmp_path, "table", "waiting"))
                running.start()
                until(lambda: caught_up(tmp_path, "table", server))
        assert rows(running, "crm.moves") == expected(server)


def test_what_it_cannot_hold_is_a_dead_letter_and_holds_up_nobody(
    running: Database, server: PretendServer, tmp_path: Path
) -> None:
    with psycopg.connect(running.dsn) as connection:
        connection.execute(
            "CREATE TABLE strict (user_id text CHECK (user_id <> 'unloved'), segment text,"
            " is_member boolean, since timestamptz, transition_number bigint,"
            " updated_at timestamptz, PRIMARY KEY (user_id, segment))"
        )
    server.move("nul\0", "vip")
    server.move("unloved", "vip")
    server.move("last", "vip")
    with Deliveries([table(running, "strict")], server, tmp_path):
        until(lambda: caught_up(tmp_path, "table", server))
    dead = items(tmp_path, "table", "dead")
    assert [row["user_id"] for row in dead] == ["nul\0", "unloved"]
    assert "unloved" not in str([row["error"] for row in dead])
    wanted = [row for row in expected(server) if row[0] not in ("nul\0", "unloved")]
    assert rows(running, "strict") == wanted


def test_an_erased_user_leaves_the_table(
    running: Database, server: PretendServer, tmp_path: Path
) -> None:
    inside = sorted(server.inside("vip") & server.inside("at_risk"))[0]
    server.move(inside, "vip", "erased")
    server.move(inside, "at_risk", "erased")
    with Deliveries([table(running, "erasing")], server, tmp_path):
        until(lambda: caught_up(tmp_path, "table", server))
    assert rows(running, "erasing") == [row for row in expected(server) if row[0] != inside]
    assert inside not in {row["user_id"] for row in items(tmp_path, "table")}


def test_a_private_database_is_refused_unless_named(running: Database) -> None:
    refused = table(running, "private", allow_private=[])
    with pytest.raises(SinkUnavailableError, match="not public.*allow_private"):
        PostgreSQLSink(refused, "").deliver([])  # type: ignore[arg-type]
    found = checked_parameters(table(running, "private"))  # type: ignore[arg-type]
    assert found["hostaddr"] == "127.0.0.1"
    dsn = f"host={running.folder} port={running.port} user=tester dbname=postgres"
    with pytest.raises(SinkUnavailableError, match="not public"):
        PostgreSQLSink(table(running, "private", dsn=dsn), "").deliver([])  # type: ignore[arg-type]
    allowed = table(running, "private", dsn=dsn, allow_private=[str(running.folder)])
    sink = PostgreSQLSink(allowed, "")  # type: ignore[arg-type]
    sink.deliver([])
    sink.close()


def test_a_table_is_the_one_that_is_named_capitals_and_all(
    running: Database, server: PretendServer
) -> None:
    made = [Item(one) for one in server.transitions if one.segment in SEGMENTS]
    with psycopg.connect(running.dsn) as connection:
        connection.execute("CREATE TABLE membership (of_somebody_else text)")
    sink = PostgreSQLSink(table(running, "Membership"), "")  # type: ignore[arg-type]
    sink.deliver(made)
    sink.close()
    assert rows(running, '"Membership"') == expected(server)
    with psycopg.connect(running.dsn) as connection:
        connection.execute("CREATE ROLE writer LOGIN")
        connection.execute('TRUNCATE "Membership"')
        connection.execute('GRANT SELECT, INSERT, UPDATE, DELETE ON "Membership" TO writer')
    dsn = running.dsn.replace("tester", "writer")
    # It may write the table, and make none.
    for name in ("Membership", "public.Membership"):
        sink = PostgreSQLSink(table(running, name, dsn=dsn), "")  # type: ignore[arg-type]
        sink.deliver(made)
        sink.close()
    assert rows(running, '"Membership"') == expected(server)


def test_a_port_that_is_left_out_is_the_usual_one_and_no_time_is_none(running: Database) -> None:
    local = running.dsn.replace(f"127.0.0.1:{running.port}", "127.0.0.1:1,127.0.0.1")
    found = checked_parameters(table(running, "t", dsn=local))  # type: ignore[arg-type]
    assert (found["hostaddr"], found["port"]) == ("127.0.0.1,127.0.0.1", "1,5432")
    # To PostgreSQL, 0 would mean as long as it takes.
    short = checked_parameters(table(running, "t", timeout_s=0.0001))  # type: ignore[arg-type]
    assert short["options"].endswith("statement_timeout=1")
    assert short["tcp_user_timeout"] == "1"


@pytest.mark.parametrize(
    "dsn",
    [
        "dbname=crm",
        "service=crm",
        "nonsense",
        "host=a hostaddr=1.2.3.4",
        "host=a port=5432,",
        "host=a,b port=1,2,3",
        "host=a port=x",
        "host=a port=0",
        "postgresql://u@a:99999/crm",
        "postgresql://u@a:5432,/crm",
        "host=a..b",
    ],
)
def test_an_address_without_a_host_to_check_is_refused(
    dsn: str, server: PretendServer, tmp_path: Path
) -> None:
    values = {"name": "t", "kind": "postgresql", "segments": ["vip"], "dsn": dsn}
    with pytest.raises(pp.DeliveryError, match="dsn: "):
        Deliveries([destination_from(values, "test")], server, tmp_path)
