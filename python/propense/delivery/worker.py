"""The loop of one destination: read, queue, deliver, note what became of it."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from propense.delivery.backoff import Pace, full_jitter
from propense.delivery.contact import Claims
from propense.delivery.contact_rules import ContactRules
from propense.delivery.destination import Destination
from propense.delivery.erasures import Erasures
from propense.delivery.ledger import Ledger
from propense.delivery.log_lines import say
from propense.delivery.named_segments import NamedSegments
from propense.delivery.required_audit import HELD_BACK, RequiredAudit
from propense.delivery.sink import Item, Outcome, Sink, SinkUnavailableError
from propense.delivery.source import TransitionSource
from propense.exceptions import PropenseError, TransitionsGoneError

READ_ITEMS = 2_000
MOST_WAITING = 100_000
"""With so many items waiting nothing more is read: the rest is safe in the store."""
_WAIT_S, _LOOK_S = 0.25, 2.0
_AWAY_S = (0.2, 10.0)


class Worker(threading.Thread):
    """Delivers to one destination, at its own pace, until told to stop.

    Parameters
    ----------
    destination
        What goes where.
    source
        The server.
    ledger
        The file of the cursor, the queue and the dead letters.
    claims
        Shared by all destinations of the server.
    make_sink
        Makes the end of the line; it gets what tells this store's deliveries from others.
    """

    def __init__(
        self,
        destination: Destination,
        source: TransitionSource,
        ledger: Path,
        claims: Claims,
        make_sink: Callable[[str], Sink],
    ) -> None:
        super().__init__(name=f"deliver {destination.name}", daemon=True)
        self._destination, self._source, self._path = destination, source, ledger
        self._claims, self._make_sink = claims, make_sink
        self._stopping = threading.Event()
        self._pace = Pace(destination.retry.first_s, destination.retry.longest_s)
        self._away, self._look_at = 0, 0.0
        required = destination.requires_audit
        self._audit = None if required is None else RequiredAudit(required, destination.segments)
        self._erasures = Erasures(source)
        # Whether the cursor is one of this server's: another would know none of the users.
        self._in_step = False
        # By number, with when it counts as sent by the server's clock.
        self._under_way = dict[int, tuple[Item, int]]()
        self._read_names = sorted({*destination.segments, *filter(None, [destination.only_if])})

    def stop(self) -> None:
        """Ask it to end after what is under way."""
        self._stopping.set()

    def run(self) -> None:
        """Deliver until told to stop; nothing that goes wrong ends it."""
        while not self._stopping.is_set():
            try:
                self._deliver_until_stopped()
            except Exception as error:
                # Such as a full disk under the ledger. Where and what, but no text of it: that may
                # hold personal data.
                frames = traceback.extract_tb(error.__traceback__)
                places = " < ".join(f"{one.name}:{one.lineno}" for one in reversed(frames))
                self._say(logging.ERROR, "delivery_stumbled", f"{type(error).__name__} in {places}")
                self._stopping.wait(full_jitter(1, *_AWAY_S))

    def _say(self, level: int, event: str, problem: str) -> None:
        say(level, event, self._destination.name, problem)

    def _deliver_until_stopped(self) -> None:
        # What an exit may undo has to be known after a power cut too.
        ledger = Ledger(self._path, self._destination.name, durable=bool(self._destination.only_if))
        sink = self._make_sink(ledger.origin)
        try:
            self._erasures.drop_all(ledger)
            rules = ContactRules(self._destination, self._source, ledger, self._claims)
            # Of what was cut off; who was told, but not of whom it is an event yet, stays claimed.
            rules.release([item for item, _ in self._under_way.values()])
            self._under_way.clear()
            named = NamedSegments(self._destination, self._source, ledger)
            self._note_written(ledger, sink, rules)
            while not self._stopping.is_set():
                self._round(ledger, sink, rules, named)
        finally:
            sink.close()
            ledger.close()

    def _note_written(self, ledger: Ledger, sink: Sink, rules: ContactRules) -> None:
        """Note deliveries whose outcome was lost with the process, as far as the sink can tell."""
        begun = ledger.begun()
        written = sink.written([item.number for item, _ in begun])
        with ledger.together():
            rules.note_written([one for one in begun if one[0].number in written])
        rules.release([item for item, _ in begun])

    def _round(self, ledger: Ledger, sink: Sink, rules: ContactRules, named: NamedSegments) -> None:
        try:
            self._register(ledger)
            named.look()
            rules.record()
            if self._in_step:
                self._erasures.sweep(ledger, self._under_way)
            self._hold_back(ledger)
            paused = ledger.paused is not None
            moved = self._deliver(ledger, sink, rules, may_take=not paused)
            if paused:
                self._wait_aside(ledger, _WAIT_S)
                return
            self._read(ledger, 0.0 if moved else self._idle_s(ledger, sink))
            self._away = 0
        except TransitionsGoneError as error:
            self._begin_later(ledger, error)
        except PropenseError as error:
            self._away += 1
            ledger.note_error(f"the server: {error}")
            self._stopping.wait(full_jitter(self._away, *_AWAY_S))

    def _register(self, ledger: Ledger) -> None:
        if not ledger.known:
            newest = self._source.newest()
            begin = 0 if self._destination.begins_at == "beginning" else newest
            ledger.register(self._destination.kind, begin, newest)

    def _begin_later(self, ledger: Ledger, error: TransitionsGoneError) -> None:
        """Begin with what is kept, if it has read nothing yet; else it would miss some: pause."""
        is_new = ledger.cursor == 0 and self._destination.begins_at == "beginning"
        if is_new and error.first is not None and error.first > 1:
            ledger.begin_after(error.first - 1)
            return
        ledger.pause(f"{error}; resume it with the number after which to go on")
        self._say(logging.ERROR, "delivery_paused", str(error))

    def _hold_back(self, ledger: Ledger) -> None:
        """Pause while the audit that is required does not let deliveries go on."""
        problem = None if self._audit is None else self._audit.problem(self._source)
        standing = ledger.paused
        if standing is not None and not standing.startswith(HELD_BACK):
            return
        wanted = None if problem is None else HELD_BACK + problem
        if wanted == standing:
            return
        if wanted is None:
            ledger.resume()
            self._say(logging.INFO, "delivery_resumed", "the audit that is required is a pass")
        else:
            ledger.pause(wanted)
            self._say(logging.WARNING, "delivery_paused", wanted)

    def _read(self, ledger: Ledger, wait_s: float) -> None:
        if ledger.waiting(MOST_WAITING) >= MOST_WAITING:
            self._wait_aside(ledger, wait_s)
            return
        page = self._source.read(self._read_names, ledger.cursor, READ_ITEMS, wait_s)
        self._in_step = True
        if page.transitions or page.up_to > ledger.cursor:
            ledger.enqueue(
                page.transitions,
                page.up_to,
                segments=set(self._destination.segments),
                only_if=self._destination.only_if,
                under_way=self._under_way,
            )
            self._erasures.hear(ledger, page.transitions, self._under_way)

    def _wait_aside(self, ledger: Ledger, wait_s: float) -> None:
        """Wait without reading, and keep how far the server is meanwhile."""
        if time.monotonic() >= self._look_at:
            ledger.note_newest(self._source.newest())
            self._look_at = time.monotonic() + _LOOK_S
        self._stopping.wait(wait_s)

    def _idle_s(self, ledger: Ledger, sink: Sink) -> float:
        """Give how long nothing but news from the server can be worth doing."""
        due_s = ledger.next_due_s()
        if due_s is None:
            return _WAIT_S
        fill_s = sink.fill_s - (ledger.longest_due_s() or 0.0) if sink.fill_s else 0.0
        return min(_WAIT_S, max(due_s, self._pace.wait_s(time.monotonic()), fill_s, 0.001))

    def _deliver(self, ledger: Ledger, sink: Sink, rules: ContactRules, *, may_take: bool) -> bool:
        """Deliver what is due; give whether there may be more at once."""
        taken = self._take_up(ledger, sink, rules) if may_take else []
        if not self._under_way:
            return False
        try:
            ended = sink.deliver(taken)
        except SinkUnavailableError as error:
            ended = []
            rules.release([item for item, _ in self._under_way.values()])
            self._under_way.clear()
            self._erasures.drop_all(ledger)
            self._pace.unavailable(time.monotonic())
            ledger.note_error(str(error))
            self._say(logging.WARNING, "delivery_unavailable", str(error))
        if ended:
            self._settle(ledger, rules, ended)
        return True

    def _take_up(self, ledger: Ledger, sink: Sink, rules: ContactRules) -> list[Item]:
        """Choose what is to be sent now, and note that it may have arrived."""
        room = self._room(sink)
        if room <= 0:
            return []
        due = ledger.due(room + len(self._under_way), chains=sink.takes_chains)
        items = [item for item in due if item.number not in self._under_way][:room]
        if not items or not self._filled(ledger, sink, len(items)):
            return []
        allowed = rules.allowed(items)
        try:
            sent_us = rules.sent_us(allowed)
            ledger.begin([item.number for item in allowed], sent_us)
        except BaseException:
            rules.release(allowed)
            raise
        self._under_way |= {item.number: (item, sent_us) for item in allowed}
        return allowed

    def _room(self, sink: Sink) -> int:
        if self._pace.wait_s(time.monotonic()) > 0:
            return 0
        most = 1 if self._pace.down and not sink.fill_s else sink.batch_items
        return most - len(self._under_way)

    def _filled(self, ledger: Ledger, sink: Sink, ready: int) -> bool:
        if not sink.fill_s or ready >= sink.batch_items:
            return True
        return (ledger.longest_due_s() or 0.0) >= sink.fill_s

    def _settle(
        self, ledger: Ledger, rules: ContactRules, ended: list[tuple[Item, Outcome]]
    ) -> None:
        """Note what became of each item, in one transaction."""
        done = [item for item, outcome in ended if outcome.result == "delivered"]
        erased = self._erasures.among(item.number for item, _ in ended)
        sent_us = {
            i.number: 0 if i.number in erased else self._under_way[i.number][1] for i in done
        }
        with ledger.together():
            rules.note_delivered([(item, sent_us[item.number]) for item in done])
            for item, outcome in ended:
                if outcome.result != "delivered":
                    self._note_failure(ledger, item, outcome)
            ledger.drop(erased)
        rules.release([item for item, _ in ended])
        for item, _ in ended:
            del self._under_way[item.number]
        self._erasures.ended(ledger, erased)
        self._erasures.hear(ledger, (item.transition for item in done), self._under_way)
        now = time.monotonic()
        for _, outcome in ended:
            if outcome.result == "delivered":
                self._pace.succeeded()
            elif outcome.retry_after_s is not None:
                self._pace.unavailable(now, outcome.retry_after_s)
            elif outcome.result == "failed":
                self._pace.failed(now)

    def _note_failure(self, ledger: Ledger, item: Item, outcome: Outcome) -> None:
        retry, failures = self._destination.retry, item.attempts + 1
        ledger.note_error(outcome.error)
        if outcome.pause is not None:
            ledger.pause(outcome.pause)
            self._say(logging.ERROR, "delivery_paused", outcome.pause)
        if outcome.result == "refused" or failures >= retry.attempts:
            ledger.bury(item.number, outcome.error)
            self._say(logging.WARNING, "dead_letter", outcome.error)
            return
        wait_s = full_jitter(failures, retry.first_s, retry.longest_s)
        ledger.failed(item.number, outcome.error, max(wait_s, outcome.retry_after_s or 0.0))
