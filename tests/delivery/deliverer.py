"""A process that delivers, to be killed: transitions come from a file that the test writes."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from multiprocessing.synchronize import Event
from pathlib import Path

from propense.delivery import Deliveries, Message, Page, read_destinations
from propense.segments.transition import Transition


class FileOfTransitions:
    """Reads ``transitions.jsonl``, keeps messages in ``messages.jsonl``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = list[Transition]()
        self._offset = 0
        self._lock = threading.Lock()

    def _all(self) -> list[Transition]:
        with self._lock, (self._folder / "transitions.jsonl").open("rb") as file:
            file.seek(self._offset)
            news = file.read()
            news = news[: news.rfind(b"\n") + 1]
            self._offset += len(news)
            for row in map(json.loads, news.splitlines()):
                time_of = datetime.fromisoformat(row["time"])
                self._known.append(Transition(**row | {"time": time_of}))
            return self._known

    def read(self, segments: Sequence[str], after: int, limit: int, wait_s: float) -> Page:
        some = self._all()[after : after + min(limit, 50)]
        if not some:
            time.sleep(min(wait_s, 0.02))
        up_to = some[-1].number if some else after
        return Page([one for one in some if one.segment in segments], up_to)

    def newest(self) -> int:
        return len(self._all())

    def segment_names(self) -> frozenset[str]:
        return frozenset({"at_risk", "vip"})

    def now_us(self) -> int:
        return time.time_ns() // 1_000

    def segments_of(self, user_id: str, segments: Sequence[str]) -> frozenset[str]:
        last = {one.segment: one.kind for one in self._all() if one.user_id == user_id}
        return frozenset(name for name in segments if last.get(name) == "enter")

    def known(self, user_ids: Sequence[str]) -> set[str]:
        return set(user_ids)

    def record(self, messages: Sequence[Message]) -> None:
        rows = [json.dumps([one.destination, one.number]) + "\n" for one in messages]
        with (self._folder / "messages.jsonl").open("a") as file:
            file.write("".join(rows))
            file.flush()
            os.fsync(file.fileno())


def main(folder: Path, begun: Event) -> None:
    """Deliver until killed."""
    with Deliveries(read_destinations(folder / "destinations"), FileOfTransitions(folder), folder):
        begun.set()
        while True:
            time.sleep(60)
