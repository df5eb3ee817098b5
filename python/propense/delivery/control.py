"""How deliveries stand, and what an operator does about them, while a server runs or not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection

from propense.delivery.ledger import now_us
from propense.delivery.ledger_schema import LEDGER, connect
from propense.exceptions import DeliveryError
from propense.goal_types import did_you_mean
from propense.instants import from_us


@dataclass(frozen=True)
class DestinationState:
    """How one destination stands.

    Attributes
    ----------
    name, kind
        Which one.
    read_up_to
        The number up to which it has looked at all transitions.
    unread
        Transitions, of any segment, that it had not looked at when it last saw how many there are.
    waiting
        Items to be delivered, those that failed before included.
    retrying
        Those of them that failed before.
    held
        Enters that wait for the segment of ``only_if``.
    dead
        Dead letters.
    delivered, dropped, failures
        Items delivered so far; enters that were never delivered because the user left before; attempts
        that failed.
    oldest_s
        For how many seconds the oldest waiting item has been in the queue; None if none waits.
    missing_segments
        Segments that it names and that were not there when it last looked, each with the nearest name
        that was, or None.
    paused
        Why nothing is delivered; None if all is well.
    last_error, last_error_at, last_delivered_at
        What went wrong last, when, and when something last went well.
    """

    name: str
    kind: str
    read_up_to: int
    unread: int
    waiting: int
    retrying: int
    held: int
    dead: int
    delivered: int
    dropped: int
    failures: int
    oldest_s: float | None
    missing_segments: dict[str, str | None]
    paused: str | None
    last_error: str | None
    last_error_at: datetime | None
    last_delivered_at: datetime | None


@dataclass(frozen=True)
class DeadLetter:
    """An item that was given up, by its transition's number."""

    number: int
    user_id: str
    segment: str
    kind: str
    time: datetime
    cause: str
    attempts: int
    error: str
    given_up: datetime


def destination_states(store: str | Path) -> list[DestinationState]:
    """Give how every destination of a store stands, by name.

    Raises
    ------
    DeliveryError
        The store has never delivered anything, or its file cannot be read.
    """
    query = """
        SELECT d.*,
            coalesce(sum(i.state IN ('waiting', 'sent')), 0) AS waiting,
            coalesce(sum(i.state = 'waiting' AND i.attempts > 0), 0) AS retrying,
            coalesce(sum(i.state = 'held'), 0) AS held,
            coalesce(sum(i.state = 'dead'), 0) AS dead,
            min(CASE WHEN i.state IN ('waiting', 'sent') THEN i.queued_us END) AS oldest_us
        FROM destination AS d LEFT JOIN item AS i ON i.destination = d.name
        GROUP BY d.name ORDER BY d.name"""
    with _opened(store) as sql:
        now = now_us()
        return [
            DestinationState(
                name=row["name"],
                kind=row["kind"],
                read_up_to=row["cursor"],
                unread=max(0, row["newest"] - row["cursor"]),
                waiting=row["waiting"],
                retrying=row["retrying"],
                held=row["held"],
                dead=row["dead"],
                delivered=row["delivered"],
                dropped=row["dropped"],
                failures=row["failures"],
                oldest_s=None if row["oldest_us"] is None else (now - row["oldest_us"]) / 1e6,
                missing_segments=json.loads(row["missing"] or "{}"),
                paused=row["paused"],
                last_error=row["last_error"],
                last_error_at=_instant(row["last_error_us"]),
                last_delivered_at=_instant(row["last_delivered_us"]),
            )
            for row in sql.execute(query)
        ]


def dead_letters(store: str | Path, name: str) -> list[DeadLetter]:
    """Give a destination's dead letters, ascending by number.

    Raises
    ------
    DeliveryError
        There is no such destination.
    """
    with _opened(store) as sql:
        _check_name(sql, name)
        rows = sql.execute(
            "SELECT * FROM item WHERE destination = ? AND state = 'dead' ORDER BY number", (name,)
        )
        return [
            DeadLetter(
                number=row["number"],
                user_id=row["user_id"],
                segment=row["segment"],
                kind=row["kind"],
                time=from_us(row["time_us"]),
                cause=row["cause"],
                attempts=row["attempts"],
                error=row["error"] or "",
                given_up=from_us(row["due_us"]),
            )
            for row in rows
        ]


def replay(store: str | Path, name: str, numbers: Sequence[int] = ()) -> int:
    """Put dead letters back in the queue, all or those of these numbers; give how many.

    What followed them for the same user and segment was delivered meanwhile: receivers tell by the
    number what is older than what they have.

    Raises
    ------
    DeliveryError
        There is no such destination, or no dead letter of a number.
    """
    with _changing(store) as sql:
        _check_name(sql, name)
        found = sql.execute(
            "SELECT number FROM item WHERE destination = ? AND state = 'dead'", (name,)
        )
        dead = {int(row["number"]) for row in found}
        missing = sorted(set(numbers) - dead)
        if missing:
            raise DeliveryError(f"{name} has no dead letter {missing[0]}")
        chosen = sorted(numbers or dead)
        sql.executemany(
            "UPDATE item SET state = 'waiting', attempts = 0, due_us = ?, queued_us = ?"
            " WHERE destination = ? AND number = ? AND state = 'dead'",
            [(now_us(), now_us(), name, number) for number in chosen],
        )
        return len(chosen)


def pause(store: str | Path, name: str) -> None:
    """Deliver nothing to a destination until it is resumed; nothing is lost.

    Raises
    ------
    DeliveryError
        There is no such destination.
    """
    with _changing(store) as sql:
        _check_name(sql, name)
        sql.execute("UPDATE destination SET paused = 'by hand' WHERE name = ?", (name,))


def resume(store: str | Path, name: str, after: int | None = None) -> None:
    """Deliver to a destination again, from where it was or after another number.

    Raises
    ------
    DeliveryError
        There is no such destination.
    """
    with _changing(store) as sql:
        _check_name(sql, name)
        sql.execute(
            "UPDATE destination SET paused = NULL, cursor = coalesce(?, cursor) WHERE name = ?",
            (after, name),
        )


def forget(store: str | Path, name: str) -> None:
    """Forget a destination with its cursor, queue and dead letters.

    Raises
    ------
    DeliveryError
        There is no such destination.
    """
    with _changing(store) as sql:
        _check_name(sql, name)
        sql.execute("DELETE FROM item WHERE destination = ?", (name,))
        sql.execute("DELETE FROM destination WHERE name = ?", (name,))


@contextmanager
def _opened(store: str | Path) -> Iterator[Connection]:
    """Open the file to read it; whoever delivers is not held up."""
    path = Path(store) / LEDGER
    if not path.is_file():
        raise DeliveryError(f"{store} has no deliveries; propense serve --destinations makes them")
    sql = connect(path, durable=True)
    try:
        yield sql
    finally:
        sql.close()


@contextmanager
def _changing(store: str | Path) -> Iterator[Connection]:
    """Open the file for one transaction."""
    with _opened(store) as sql:
        sql.execute("BEGIN IMMEDIATE")
        yield sql
        sql.execute("COMMIT")


def _check_name(sql: Connection, name: str) -> None:
    known = [row["name"] for row in sql.execute("SELECT name FROM destination ORDER BY name")]
    if name not in known:
        hint = did_you_mean(name, known)
        raise DeliveryError(
            f"no destination {name!r}{hint}; there are {', '.join(known) or 'none'}"
        )


def _instant(instant_us: int | None) -> datetime | None:
    return None if instant_us is None else from_us(instant_us)
