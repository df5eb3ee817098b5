"""A server of transitions in memory, by the rules that the real one keeps."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from propense.delivery import Message, Page, TransitionsGoneError
from propense.delivery.ledger_schema import LEDGER, connect
from propense.exceptions import UnavailableError
from propense.segments.transition import Cause, Transition

SEGMENTS = frozenset({"vip", "other", "may_contact", "at_risk", "likely"})
START = datetime(2026, 1, 1, tzinfo=UTC)


class PretendServer:
    """Keeps transitions and membership; ``on_message`` may change membership as a rule would."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []
        self.members: dict[tuple[str, str], bool] = {}
        self.messages: list[Message] = []
        self.on_message: Callable[[Message], None] = lambda message: None
        self.models: dict[str, str | None] = {}
        self.names = SEGMENTS
        self.away = False
        self.erased: set[str] = set()
        self.first_kept = 1
        self._news = threading.Condition(threading.RLock())

    def move(self, user: str, segment: str, cause: Cause = "event") -> Transition:
        """Let a user enter, or exit if in."""
        with self._news:
            inside = not self.members.get((user, segment), False)
            self.members[user, segment] = inside
            number = len(self.transitions) + 1
            made = Transition(
                number=number,
                user_id=user,
                segment=segment,
                kind="enter" if inside else "exit",
                time=START + timedelta(seconds=number),
                cause=cause,
            )
            self.transitions.append(made)
            self._news.notify_all()
            return made

    def wander(self, steps: int, users: int, segments: Sequence[str], seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(steps):
            self.move(f"u{rng.randrange(users)}", rng.choice(segments))

    def inside(self, segment: str) -> set[str]:
        with self._news:
            return {user for (user, of), inside in self.members.items() if inside and of == segment}

    def read(self, segments: Sequence[str], after: int, limit: int, wait_s: float) -> Page:
        self._answer()
        with self._news:
            if after + 1 < self.first_kept:
                raise TransitionsGoneError("they are no longer kept", first=self.first_kept)
            self._news.wait_for(lambda: len(self.transitions) > after, wait_s)
            some = self.transitions[after : after + limit]
            up_to = some[-1].number if some else after
            return Page([one for one in some if one.segment in segments], up_to)

    def newest(self) -> int:
        self._answer()
        return len(self.transitions)

    def segment_names(self) -> frozenset[str]:
        self._answer()
        return self.names

    def now_us(self) -> int:
        self._answer()
        return int(START.timestamp() * 1e6) + len(self.transitions)

    def segments_of(self, user_id: str, segments: Sequence[str]) -> frozenset[str]:
        self._answer()
        with self._news:
            return frozenset(one for one in segments if self.members.get((user_id, one), False))

    def models_of(self, segments: Sequence[str]) -> dict[str, str | None]:
        self._answer()
        tiers = {name.rpartition(".")[0] for name in segments if "." in name}
        return {name: digest for name, digest in self.models.items() if name in tiers}

    def known(self, user_ids: Sequence[str]) -> set[str]:
        self._answer()
        return set(user_ids) - self.erased

    def record(self, messages: Sequence[Message]) -> None:
        self._answer()
        with self._news:
            known = {(one.destination, one.number) for one in self.messages}
            for message in messages:
                if (message.destination, message.number) not in known:
                    self.messages.append(message)
                    self.on_message(message)

    def _answer(self) -> None:
        if self.away:
            raise UnavailableError("it is away", code="UNAVAILABLE")


def folded(transitions: Sequence[tuple[str, str, str]]) -> dict[str, set[str]]:
    """Fold (user, segment, kind) into members, and refuse what does not alternate."""
    members: dict[str, set[str]] = {}
    for user, segment, kind in transitions:
        inside = members.setdefault(segment, set())
        if (user in inside) == (kind == "enter"):
            raise AssertionError(f"{kind} of a user who is {'in' if user in inside else 'out'}")
        (inside.add if kind == "enter" else inside.remove)(user)
    return members


def until(condition: Callable[[], object], patience_s: float = 300.0) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > ends:
            raise AssertionError("it did not come to be in time")
        time.sleep(0.005)


def items(folder: Path, destination: str, *states: str) -> list[dict[str, object]]:
    """Give what is in a destination's queue, dead letters included."""
    sql = connect(folder / LEDGER, durable=False)
    try:
        rows = sql.execute(
            "SELECT * FROM item WHERE destination = ? ORDER BY number", (destination,)
        )
        return [dict(row) for row in rows if not states or row["state"] in states]
    finally:
        sql.close()


def standing(folder: Path, destination: str) -> dict[str, object]:
    """Give a destination's row; empty before it has begun."""
    sql = connect(folder / LEDGER, durable=False)
    try:
        row = sql.execute("SELECT * FROM destination WHERE name = ?", (destination,)).fetchone()
        return {} if row is None else dict(row)
    finally:
        sql.close()


def caught_up(folder: Path, destination: str, server: PretendServer) -> bool:
    """Whether all is delivered, dropped or dead."""
    row = standing(folder, destination)
    at_the_end = row.get("cursor") == len(server.transitions)
    return at_the_end and not items(folder, destination, "waiting", "sent", "held")
