"""The simulator as people call it: a log, the profiles, and the true probability to buy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from propense.exceptions import DataError
from propense.simulator import aftermath, intent, population, rows, seasons
from propense.simulator.sessions import session_events
from propense.simulator.walk import Walk, walk

Progress = Callable[[int, int], None]

_BLOCK_USERS = 10_000
_MOST_USERS = 10_000_000
_REPORT_EVERY_DAYS = 30
_DEFAULT_HORIZON_DAYS = 30


@dataclass(frozen=True)
class Simulation:
    """A simulated log of a ticketing app, and what its users truly intended.

    Attributes
    ----------
    events
        One row an event, sorted by ``user_id`` then ``ts``: ``user_id`` (string), ``ts`` (UTC,
        microseconds), ``event``, ``category``, ``price`` (of one ticket, EUR), ``quantity``,
        ``channel``, ``query_length`` (letters). A property an event does not have is null.
    profiles
        One row a user: ``user_id``, ``country``, ``age`` (null where unknown), ``plan``,
        ``signup_channel``.
    truth
        ``user_id``, ``probability`` (f64) that the user purchases at least once in
        ``[as_of, as_of + horizon_days)``, for each user who signed up before the as_of. Computed
        from the process, given the hidden state at the as_of and the calendar; not from what then
        happened in ``events``.
    as_of
        Midnight UTC at which the truth is taken.
    horizon_days
        Length of the truth's horizon.
    """

    events: pl.DataFrame
    profiles: pl.DataFrame
    truth: pl.DataFrame
    as_of: datetime
    horizon_days: int


def simulate(
    users: int = 100_000,
    days: int = 540,
    seed: int = 7,
    *,
    as_of: date | None = None,
    horizon_days: int = _DEFAULT_HORIZON_DAYS,
    progress: Progress | None = None,
) -> Simulation:
    """Simulate the event log of a ticketing app from 2024-01-01.

    The same arguments give the same frames, to the bit (on one platform and NumPy version). A
    user's events do not depend on how many users there are.

    Parameters
    ----------
    users, days, seed
        Users (up to ten million), days in the log, and the seed, 0 or more.
    as_of, horizon_days
        When and for how long the truth holds; the default as_of is as late as the log can tell
        what became of it. The truth's horizon ``[as_of, as_of + horizon_days)`` lies in the log.
    progress
        Called now and then with the steps done and their total, last with the two equal.

    Returns
    -------
    Simulation
        The events, profiles and truth.

    Raises
    ------
    DataError
        If an argument is out of its range.
    """
    as_of_day = _check(users, days, seed, as_of, horizon_days)
    calendar = seasons.draw_calendar(np.random.default_rng([seed, 0]), days)
    blocks = -(-users // _BLOCK_USERS)
    events, profiles, truth = [], [], []
    for block in range(blocks):

        def on_day(day: int, block: int = block) -> None:
            if progress is not None and (day + 1) % _REPORT_EVERY_DAYS == 0 and day + 1 < days:
                progress(block * days + day + 1, blocks * days)

        # A last, partial block is simulated whole and cut, so that its users stay who they are.
        rng = np.random.default_rng([seed, 1, block])
        people = population.draw_population(rng, _BLOCK_USERS, calendar)
        walked = walk(rng, people, calendar, as_of_day, on_day)
        first = block * _BLOCK_USERS
        ids = rows.user_ids(first, min(_BLOCK_USERS, users - first))
        events.append(_events(rng, people, calendar, walked, ids))
        profiles.append(population.profiles(people, ids))
        truth.append(_truth(people, calendar, walked, as_of_day, horizon_days, ids))
        if progress is not None:
            progress((block + 1) * days, blocks * days)
    return Simulation(
        events=pl.concat(events),
        profiles=pl.concat(profiles),
        truth=pl.concat(truth),
        as_of=seasons.START + timedelta(days=as_of_day),
        horizon_days=horizon_days,
    )


def _check(users: int, days: int, seed: int, as_of: date | None, horizon_days: int) -> int:
    """Check the arguments; give the as_of as a day of the log."""
    if not 1 <= users <= _MOST_USERS:
        raise DataError(f"simulate: users must be from 1 to {_MOST_USERS:,}, not {users:,}")
    if seed < 0:
        raise DataError(f"simulate: seed must be 0 or more, not {seed}")
    if not 1 <= horizon_days < days:
        raise DataError(
            f"simulate: horizon_days must be from 1 to days - 1 = {days - 1}, not {horizon_days}"
        )
    last = days - horizon_days
    if as_of is None:
        return last
    at = as_of if isinstance(as_of, datetime) else datetime(as_of.year, as_of.month, as_of.day)
    since = (at.replace(tzinfo=UTC) if at.tzinfo is None else at) - seasons.START
    day = since.days
    if since != timedelta(days=day):
        raise DataError(f"simulate: as_of must be a date or a midnight UTC, not {as_of}")
    if not 1 <= day <= last:
        earliest, latest = (seasons.START + timedelta(days=edge) for edge in (1, last))
        raise DataError(
            f"simulate: as_of must be from {earliest:%Y-%m-%d} to {latest:%Y-%m-%d}, so that its "
            f"{horizon_days} days lie in the log, not {as_of:%Y-%m-%d}"
        )
    return day


def _events(
    rng: np.random.Generator,
    people: population.Population,
    calendar: seasons.Calendar,
    walked: Walk,
    ids: pl.Series,
) -> pl.DataFrame:
    """Turn the walk of a block into the events of its first ``len(ids)`` users."""
    in_sessions = session_events(rng, people, calendar, walked.sessions)
    after = aftermath.service_events(rng, in_sessions, walked.states)
    gone = aftermath.uninstall_events(rng, walked.states)
    told = aftermath.message_events(walked.messages)
    everything = np.concatenate([in_sessions, after, gone, told])
    return rows.event_frame(everything[everything["user"] < len(ids)], ids)


def _truth(
    people: population.Population,
    calendar: seasons.Calendar,
    walked: Walk,
    as_of_day: int,
    horizon_days: int,
    ids: pl.Series,
) -> pl.DataFrame:
    """Give the true probabilities of the users of ``ids`` who signed up before the as_of."""
    state = walked.at_as_of
    probability = intent.true_probability(people, calendar, state, as_of_day, horizon_days)
    known = state[: len(ids)] != intent.ABSENT
    frame = pl.DataFrame({"user_id": ids, "probability": probability[: len(ids)]})
    return frame.filter(pl.Series(known))
