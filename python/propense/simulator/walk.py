"""The walk of a block of users through the days: states, sessions, messages and purchases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from propense.simulator import intent
from propense.simulator.intent import States, Today
from propense.simulator.population import BEFORE_THE_LOG, Population
from propense.simulator.rows import Records
from propense.simulator.seasons import START_US, Calendar

ORGANIC = -1  # a session that begins when the user likes, not after a message

SESSION = np.dtype(
    [
        ("user", "i4"),
        ("day", "i4"),
        ("state", "u1"),
        ("bought", "?"),
        ("focus", "i1"),  # the category of the message that caused it, or ORGANIC
        ("start_us", "i8"),  # time of day, or ORGANIC
        ("heat", "f4"),
    ]
)
MESSAGE = np.dtype(
    [
        ("user", "i4"),
        ("day", "i4"),
        ("is_push", "?"),
        ("category", "i1"),
        ("received_us", "i8"),
        ("opened_us", "i8"),  # time of day, or -1
    ]
)
HOUR_US = 3_600_000_000
_PUSH_HOURS = (10, 17)
_EMAIL_HOUR = 9
_OPEN_WITHIN_US = 5 * HOUR_US
_AFTER_OPENING_US = 4_000_000


@dataclass(frozen=True)
class Walk:
    """What a block of users did.

    Attributes
    ----------
    states
        ``[days, users]``: the state on each day, after that day's move.
    at_as_of
        ``[users]``: the state at midnight as the as_of day begins, before its move.
    sessions, messages
        Records of ``SESSION`` and ``MESSAGE``.
    """

    states: States
    at_as_of: States
    sessions: Records
    messages: Records


def walk(
    rng: np.random.Generator,
    population: Population,
    calendar: Calendar,
    as_of_day: int,
    on_day: Callable[[int], None],
) -> Walk:
    """Walk ``population`` through every day of ``calendar``."""
    state = _first_states(rng, population)
    states = np.empty((calendar.days, population.users), dtype=np.uint8)
    at_as_of = state
    sessions: list[Records] = []
    messages: list[Records] = []
    for day in range(calendar.days):
        if day == as_of_day:
            at_as_of = state.copy()
        today = intent.read_day(population, calendar, day)
        _move(rng, state, today)
        state[population.signup_day == day] = intent.NEW
        states[day] = state
        begun = [_organic(rng, state, today)]
        for message in today.messages:
            sent, clicked = _send(rng, state, today, message)
            sent["day"] = day
            messages.append(sent)
            begun.append(clicked)
        of_day = np.concatenate(begun)
        of_day["day"] = day
        _decide(rng, of_day, state, today)
        sessions.append(of_day)
        state[of_day["user"][of_day["bought"]]] = intent.IDLE
        on_day(day)
    return Walk(states, at_as_of, np.concatenate(sessions), _join(messages, MESSAGE))


def log_us(
    day: npt.NDArray[np.integer], time_of_day_us: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Turn a day of the log and a time of day into microseconds UTC since 1970."""
    return START_US + day.astype(np.int64) * (24 * HOUR_US) + time_of_day_us


def _first_states(rng: np.random.Generator, population: Population) -> States:
    """Draw the states on the eve of the log; most of the old users have long dropped out."""
    old = rng.choice(
        np.array([intent.IDLE, intent.CURIOUS, intent.PLANNING, intent.DORMANT], dtype=np.uint8),
        size=population.users,
        p=[0.50, 0.05, 0.02, 0.43],
    )
    return np.where(population.signup_day == BEFORE_THE_LOG, old, np.uint8(intent.ABSENT))


def _move(rng: np.random.Generator, state: States, today: Today) -> None:
    """Move each user's state once, in place: one uniform draw against the moves of its state."""
    draw = rng.random(len(state))
    members = [np.flatnonzero(state == source) for source in range(intent.ABSENT)]
    for source, moves in groupby(intent.moves(today), key=lambda move: move.source):
        users = members[source]
        left = draw[users]
        for move in moves:
            probability = move.probability
            if isinstance(probability, np.ndarray):
                probability = probability[users]
            state[users[(left >= 0.0) & (left < probability)]] = move.target
            left -= probability


def _organic(rng: np.random.Generator, state: States, today: Today) -> Records:
    """Draw the sessions that no message caused; the day of an install has exactly one."""
    count = rng.poisson(intent.session_rate(today, state))
    count[state == intent.NEW] = 1
    return _begin(np.repeat(np.arange(len(state)), count), ORGANIC)


def _begin(users: npt.NDArray[np.int64], focus: int) -> Records:
    """Make session records that have no start yet."""
    begun = np.zeros(len(users), dtype=SESSION)
    begun["user"] = users
    begun["focus"] = focus
    begun["start_us"] = ORGANIC
    return begun


def _send(
    rng: np.random.Generator, state: States, today: Today, message: intent.Message
) -> tuple[Records, Records]:
    """Send one message; give what was received and the sessions that came of it."""
    gets, opens, clicks = rng.random((3, len(state)))
    users = np.flatnonzero(gets < intent.reach_probability(message, state))
    opened = opens[users] < intent.open_probability(today, state)[users]
    sent = np.zeros(len(users), dtype=MESSAGE)
    sent["user"] = users
    sent["is_push"] = message.is_push
    sent["category"] = message.category
    hour = _PUSH_HOURS[message.category % len(_PUSH_HOURS)] if message.is_push else _EMAIL_HOUR
    sent["received_us"] = hour * HOUR_US + rng.integers(0, HOUR_US // 4, len(users))
    delay = np.minimum(rng.exponential(HOUR_US * 0.7, len(users)), _OPEN_WITHIN_US) + 2e6
    sent["opened_us"] = np.where(opened, sent["received_us"] + delay.astype(np.int64), -1)
    clicked = opened & (clicks[users] < message.click)
    begun = _begin(users[clicked], message.category)
    begun["start_us"] = sent["opened_us"][clicked] + _AFTER_OPENING_US
    return sent, begun


def _decide(rng: np.random.Generator, sessions: Records, state: States, today: Today) -> None:
    """Decide, in place, which sessions of the day end in a purchase."""
    user = sessions["user"]
    sessions["state"] = state[user]
    sessions["heat"] = today.heat[user]
    sessions["bought"] = rng.random(len(user)) < intent.buy_probability(today, state)[user]


def _join(parts: list[Records], dtype: np.dtype[np.void]) -> Records:
    """Concatenate records, of which there may be none."""
    return np.concatenate([np.empty(0, dtype=dtype), *parts])
