"""The calendar everyone shares: seasons of each category, on-sales, and the messages about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000
START_US = int(START.timestamp()) * 1_000_000

CATEGORIES = ("concert", "sport", "theatre", "comedy", "festival")

# Demand by calendar month, January first; a row's mean is about 1.
_MONTHLY = np.array(
    [
        [0.7, 0.8, 1.0, 1.1, 1.2, 1.3, 1.1, 0.8, 0.9, 1.1, 1.2, 0.8],
        [0.8, 1.0, 1.2, 1.3, 1.2, 0.8, 0.5, 1.0, 1.2, 1.2, 1.0, 0.8],
        [1.1, 1.1, 1.0, 0.9, 0.8, 0.6, 0.5, 0.6, 1.0, 1.2, 1.5, 1.7],
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.9, 0.9, 1.2, 1.0, 1.0, 1.0, 1.0],
        [0.8, 1.0, 1.4, 1.7, 1.8, 1.6, 1.2, 0.7, 0.4, 0.4, 0.5, 0.5],
    ]
)

# Monday first; people plan and buy towards the week-end.
WEEKDAY = np.array([0.88, 0.84, 0.90, 1.06, 1.27, 1.20, 0.85])

# How much the app is used in each hour of the day.
_HOUR = np.array(
    [1, 0.5, 0.3, 0.2, 0.2, 0.4, 1, 2.5, 4, 4, 4, 4.5, 6, 6, 4.5, 4, 4.5, 6, 8, 9.5, 10, 9, 6, 3]
)
_HOUR_CDF = np.concatenate([[0.0], np.cumsum(_HOUR / _HOUR.sum())])

_ONSALE_PER_DAY = 0.35
_ONSALE_TAIL = (1.0, 0.6, 0.3)
_PUSHED_ABOVE = 1.0
_EMAIL_EVERY_DAYS = 14
_EMAIL_FIRST_DAY = 3  # a Thursday
NO_MESSAGE = -1


@dataclass(frozen=True)
class Calendar:
    """What is the same for everyone on each day.

    Attributes
    ----------
    season, onsale
        ``[days, categories]``: demand (mean about 1) and how hot today's on-sales are (0 = none).
    push, email
        ``[days]``: the category that day's message is about, or ``NO_MESSAGE``.
    """

    season: Floats
    onsale: Floats
    push: npt.NDArray[np.int64]
    email: npt.NDArray[np.int64]

    @property
    def days(self) -> int:
        """The number of days in the calendar."""
        return len(self.push)


def draw_calendar(rng: np.random.Generator, days: int) -> Calendar:
    """Draw the seasons, on-sales and messages of ``days`` days from ``START``."""
    season = _daily_season(days)
    onsale = np.zeros((days + len(_ONSALE_TAIL), len(CATEGORIES)))
    push = np.full(days, NO_MESSAGE, dtype=np.int64)
    email = np.full(days, NO_MESSAGE, dtype=np.int64)
    for day in range(days):
        happens, pick = rng.random(2)
        size = rng.lognormal(0.0, 0.7)
        if happens < _ONSALE_PER_DAY:
            shares = np.cumsum(season[day]) / season[day].sum()
            category = min(int(np.searchsorted(shares, pick, side="right")), len(CATEGORIES) - 1)
            for after, share in enumerate(_ONSALE_TAIL):
                onsale[day + after, category] += size * share
            if size > _PUSHED_ABOVE:
                push[day] = category
        if day % _EMAIL_EVERY_DAYS == _EMAIL_FIRST_DAY:
            email[day] = int(np.argmax(season[day] + onsale[day]))
    return Calendar(season=season, onsale=onsale[:days], push=push, email=email)


def draw_time_of_day_us(rng: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    """Draw ``count`` times of day, microseconds from midnight, by the app's daily rhythm."""
    hours = np.interp(rng.random(count), _HOUR_CDF, np.arange(25.0))
    return np.asarray(np.minimum(hours * (DAY_US / 24), DAY_US - 1), dtype=np.int64)


def _daily_season(days: int) -> Floats:
    """Interpolate the monthly demand between the middles of the months, round the year."""
    dates = [START + timedelta(days=day) for day in range(days)]
    position = np.array([date.month - 1 + (date.day - 1) / 31 - 0.5 for date in dates])
    ring = np.concatenate([_MONTHLY[:, -1:], _MONTHLY, _MONTHLY[:, :1]], axis=1)
    return np.stack([np.interp(position, np.arange(-1, 13), row) for row in ring], axis=1)
