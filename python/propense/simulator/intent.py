"""The hidden intent of a user: a Markov chain over six states, and the odds of one day in each.

The sampler and the true probability both read this page, so that the truth is the truth of the
process that made the log. On each day, in this order: the state moves once; sessions begin; each
session ends in a purchase or not, independently of the others; a purchase sends the user back to
``IDLE`` at midnight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from propense.simulator.population import Population
from propense.simulator.seasons import NO_MESSAGE, Calendar, Floats

States = npt.NDArray[np.uint8]

IDLE, CURIOUS, PLANNING, DORMANT, UNINSTALLED, NEW = range(6)
ABSENT = 6  # has not signed up yet
_LIVING = (IDLE, CURIOUS, PLANNING, DORMANT, UNINSTALLED, NEW)

# One entry a state: IDLE, CURIOUS, PLANNING, DORMANT, UNINSTALLED, NEW, ABSENT.
_SESSION_SCALE = np.array([1.0, 1.7, 2.2, 0.12, 0.0, 0.0, 0.0])
_SESSION_EXTRA = np.array([0.0, 0.06, 0.36, 0.0, 0.0, 0.0, 0.0])
_BUY = np.array([0.010, 0.05, 0.42, 0.0, 0.0, 0.03, 0.0])
_OPEN = np.array([0.20, 0.40, 0.65, 0.01, 0.0, 0.0, 0.0])
_REACHED = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
_BUY_CAP = 0.75

EMAIL_CLICK = 0.35
PUSH_CLICK = 1.0


@dataclass(frozen=True)
class Message:
    """One push or e-mail of the day: its category, whom it reaches, and who opens it.

    ``reach`` is the probability, by user, that an installed user gets it; ``click`` that an opened
    one becomes a session.
    """

    is_push: bool
    category: int
    reach: Floats
    click: float


@dataclass(frozen=True)
class Today:
    """What one day means to each user: pull of the season, of on-sales, and of the weekday."""

    population: Population
    interest: Floats
    heat: Floats
    rhythm: Floats
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Move:
    """A possible move of the chain on one day; ``probability`` is by user, or the same for all."""

    source: int
    target: int
    probability: Floats | float


def read_day(population: Population, calendar: Calendar, day: int) -> Today:
    """Read one day of the calendar through the eyes of each user."""
    return Today(
        population=population,
        interest=_weigh(population.taste, calendar.season[day]),
        heat=_weigh(population.taste, calendar.onsale[day]),
        rhythm=population.weekday[:, day % 7],  # the log starts on a Monday
        messages=_messages(population, calendar, day),
    )


def moves(today: Today) -> list[Move]:
    """List the moves of the day, source by source; what they leave over is the odds of staying.

    For each source the probabilities sum to at most 1, whatever the traits.
    """
    people = today.population
    pull = today.interest * (1.0 + 1.5 * today.heat)
    drift = np.minimum(people.drift, 0.10)
    return [
        Move(IDLE, CURIOUS, np.minimum(people.desire * pull, 0.35)),
        Move(IDLE, DORMANT, drift),
        Move(IDLE, UNINSTALLED, 0.15 * drift),
        Move(CURIOUS, PLANNING, np.minimum(0.16 * pull, 0.35)),
        Move(CURIOUS, IDLE, 0.22),
        Move(CURIOUS, DORMANT, 0.3 * drift),
        Move(CURIOUS, UNINSTALLED, 0.1 * drift),
        Move(PLANNING, IDLE, 0.11),
        Move(PLANNING, DORMANT, 0.1 * drift),
        Move(DORMANT, IDLE, 0.003),
        Move(DORMANT, UNINSTALLED, 0.0028),
        Move(UNINSTALLED, NEW, 0.0012),
        Move(NEW, DORMANT, people.forgets),
        Move(NEW, CURIOUS, 0.22),
        Move(NEW, IDLE, 0.78 - people.forgets),
    ]


def session_rate(today: Today, state: States | int) -> Floats:
    """Give the mean number of sessions of the day that no message caused, by user."""
    base = today.population.activity * _SESSION_SCALE[state] + _SESSION_EXTRA[state]
    return np.asarray(base * today.rhythm * (0.6 + 0.4 * today.interest))


def buy_probability(today: Today, state: States | int) -> Floats:
    """Give the probability that a session of the day ends in a purchase, by user."""
    lift = 1.0 + 0.6 * today.heat
    return np.asarray(np.minimum(today.population.conviction * lift * _BUY[state], _BUY_CAP))


def reach_probability(message: Message, state: States | int) -> Floats:
    """Give the probability that a user gets the message; nobody does on the day of an install."""
    return np.asarray(message.reach * _REACHED[state])


def open_probability(today: Today, state: States | int) -> Floats:
    """Give the probability that a user who got a message opens it."""
    return np.asarray(today.population.responsive * _OPEN[state])


def no_purchase_probability(today: Today, state: int) -> Floats:
    """Give the probability of a day without a purchase for users in ``state`` on that day.

    Sessions are Poisson and end independently, so they thin to ``exp(-rate * buy)``; each message
    adds at most one session, and the day of an install has exactly one.
    """
    buy = buy_probability(today, state)
    if state == NEW:
        return 1.0 - buy
    none = np.exp(-session_rate(today, state) * buy)
    for message in today.messages:
        clicked = reach_probability(message, state) * open_probability(today, state) * message.click
        none *= 1.0 - clicked * buy
    return none


def true_probability(
    population: Population, calendar: Calendar, state: States, as_of_day: int, horizon_days: int
) -> Floats:
    """Give the exact probability of at least one purchase in ``[as_of, as_of + horizon)``.

    Conditional on the hidden state at the as_of, on the traits, and on the calendar of the horizon
    (seasons, on-sales, messages sent); summed over every future path of the chain, by backward
    recursion over the days. Nothing is sampled.

    Parameters
    ----------
    state
        ``[users]``: the state at midnight as ``as_of_day`` begins, before that day's move. The
        answer for ``ABSENT`` is 0, for they are nobody's audience.
    """
    living = len(_LIVING)
    none = np.ones((living + 1, population.users))
    for day in reversed(range(as_of_day, as_of_day + horizon_days)):
        today = read_day(population, calendar, day)
        through = none.copy()
        for living_state in _LIVING:
            through[living_state] *= no_purchase_probability(today, living_state)
        none = through.copy()
        for move in moves(today):
            none[move.source] += move.probability * (through[move.target] - through[move.source])
    return 1.0 - none[state, np.arange(population.users)]


def _weigh(taste: Floats, by_category: Floats) -> Floats:
    """Weigh a value by category with each user's taste, in a fixed order of addition."""
    total = np.zeros(len(taste))
    for category, value in enumerate(by_category):
        if value:
            total += taste[:, category] * value
    return total


def _messages(population: Population, calendar: Calendar, day: int) -> tuple[Message, ...]:
    """List the day's messages: pushes go to those with a taste for it, e-mails to all."""
    found = []
    push, email = int(calendar.push[day]), int(calendar.email[day])
    if push != NO_MESSAGE:
        wanted = np.minimum(0.10 + 1.2 * population.taste[:, push], 1.0)
        reach = np.where(population.push_consent, wanted, 0.0)
        found.append(Message(True, push, reach, PUSH_CLICK))
    if email != NO_MESSAGE:
        reach = population.email_consent.astype(np.float64)
        found.append(Message(False, email, reach, EMAIL_CLICK))
    return tuple(found)
