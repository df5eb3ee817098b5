"""Whether a user may be contacted now, and the messages that later rules count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from propense.delivery.contact import Claims
from propense.delivery.destination import Destination
from propense.delivery.ledger import Ledger
from propense.delivery.messages import Message
from propense.delivery.sink import Item
from propense.delivery.source import TransitionSource

_RECORD_ITEMS = 1_000
_CLAIMED_S = 0.05


class ContactRules:
    """The ``only_if`` and ``channel`` of one destination; of no effect where it has neither."""

    def __init__(
        self, destination: Destination, source: TransitionSource, ledger: Ledger, claims: Claims
    ) -> None:
        self._name, self._only_if = destination.name, destination.only_if
        self._channel = destination.channel
        self._source, self._ledger, self._claims = source, ledger, claims

    def allowed(self, items: Sequence[Item]) -> list[Item]:
        """Give those that may be delivered now; claims their users, and puts off the others."""
        if self._only_if is None and self._channel is None:
            return list(items)
        allowed, held, busy = list[Item](), list[int](), list[int]()
        taken, put_off = set[str](), set[tuple[str, str]]()
        try:
            for item in items:
                user_id = item.transition.user_id
                pair = (user_id, item.transition.segment)
                if pair in put_off:
                    # An exit too: it would overtake its enter.
                    busy.append(item.number)
                elif item.transition.kind == "exit":
                    allowed.append(item)
                elif not self._claims.claim(self._name, user_id):
                    busy.append(item.number)
                    put_off.add(pair)
                else:
                    taken.add(user_id)
                    if self._may(item):
                        allowed.append(item)
                    else:
                        held.append(item.number)
                        put_off.add(pair)
            with self._ledger.together():
                self._ledger.hold(held)
                self._ledger.postpone(busy, _CLAIMED_S)
        except BaseException:
            self._claims.release(self._name, taken)
            raise
        entering = {i.transition.user_id for i in allowed if i.transition.kind == "enter"}
        self._claims.release(self._name, taken - entering)
        return allowed

    def _may(self, item: Item) -> bool:
        """Ask the server, whose answer is newer than the transitions read so far.

        A user who has left the segment meanwhile is not contacted either; the exit is on its way.
        """
        if self._only_if is None:
            return True
        wanted = {self._only_if, item.transition.segment}
        return self._source.segments_of(item.transition.user_id, sorted(wanted)) == wanted

    def sent_us(self, items: Iterable[Item]) -> int:
        """Give when messages count as sent: just before now, so that rules see them at once.

        A rule at an instant sees what is earlier only, and a simulated clock may stand still. 0 where
        none of the items is a message.
        """
        if self._channel is None or not any(i.transition.kind == "enter" for i in items):
            return 0
        return self._source.now_us() - 1

    def note_delivered(self, done: Sequence[tuple[Item, int]]) -> None:
        """Take deliveries out of the queue; those that are messages once they are events."""
        others = list[int]()
        for item, sent_us in done:
            if self._is_message(item, sent_us):
                self._ledger.sent(item.number, sent_us)
            else:
                others.append(item.number)
        self._ledger.delivered(others)

    def note_written(self, done: Sequence[tuple[Item, int]]) -> None:
        """Do the same for what was delivered before a cut-off; messages' users are not let go yet."""
        for item, sent_us in done:
            if self._is_message(item, sent_us):
                self._claims.claim(self._name, item.transition.user_id)
        self.note_delivered(done)

    def _is_message(self, item: Item, sent_us: int) -> bool:
        # What was sent before there was a channel is none.
        return self._channel is not None and item.transition.kind == "enter" and sent_us > 0

    def record(self) -> None:
        """Write messages that are still to be events."""
        if self._channel is None:
            return
        while found := self._ledger.unrecorded(_RECORD_ITEMS):
            self._source.record(
                [
                    Message(
                        user_id=item.transition.user_id,
                        segment=item.transition.segment,
                        destination=self._name,
                        channel=self._channel,
                        number=item.number,
                        time_us=sent_us,
                    )
                    for item, sent_us in found
                ]
            )
            self._ledger.delivered([item.number for item, _ in found])
            self._claims.release(self._name, {item.transition.user_id for item, _ in found})

    def release(self, items: Sequence[Item]) -> None:
        """Let other destinations have the users whose messages are not still to be recorded."""
        if self._channel is None and self._only_if is None:
            return
        kept = {item.transition.user_id for item, _ in self._ledger.unrecorded(1 << 30)}
        # An exit has claimed nobody; another enter of its user may be under way.
        told = {i.transition.user_id for i in items if i.transition.kind == "enter"}
        self._claims.release(self._name, told - kept)
