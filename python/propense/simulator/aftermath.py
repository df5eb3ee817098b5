"""Events outside sessions: messages received and opened, refunds, support contacts, uninstalls."""

from __future__ import annotations

import numpy as np

from propense.simulator import intent
from propense.simulator.intent import States
from propense.simulator.rows import CHANNELS, NONE, Kind, Records, blank_events
from propense.simulator.seasons import DAY_US, START_US, draw_time_of_day_us
from propense.simulator.walk import HOUR_US, log_us

_SHARE_REFUNDED = 0.05
_REFUND_WITHIN_DAYS = 21
_SHARE_OF_REFUNDS_WITH_SUPPORT = 0.35
_SHARE_WITH_QUESTION = 0.04
_QUESTION_WITHIN_DAYS = 4
_SUPPORT_CHANNELS = [CHANNELS.index(name) for name in ("chat", "phone")]


def message_events(messages: Records) -> Records:
    """Give each message's receipt and, where it was opened, its opening."""
    received = blank_events(len(messages))
    received["user"] = messages["user"]
    received["ts_us"] = log_us(messages["day"], messages["received_us"])
    received["kind"] = np.where(messages["is_push"], Kind.PUSH_RECEIVED, Kind.EMAIL_RECEIVED)
    received["category"] = messages["category"]
    was_opened = messages["opened_us"] >= 0
    opened = received[was_opened]
    opened["ts_us"] = log_us(messages["day"], messages["opened_us"])[was_opened]
    opened["kind"] += 1  # each receipt is followed by its opening in Kind
    return np.concatenate([received, opened])


def uninstall_events(rng: np.random.Generator, states: States) -> Records:
    """Give an uninstall on the first day of each stay in ``UNINSTALLED``; that day has no other."""
    gone = states == intent.UNINSTALLED
    gone[1:] &= states[:-1] != intent.UNINSTALLED
    day, user = np.nonzero(gone)
    events = blank_events(len(user))
    events["user"] = user
    events["ts_us"] = log_us(day, draw_time_of_day_us(rng, len(user)))
    events["kind"] = Kind.UNINSTALL
    return events


def service_events(rng: np.random.Generator, events: Records, states: States) -> Records:
    """Give the refunds and support contacts that follow from the purchases among ``events``."""
    bought = events[events["kind"] == Kind.PURCHASE]
    refunded = bought[rng.random(len(bought)) < _SHARE_REFUNDED]
    refund = _later(rng, refunded, states, _REFUND_WITHIN_DAYS)
    refund["kind"] = Kind.REFUND
    refund["channel"] = NONE

    complaint = refund[rng.random(len(refund)) < _SHARE_OF_REFUNDS_WITH_SUPPORT]
    complaint["ts_us"] -= rng.integers(HOUR_US // 12, HOUR_US, len(complaint))
    asked = bought[rng.random(len(bought)) < _SHARE_WITH_QUESTION]
    question = _later(rng, asked, states, _QUESTION_WITHIN_DAYS)
    source = np.concatenate([complaint, question])
    support = blank_events(len(source))
    for name in ("user", "ts_us", "category"):
        support[name] = source[name]
    support["kind"] = Kind.SUPPORT_CONTACT
    support["channel"] = rng.choice(_SUPPORT_CHANNELS, len(source))
    return np.concatenate([refund, support])


def _later(
    rng: np.random.Generator, purchases: Records, states: States, within_days: int
) -> Records:
    """Copy purchases to office hours one to ``within_days`` later, where the app is installed then.

    The day of a reinstall does not count as installed: its install comes first.
    """
    wait = rng.integers(1, within_days + 1, len(purchases))
    day = (purchases["ts_us"] - START_US) // DAY_US + wait
    time_us = rng.integers(9 * HOUR_US, 19 * HOUR_US, len(purchases))
    seen = day < len(states)
    state = states[np.where(seen, day, 0), purchases["user"]]
    kept = seen & (state != intent.UNINSTALLED) & (state != intent.NEW)
    later: Records = purchases[kept]
    later["ts_us"] = log_us(day, time_us)[kept]
    return later
