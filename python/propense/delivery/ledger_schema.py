"""The tables of the file in which deliveries remember how far they are."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from propense.exceptions import DeliveryError

LEDGER = "deliveries.sqlite"
"""The file, in the folder of the store."""

_VERSION = 2
BUSY_S = 30.0
"""For how long whoever writes waits for others."""

_SCHEMA = (
    "CREATE TABLE origin (id TEXT NOT NULL)",
    "INSERT INTO origin VALUES (lower(hex(randomblob(8))))",
    """CREATE TABLE destination (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    -- All transitions up to this number are in the table item, were delivered, or did not concern it.
    cursor INTEGER NOT NULL,
    -- The number of the last transition there was when it was last looked.
    newest INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    -- Enters that were never delivered because the user left before; each with its exit.
    dropped INTEGER NOT NULL DEFAULT 0,
    -- Attempts that failed so far.
    failures INTEGER NOT NULL DEFAULT 0,
    paused TEXT,
    -- The segments that it names and that are not there, as JSON: each with the nearest name, or null.
    missing TEXT,
    last_error TEXT,
    last_error_us INTEGER,
    last_delivered_us INTEGER
) STRICT""",
    """CREATE TABLE item (
    destination TEXT NOT NULL,
    number INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    segment TEXT NOT NULL,
    kind TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    cause TEXT NOT NULL,
    -- waiting: to be delivered when due; held: until the user is in the segment of only_if;
    -- sent: delivered, its message not yet an event; dead: given up.
    state TEXT NOT NULL,
    -- Whether it may have arrived already; and how often it failed.
    started INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_us INTEGER NOT NULL,
    queued_us INTEGER NOT NULL,
    sent_us INTEGER,
    error TEXT,
    PRIMARY KEY (destination, number)
) STRICT, WITHOUT ROWID""",
    "CREATE INDEX item_by_user ON item (destination, user_id, segment, number)",
    "CREATE INDEX item_by_due ON item (destination, state, due_us)",
)

_FROM_1 = (
    "ALTER TABLE destination ADD COLUMN missing TEXT",
    "ALTER TABLE destination ADD COLUMN failures INTEGER NOT NULL DEFAULT 0",
)


def connect(path: Path, *, durable: bool) -> sqlite3.Connection:
    """Open the file, made if it is not there; one connection a thread.

    Parameters
    ----------
    durable
        Whether every transaction is on disk when it ends. Without, a power cut may undo the last
        ones, whole and in order: what was delivered since is then delivered again.

    Raises
    ------
    DeliveryError
        It cannot be opened, or is of a newer version.
    """
    try:
        made = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        made.row_factory = sqlite3.Row
        _log_ahead(made)
        made.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        made.execute("PRAGMA secure_delete = ON")
        _migrate(made, path)
    except sqlite3.Error as error:
        raise DeliveryError(f"{path} cannot be opened: {error}") from error
    return made


def _log_ahead(made: sqlite3.Connection) -> None:
    """Write a log ahead; where two begin to at once, SQLite has one fail instead of waiting."""
    end = time.monotonic() + BUSY_S
    while True:
        try:
            made.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _migrate(made: sqlite3.Connection, path: Path) -> None:
    if _version_of(made) < _VERSION:
        made.execute("BEGIN IMMEDIATE")
        # Somebody else may have come first.
        found = _version_of(made)
        if found < _VERSION:
            for statement in _SCHEMA if found == 0 else _FROM_1:
                made.execute(statement)
            made.execute(f"PRAGMA user_version = {_VERSION}")
        made.execute("COMMIT")
    if _version_of(made) != _VERSION:
        version = _version_of(made)
        made.close()
        raise DeliveryError(f"{path} is of version {version}; this propense knows {_VERSION}")


def _version_of(made: sqlite3.Connection) -> int:
    return int(made.execute("PRAGMA user_version").fetchone()[0])
