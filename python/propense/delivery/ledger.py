"""One destination's cursor, queue and dead letters, in a file that survives the process."""

from __future__ import annotations

import json
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Row

from propense.delivery.ledger_schema import BUSY_S, connect
from propense.delivery.sink import Item
from propense.instants import from_us, to_us
from propense.segments.transition import Transition

_COLUMNS = "number, user_id, segment, kind, time_us, cause, attempts, sent_us"

_READERS_MS = 200


def now_us() -> int:
    """Give this machine's now, microseconds since 1970; retries are due by it."""
    return time.time_ns() // 1_000


class Ledger:
    """What one destination has still to deliver; used by one thread.

    A transition is in the queue from the transaction on that moves the cursor past it, and leaves it
    in the one that notes what became of it: whatever is cut off, it is delivered, perhaps again.
    """

    def __init__(self, path: Path, name: str, *, durable: bool) -> None:
        self._name = name
        self._sql = connect(path, durable=durable)
        # Whoever had the file before may have been killed while it was so.
        self._unclean = True

    def close(self) -> None:
        """Close the file."""
        self._sql.close()

    @property
    def origin(self) -> str:
        """What tells this store's deliveries apart from those of others."""
        return str(self._sql.execute("SELECT id FROM origin").fetchone()[0])

    def register(self, kind: str, cursor: int, newest: int) -> None:
        """Make the destination known; one that is already keeps its cursor."""
        self._sql.execute(
            "INSERT INTO destination (name, kind, cursor, newest) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET kind = excluded.kind",
            (self._name, kind, cursor, newest),
        )

    @property
    def known(self) -> bool:
        """Whether the destination was registered before."""
        return self._one("SELECT count(*) FROM destination WHERE name = :name") > 0

    @property
    def cursor(self) -> int:
        """The number after which to read."""
        return self._one("SELECT cursor FROM destination WHERE name = :name")

    @property
    def paused(self) -> str | None:
        """Why nothing is delivered now; None if all is well."""
        found = self._sql.execute("SELECT paused FROM destination WHERE name = ?", (self._name,))
        row = found.fetchone()
        return None if row is None or row[0] is None else str(row[0])

    def pause(self, reason: str) -> None:
        """Deliver nothing more until someone resumes it."""
        self._sql.execute("UPDATE destination SET paused = ? WHERE name = ?", (reason, self._name))

    def resume(self) -> None:
        """Deliver again."""
        self._sql.execute("UPDATE destination SET paused = NULL WHERE name = ?", (self._name,))

    def begin_after(self, number: int) -> None:
        """Read on after a number: nothing up to it can be read."""
        self._sql.execute("UPDATE destination SET cursor = ? WHERE name = ?", (number, self._name))

    def note_newest(self, newest: int) -> None:
        """Keep how far the server is, for whoever looks at the lag."""
        self._sql.execute(
            "UPDATE destination SET newest = max(newest, ?) WHERE name = ?", (newest, self._name)
        )

    def note_missing(self, missing: Mapping[str, str | None]) -> None:
        """Keep which of its segments are not there, each with the nearest name that is."""
        self._sql.execute(
            "UPDATE destination SET missing = ? WHERE name = ?",
            (json.dumps(missing) if missing else None, self._name),
        )

    def note_error(self, error: str) -> None:
        """Keep what went wrong last."""
        self._sql.execute(
            "UPDATE destination SET last_error = ?, last_error_us = ? WHERE name = ?",
            (error, now_us(), self._name),
        )

    def enqueue(
        self,
        transitions: Sequence[Transition],
        up_to: int,
        *,
        segments: set[str],
        only_if: str | None,
        under_way: Container[int] = (),
    ) -> None:
        """Take what was read into the queue and move the cursor past it, in one transaction.

        Where there is an ``only_if``, an exit takes its enter out of the queue, unless that is
        ``under_way`` at this moment.
        """
        with self._transaction():
            for transition in transitions:
                if only_if is not None and transition.kind == "enter":
                    if transition.segment == only_if:
                        self._wake(transition.user_id)
                elif only_if is not None and self._drop_enter(transition, under_way):
                    continue
                if transition.segment in segments:
                    self._insert(transition)
            self._sql.execute(
                "UPDATE destination SET cursor = max(cursor, ?), newest = max(newest, ?)"
                " WHERE name = ?",
                (up_to, up_to, self._name),
            )

    def _insert(self, transition: Transition) -> None:
        now = now_us()
        self._sql.execute(
            "INSERT INTO item (destination, number, user_id, segment, kind, time_us, cause, state,"
            " due_us, queued_us) VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting', ?, ?)"
            " ON CONFLICT DO NOTHING",
            (
                self._name,
                transition.number,
                transition.user_id,
                transition.segment,
                transition.kind,
                to_us(transition.time),
                transition.cause,
                now,
                now,
            ),
        )

    def _wake(self, user_id: str) -> None:
        self._sql.execute(
            "UPDATE item INDEXED BY item_by_user SET state = 'waiting', due_us = ?"
            " WHERE destination = ? AND user_id = ? AND state = 'held'",
            (now_us(), self._name, user_id),
        )

    def _drop_enter(self, leaving: Transition, under_way: Container[int]) -> bool:
        """Drop the enter that this exit ends, if it still waits; give whether that ends both.

        One that may have arrived is not tried again, but its exit is delivered.
        """
        found = self._sql.execute(
            "SELECT number, started FROM item INDEXED BY item_by_user"
            " WHERE destination = ? AND user_id = ? AND segment = ? AND number < ?"
            " AND kind = 'enter' AND state IN ('waiting', 'held')",
            (self._name, leaving.user_id, leaving.segment, leaving.number),
        ).fetchall()
        dropped = [row for row in found if row["number"] not in under_way]
        self._each("DELETE FROM item", [row["number"] for row in dropped])
        untold: int = sum(row["started"] == 0 for row in dropped)
        self._sql.execute(
            "UPDATE destination SET dropped = dropped + ? WHERE name = ?", (untold, self._name)
        )
        return untold > 0

    def due(self, limit: int, *, chains: bool) -> list[Item]:
        """Give items to deliver now, ascending by number.

        Those of one user and segment come in order: only the first of them or, with ``chains``, as
        many as are due, none of them after one that is not.
        """
        earlier = "(e.state <> 'waiting' OR e.due_us > :now)" if chains else "TRUE"
        rows = self._sql.execute(
            f"SELECT {_COLUMNS} FROM item AS i"
            " WHERE destination = :name AND state = 'waiting' AND due_us <= :now AND NOT EXISTS ("
            "  SELECT 1 FROM item AS e INDEXED BY item_by_user WHERE e.destination = i.destination"
            "  AND e.user_id = i.user_id AND e.segment = i.segment AND e.number < i.number"
            f"  AND e.state <> 'dead' AND {earlier})"
            f" ORDER BY {'number' if chains else 'due_us, number'} LIMIT :limit",
            {"name": self._name, "now": now_us(), "limit": limit},
        )
        return sorted((_item(row) for row in rows), key=lambda item: item.number)

    def begun(self) -> list[tuple[Item, int]]:
        """Give all items that may have arrived already and still wait, each with when that was."""
        rows = self._sql.execute(
            f"SELECT {_COLUMNS} FROM item INDEXED BY item_by_due"
            " WHERE destination = ? AND state = 'waiting' AND started = 1 ORDER BY number",
            (self._name,),
        )
        return [(_item(row), int(row["sent_us"] or 0)) for row in rows]

    def unrecorded(self, limit: int) -> list[tuple[Item, int]]:
        """Give deliveries whose messages are still to be recorded, each with when it was made."""
        rows = self._sql.execute(
            f"SELECT {_COLUMNS} FROM item INDEXED BY item_by_due"
            " WHERE destination = ? AND state = 'sent' LIMIT ?",
            (self._name, limit),
        )
        return [(_item(row), int(row["sent_us"])) for row in rows]

    def waiting(self, at_most: int) -> int:
        """Count items that wait for delivery, up to a number."""
        return self._one(
            "SELECT count(*) FROM (SELECT 1 FROM item INDEXED BY item_by_due WHERE destination = :name"
            f" AND state = 'waiting' LIMIT {at_most})"
        )

    def longest_due_s(self) -> float | None:
        """Give for how many seconds the item that was due first has been so; None if none waits."""
        found = self._sql.execute(
            "SELECT min(due_us) FROM item INDEXED BY item_by_due"
            " WHERE destination = ? AND state = 'waiting'",
            (self._name,),
        ).fetchone()[0]
        return None if found is None else max(0.0, (now_us() - found) / 1e6)

    def next_due_s(self) -> float | None:
        """Give the seconds until the next item is due; None if none waits."""
        found = self._sql.execute(
            "SELECT min(due_us) FROM item INDEXED BY item_by_due"
            " WHERE destination = ? AND state IN ('waiting', 'sent')",
            (self._name,),
        ).fetchone()[0]
        return None if found is None else max(0.0, (found - now_us()) / 1e6)

    def begin(self, numbers: Iterable[int], sent_us: int) -> None:
        """Note that these may have arrived, before they are sent: it may be the last thing done."""
        self._each(f"UPDATE item SET started = 1, sent_us = {sent_us}", numbers)

    def hold(self, numbers: Sequence[int]) -> None:
        """Keep enters until the user is in the segment of only_if.

        One whose exit is in the queue, as that came while the enter was under way, is dropped: it would
        hold that up for as long as the user stays away.
        """
        with self._transaction():
            self._sql.executemany(
                "DELETE FROM item AS i WHERE destination = ? AND number = ? AND EXISTS ("
                " SELECT 1 FROM item AS e INDEXED BY item_by_user WHERE e.destination = i.destination"
                " AND e.user_id = i.user_id AND e.segment = i.segment AND e.number > i.number"
                " AND e.kind = 'exit')",
                [(self._name, number) for number in numbers],
            )
            self._each("UPDATE item SET state = 'held'", numbers)

    def postpone(self, numbers: Iterable[int], wait_s: float) -> None:
        """Look at items again later."""
        self._each(f"UPDATE item SET due_us = {now_us() + int(wait_s * 1e6)}", numbers)

    def sent(self, number: int, sent_us: int) -> None:
        """Note a delivery whose message is still to be recorded."""
        self._sql.execute(
            "UPDATE item SET state = 'sent', sent_us = ? WHERE destination = ? AND number = ?",
            (sent_us, self._name, number),
        )

    def delivered(self, numbers: Sequence[int]) -> None:
        """Take what was delivered out of the queue."""
        with self._transaction():
            self._each("DELETE FROM item", numbers)
            self._sql.execute(
                "UPDATE destination SET delivered = delivered + ?, last_delivered_us = ?"
                " WHERE name = ?",
                (len(numbers), now_us(), self._name),
            )

    def failed(self, number: int, error: str, wait_s: float) -> None:
        """Note a failure, and when to try again."""
        self._count_failure()
        self._sql.execute(
            "UPDATE item SET attempts = attempts + 1, error = ?, due_us = ?"
            " WHERE destination = ? AND number = ?",
            (error, now_us() + int(wait_s * 1e6), self._name, number),
        )

    def bury(self, number: int, error: str) -> None:
        """Note a failure, and give the item up."""
        self._count_failure()
        self._sql.execute(
            "UPDATE item SET state = 'dead', attempts = attempts + 1, error = ?, due_us = ?"
            " WHERE destination = ? AND number = ?",
            (error, now_us(), self._name, number),
        )

    def _count_failure(self) -> None:
        self._sql.execute(
            "UPDATE destination SET failures = failures + 1 WHERE name = ?", (self._name,)
        )

    def users(self, after: str, limit: int) -> list[str]:
        """Give users of whom anything is in the queue or among the dead letters, ascending."""
        rows = self._sql.execute(
            "SELECT DISTINCT user_id FROM item INDEXED BY item_by_user"
            " WHERE destination = ? AND user_id > ? ORDER BY user_id LIMIT ?",
            (self._name, after, limit),
        )
        return [str(row["user_id"]) for row in rows]

    def forget(self, erased: Mapping[str, int], under_way: Container[int] = ()) -> set[int]:
        """Leave no byte of users who were erased; only the news of it stays until it is delivered.

        What has a larger number than a user's erasure is of somebody new. Gives the numbers of items
        that stay because they are ``under_way``: to be dropped when that ends.
        """
        left = set[int]()
        for user_id, up_to in erased.items():
            found = self._sql.execute(
                "SELECT number FROM item INDEXED BY item_by_user"
                " WHERE destination = ? AND user_id = ? AND cause <> 'erased' AND number < ?",
                (self._name, user_id, up_to),
            ).fetchall()
            numbers = {int(row["number"]) for row in found}
            staying = {number for number in numbers if number in under_way}
            self.drop(numbers - staying)
            left |= staying
        # Of news that was delivered too, which is deleted elsewhere.
        self._unclean = True
        self.clean()
        return left

    def drop(self, numbers: set[int]) -> None:
        """Take items of erased users out of the queue; :meth:`clean` leaves no byte of them."""
        if numbers:
            self._each("DELETE FROM item", numbers)
            self._unclean = True

    def clean(self) -> None:
        """Take what was deleted out of the write-ahead log too; not while somebody reads the file.

        Then it is not waited for, and the next call tries again.
        """
        if not self._unclean:
            return
        self._sql.execute(f"PRAGMA busy_timeout = {_READERS_MS}")
        busy, _, _ = self._sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._sql.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1_000)}")
        self._unclean = bool(busy)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make what is noted in the block one transaction."""
        with self._transaction():
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._sql.in_transaction:
            yield
            return
        self._sql.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._sql.execute("ROLLBACK")
            raise
        self._sql.execute("COMMIT")

    def _each(self, statement: str, numbers: Iterable[int]) -> None:
        with self._transaction():
            self._sql.executemany(
                f"{statement} WHERE destination = ? AND number = ?",
                [(self._name, number) for number in numbers],
            )

    def _one(self, query: str) -> int:
        return int(self._sql.execute(query, {"name": self._name}).fetchone()[0])


def _item(row: Row) -> Item:
    made = Transition(
        number=row["number"],
        user_id=row["user_id"],
        segment=row["segment"],
        kind=row["kind"],
        time=from_us(row["time_us"]),
        cause=row["cause"],
    )
    return Item(made, row["attempts"])
