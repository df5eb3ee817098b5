"""The people: traits that never change and drive everything they do, and the profile we see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from propense.simulator.seasons import WEEKDAY, Calendar, Floats

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

COUNTRIES = ("GB", "DE", "FR", "ES", "NL", "IE")
PLANS = ("free", "plus")
SIGNUP_CHANNELS = ("organic", "paid_search", "social", "referral", "partner")
DEVICES = ("ios", "android", "web")

BEFORE_THE_LOG = -1

_COUNTRY_SHARES = (0.42, 0.20, 0.14, 0.11, 0.08, 0.05)
_CHANNEL_SHARES = (0.38, 0.22, 0.20, 0.12, 0.08)
_CHANNEL_FORGETS = np.array([0.22, 0.42, 0.38, 0.12, 0.30])
_SHARE_BEFORE_THE_LOG = 0.40
_SHARE_PLUS = 0.12
_SHARE_AGE_UNKNOWN = 0.06
# Taste concentrations for the youngest and the oldest; in between they are mixed.
_TASTE_YOUNG = np.array([0.60, 0.45, 0.12, 0.35, 0.50])
_TASTE_OLD = np.array([0.40, 0.35, 0.75, 0.25, 0.08])


@dataclass(frozen=True)
class Population:
    """Fixed traits, one entry a user; all but the profile are hidden from the log's reader.

    Attributes
    ----------
    signup_day
        Day of the first install, or ``BEFORE_THE_LOG``.
    taste
        ``[users, categories]``, each row summing to 1.
    activity
        Sessions a day of a user with nothing in mind; log-normal, so heavy-tailed.
    desire
        Probability a day that a user with nothing in mind gets curious, in an average season.
    conviction
        How readily a session of this user ends in a purchase, 1 on average.
    price_sensitivity
        Standard normal; high means cheaper tickets and fewer of them.
    drift
        Probability a day of dropping out unseen, from ``IDLE``.
    forgets
        Probability of dropping out on the day after an install; depends on the sign-up channel.
    weekday
        ``[users, 7]`` weights, Monday first, mean 1: everyone's week times a favourite day.
    favourite_hour
        Hours from midnight, in ``[0, 24)``.
    responsive
        How readily the user opens messages, in ``[0, 1]``.
    device, country, plan, signup_channel
        Indices into ``DEVICES``, ``COUNTRIES``, ``PLANS`` and ``SIGNUP_CHANNELS``.
    """

    signup_day: Ints
    taste: Floats
    activity: Floats
    desire: Floats
    conviction: Floats
    price_sensitivity: Floats
    drift: Floats
    forgets: Floats
    weekday: Floats
    favourite_hour: Floats
    responsive: Floats
    push_consent: Bools
    email_consent: Bools
    device: Ints
    country: Ints
    age: Ints
    age_known: Bools
    plan: Ints
    signup_channel: Ints

    @property
    def users(self) -> int:
        """The number of users."""
        return len(self.signup_day)


def draw_population(rng: np.random.Generator, users: int, calendar: Calendar) -> Population:
    """Draw the traits of ``users`` users."""
    age = np.clip(16 + rng.gamma(3.2, 6.5, users), 16, 85).astype(np.int64)
    oldness = np.clip((age - 20) / 45, 0.0, 1.0)[:, None]
    gammas = rng.standard_gamma(_TASTE_YOUNG + oldness * (_TASTE_OLD - _TASTE_YOUNG))
    taste = (gammas + 1e-3) / (gammas + 1e-3).sum(axis=1, keepdims=True)
    plan = (rng.random(users) < _SHARE_PLUS).astype(np.int64)
    channel = _pick(rng, _CHANNEL_SHARES, users)

    # Busy users are somewhat keener to buy, but browsing and buying are not the same thing.
    shared, own, keen = rng.standard_normal((3, users))
    activity = 0.018 * np.exp(1.45 * (0.35 * shared + 0.94 * own))
    desire = 0.0047 * np.exp(1.05 * (0.35 * shared + 0.94 * keen) + 0.5 * plan)
    price_sensitivity = rng.standard_normal(users)
    favourite_day = rng.integers(0, 7, users)
    weekday = np.where(np.arange(7) == favourite_day[:, None], 2.4, 1.0) * WEEKDAY
    return Population(
        signup_day=_signup_days(rng, users, calendar),
        taste=taste,
        activity=activity,
        desire=desire,
        conviction=np.exp(0.4 * rng.standard_normal(users) - 0.35 * price_sensitivity),
        price_sensitivity=price_sensitivity,
        drift=0.0026 * np.exp(0.8 * rng.standard_normal(users) - 0.5 * shared - 0.3 * plan),
        forgets=_CHANNEL_FORGETS[channel],
        weekday=weekday / weekday.mean(axis=1, keepdims=True),
        favourite_hour=_favourite_hours(rng, users),
        responsive=rng.beta(1.2, 3.0, users),
        push_consent=rng.random(users) < 0.55,
        email_consent=rng.random(users) < 0.42,
        device=_pick(rng, (0.47, 0.43, 0.10), users),
        country=_pick(rng, _COUNTRY_SHARES, users),
        age=age,
        age_known=rng.random(users) >= _SHARE_AGE_UNKNOWN,
        plan=plan,
        signup_channel=channel,
    )


def profiles(population: Population, user_ids: pl.Series) -> pl.DataFrame:
    """Give the profile table of the first ``len(user_ids)`` users; an unknown age is null."""
    known = slice(0, len(user_ids))
    age = pl.Series("age", population.age[known])
    return pl.DataFrame(
        {
            "user_id": user_ids,
            "country": pl.Series(COUNTRIES).gather(population.country[known]),
            "age": age.set(~pl.Series(population.age_known[known]), None),
            "plan": pl.Series(PLANS).gather(population.plan[known]),
            "signup_channel": pl.Series(SIGNUP_CHANNELS).gather(population.signup_channel[known]),
        }
    )


def _pick(rng: np.random.Generator, shares: tuple[float, ...], users: int) -> Ints:
    """Draw indices with the given shares."""
    edges = np.cumsum(shares)[:-1]
    return np.searchsorted(edges, rng.random(users), side="right").astype(np.int64)


def _signup_days(rng: np.random.Generator, users: int, calendar: Calendar) -> Ints:
    """Draw sign-up days: part before the log, the rest growing over time and with the season."""
    growth = np.linspace(1.0, 1.6, calendar.days) * calendar.season.mean(axis=1)
    cdf = np.cumsum(growth) / growth.sum()
    day = np.searchsorted(cdf[:-1], rng.random(users), side="right").astype(np.int64)
    return np.where(rng.random(users) < _SHARE_BEFORE_THE_LOG, BEFORE_THE_LOG, day)


def _favourite_hours(rng: np.random.Generator, users: int) -> Floats:
    """Draw favourite hours: the commute, lunch or the evening."""
    centre = np.array([8.0, 12.5, 20.0])[_pick(rng, (0.2, 0.25, 0.55), users)]
    return np.mod(centre + rng.normal(0.0, 1.2, users), 24.0)
