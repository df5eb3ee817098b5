"""What happens inside a session: open, search, view, cart, purchase, at human speed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from propense.simulator import intent
from propense.simulator.population import DEVICES, Population
from propense.simulator.rows import Kind, Records, blank_events
from propense.simulator.seasons import CATEGORIES, DAY_US, Calendar, Floats, draw_time_of_day_us
from propense.simulator.walk import HOUR_US, ORGANIC, log_us

_Ints = npt.NDArray[np.int64]

# One entry a state: IDLE, CURIOUS, PLANNING, DORMANT, UNINSTALLED, NEW.
_SEARCHES = np.array([0.25, 0.7, 1.1, 0.0, 0.0, 0.8])
_VIEWS = np.array([0.6, 1.6, 2.2, 0.0, 0.0, 1.4])
_CART = np.array([0.015, 0.07, 0.28, 0.0, 0.0, 0.05])
_WORDS = np.array([8.0, 11.0, 17.0, 0.0, 0.0, 9.0])  # mean letters of a search

_PRICE = np.array([62.0, 48.0, 55.0, 24.0, 140.0])
_SHARE_AT_FAVOURITE_HOUR = 0.6
_SHARE_ON_TOPIC = 0.8
_WEB = DEVICES.index("web")
_EARLIEST_INSTALL_US = 600_000_000
_INSTALL_LEAD_US = 240_000_000


def session_events(
    rng: np.random.Generator, population: Population, calendar: Calendar, sessions: Records
) -> Records:
    """Expand sessions into events, in order within each session, all within the session's day."""
    count = len(sessions)
    user, state, bought = sessions["user"], sessions["state"], sessions["bought"]
    topic = _topics(rng, population, calendar, sessions)
    searches = rng.poisson(_SEARCHES[state])
    carted = bought | (rng.random(count) < _CART[state])
    views = np.maximum(rng.poisson(_VIEWS[state]), carted)
    length = 1 + searches + views + carted + bought

    session = np.repeat(np.arange(count), length)
    first = np.cumsum(length) - length
    step = np.arange(len(session)) - first[session]
    kind = _kinds(step, searches[session], views[session], carted[session])
    passed_us = _passed_us(rng, step, first[session])
    last_us = passed_us[first + length - 1]
    start_us = np.minimum(_starts_us(rng, population, sessions), DAY_US - 1 - last_us)

    events = blank_events(len(session))
    events["user"] = user[session]
    events["ts_us"] = log_us(sessions["day"], start_us)[session] + passed_us
    events["kind"] = kind
    web = rng.random(count) < 0.08
    events["channel"] = np.where(web, _WEB, population.device[user])[session]
    _fill_searches(rng, events, state[session])
    _fill_items(rng, events, population, topic[session], session)
    return np.concatenate([events, _installs(rng, sessions, start_us)])


def _topics(
    rng: np.random.Generator, population: Population, calendar: Calendar, sessions: Records
) -> _Ints:
    """Choose a session's category: its message's, or by taste, season and on-sale."""
    day = sessions["day"]
    weight = population.taste[sessions["user"]] * calendar.season[day]
    weight *= 1.0 + 2.0 * calendar.onsale[day]
    cdf = np.cumsum(weight, axis=1)
    draw = rng.random(len(sessions)) * cdf[:, -1]
    chosen = np.minimum((draw[:, None] >= cdf).sum(axis=1), len(CATEGORIES) - 1)
    return np.where(sessions["focus"] == ORGANIC, chosen, sessions["focus"]).astype(np.int64)


def _kinds(step: _Ints, searches: _Ints, views: _Ints, carted: npt.NDArray[np.bool_]) -> _Ints:
    """Name each step: one open, then the searches, the views, the cart and the purchase."""
    after_views = 1 + searches + views
    kind = np.where(step <= searches, Kind.SEARCH, Kind.VIEW_ITEM)
    kind[step == 0] = Kind.APP_OPEN
    kind[(step == after_views) & carted] = Kind.ADD_TO_CART
    kind[step == after_views + 1] = Kind.PURCHASE
    return kind


def _passed_us(rng: np.random.Generator, step: _Ints, first: _Ints) -> _Ints:
    """Draw the time from the session's start to each step, 0 for the first."""
    gap = np.minimum(3e6 + rng.exponential(38e6, len(step)), 240e6).astype(np.int64)
    gap[step == 0] = 0
    total = np.cumsum(gap)
    return total - total[first]


def _starts_us(rng: np.random.Generator, population: Population, sessions: Records) -> _Ints:
    """Draw the time of day at which sessions start, where no message has set it."""
    count = len(sessions)
    favourite = population.favourite_hour[sessions["user"]] + rng.normal(0.0, 1.3, count)
    personal = (np.mod(favourite, 24.0) * HOUR_US).astype(np.int64)
    common = draw_time_of_day_us(rng, count)
    own = np.where(rng.random(count) < _SHARE_AT_FAVOURITE_HOUR, personal, common)
    start_us = np.where(sessions["start_us"] == ORGANIC, own, sessions["start_us"])
    is_install = sessions["state"] == intent.NEW
    return np.where(is_install, np.maximum(start_us, _EARLIEST_INSTALL_US), start_us)


def _fill_searches(rng: np.random.Generator, events: Records, state: npt.NDArray[np.uint8]) -> None:
    """Give searches their length in letters: the nearer a purchase, the more precise."""
    at = np.flatnonzero(events["kind"] == Kind.SEARCH)
    letters = rng.gamma(3.0, _WORDS[state[at]] / 3.0)
    events["query_length"][at] = np.clip(letters, 1, 120).astype(np.int16)


def _fill_items(
    rng: np.random.Generator, events: Records, population: Population, topic: _Ints, session: _Ints
) -> None:
    """Give views, carts and purchases a category and a price, and the last two a quantity."""
    at = np.flatnonzero(events["kind"] >= Kind.VIEW_ITEM)
    kind = events["kind"][at]
    user = events["user"][at]
    stray = (kind == Kind.VIEW_ITEM) & (rng.random(len(at)) >= _SHARE_ON_TOPIC)
    category = np.where(stray, rng.integers(0, len(CATEGORIES), len(at)), topic[at])

    # What is carted and then bought in one session is one item: one price, one quantity.
    sessions = int(session[-1]) + 1 if len(session) else 0
    of_cart, of_view = rng.standard_normal(sessions), rng.standard_normal(len(at))
    spread = np.where(kind == Kind.VIEW_ITEM, of_view, of_cart[session[at]])
    frugal = population.price_sensitivity[user]
    events["category"][at] = category
    events["price"][at] = _price(category, spread, frugal)
    pairs = 1 + rng.poisson(1.0, sessions)[session[at]]
    quantity = np.clip(pairs - (frugal > 1.0), 1, 8)
    events["quantity"][at] = np.where(kind == Kind.VIEW_ITEM, 0, quantity)


def _price(category: _Ints, spread: Floats, frugal: Floats) -> Floats:
    """Give a price in whole cents: log-normal about the category's, lower for the frugal."""
    price = _PRICE[category] * np.exp(0.35 * spread - 0.22 * frugal)
    return np.asarray(np.round(price * 100.0) / 100.0)


def _installs(rng: np.random.Generator, sessions: Records, start_us: _Ints) -> Records:
    """Put an install a little before the one session of its day."""
    at = np.flatnonzero(sessions["state"] == intent.NEW)
    events = blank_events(len(at))
    lead = rng.integers(_INSTALL_LEAD_US // 8, _INSTALL_LEAD_US, len(at))
    events["user"] = sessions["user"][at]
    events["ts_us"] = log_us(sessions["day"][at], start_us[at] - lead)
    events["kind"] = Kind.INSTALL
    return events
