"""The automatic choice of features: about 200 from what a log holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

LIMIT = 220
FULL_TYPES = 4
SHORT_TYPES = 8
MIN_EVENTS = 20
DISTINCT_LIMIT = 1_000
FILTERED_DISTINCT_LIMIT = 64
FILTERED_VALUES = 4
ATTRIBUTE_VALUES = 8
LONGEST_BYTES = 200
"""Texts that are longer, as values or as names, are not written into features, which have a limit."""

EPOCH_SECONDS = 5e8
"""Whole numbers that are all above this count seconds (or less) since 1970."""

CLOCK_CORRELATION = 0.9
"""A number that follows the event time more closely than this is a clock: a week, a counter."""

_WINDOWS = ("1d", "7d", "30d", "90d", "180d", "365d", None)
_HALF_LIVES = ("7d", "30d", "90d")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ID = re.compile(
    r"(^|[\W_])(id|ids|uid|pid|cid|oid|uuid|guid|no|nr|num|number|code|key|hash|zip|upc|sku|ean|"
    r"gtin|asin|isbn|barcode|zipcode|postcode)$"
)
_RUN_TOGETHER = re.compile(
    r"(account|ad|article|artist|basket|booking|brand|campaign|cart|category|city|client|content|"
    r"country|coupon|course|customer|device|event|group|hotel|invoice|item|location|member|merchant|"
    r"message|movie|object|offer|order|page|partner|payment|person|player|post|postal|product|region|"
    r"request|reservation|row|sale|seller|session|shop|stock|store|subscriber|subscription|ticket|"
    r"track|transaction|user|vendor|venue|video|visit|visitor)(id|ids|no|nr|number|code|key)$"
)
"""Written as one word: only after these, for `paid`, `valid` and `bid` are no ids."""


def automatic(
    summary: dict[str, Any], first: Sequence[str] = (), protected: Sequence[str] = ()
) -> list[str]:
    """Declare features from a log's summary.

    Event types are taken from the commonest down, those named in ``first`` (the goal's own) before
    them: the first four get counts, active days, decayed counts, recency, tenure and rhythm; the next
    eight a short form; all events together the long form and shares of hours and days. Numeric
    properties of the first four get sums, means and extremes; text properties with few values are
    counted apart and by value; profile attributes are taken as they are. Ids and epochs are left
    out. Past 220 features the least important kinds go first.

    Parameters
    ----------
    summary
        From ``EventLog.core.summary``.
    first
        Event types that come first.
    protected
        Profile attributes that are left out.

    Returns
    -------
    list of str
        Texts in the language of features.
    """
    named = [kind for kind in summary["event_types"] if _is_short(kind["name"])]
    types = [kind for kind in named if kind["events"] >= MIN_EVENTS] or named
    types = sorted(types, key=lambda kind: kind["name"] not in first)
    full = types[:FULL_TYPES]
    only = len(types) == 1 and len(named) == len(summary["event_types"])
    everything = _quoted(types[0]["name"]) if only else "*"
    features = [*_long_form(everything), *_rhythm(everything)]
    if not only:
        for kind in full:
            features += _long_form(_quoted(kind["name"]))
    features += _attributes(
        [known for known in summary["attributes"] if known["name"] not in protected]
    )
    for kind in types[FULL_TYPES : FULL_TYPES + SHORT_TYPES]:
        features += _short_form(_quoted(kind["name"]))
    for kind in full:
        features += _numbers(kind)
    for kind in full:
        features += _categories(kind)
    return list(dict.fromkeys(features))[:LIMIT]


def _long_form(event: str) -> list[str]:
    tenure, recency, days = f"tenure({event})", f"recency({event})", f"active_days({event})"
    between_days = f"(({tenure} - {recency}) / ({days} - 1))"
    return [
        *(_windowed("count", event, window) for window in _WINDOWS),
        *(_windowed("active_days", event, window) for window in _WINDOWS[1:]),
        recency,
        tenure,
        f"gap_mean({event})",
        f"gap_std({event})",
        *(f"decayed_count({event}, '{half_life}')" for half_life in _HALF_LIVES),
        between_days,
        f"{recency} / {between_days}",
        f"{recency} / {tenure}",
        f"{days} / {tenure}",
        f"count({event}) / {days}",
    ]


def _rhythm(event: str) -> list[str]:
    hours = [f"hour_share({event}, {start}, {start + 5})" for start in (0, 6, 12, 18)]
    return [*hours, f"weekday_share({event}, 6, 7)"]


def _short_form(event: str) -> list[str]:
    counts = [_windowed("count", event, window) for window in ("7d", "30d", "90d", None)]
    return [*counts, f"recency({event})", f"decayed_count({event}, '30d')"]


def _numbers(kind: dict[str, Any]) -> list[str]:
    features: list[str] = []
    for known in _short_named(kind["properties"]):
        if known["kind"] != "number" or known["distinct"] < 2 or _is_id_or_epoch(known):
            continue
        path = f"{_quoted(kind['name'])}.{_quoted(known['name'])}"
        features += [
            *(_windowed("sum", path, window) for window in ("30d", "90d", "365d", None)),
            *(_windowed("mean", path, window) for window in ("90d", None)),
            f"std({path})",
            f"max({path})",
            f"last({path})",
            f"last({path}) / mean({path})",
            f"sum({path}) / active_days({_quoted(kind['name'])})",
        ]
    return features


def _categories(kind: dict[str, Any]) -> list[str]:
    event = _quoted(kind["name"])
    features: list[str] = []
    for known in _short_named(kind["properties"]):
        name = _quoted(known["name"])
        if known["kind"] == "boolean":
            features += _filtered(event, [name])
        few = known["distinct"] < DISTINCT_LIMIT and known["distinct"] * 10 <= known["present"]
        if known["kind"] != "text" or known["distinct"] < 2 or not few:
            continue
        path = f"{event}.{name}"
        features += [_windowed("distinct", path, window) for window in ("30d", "90d", "365d", None)]
        if known["distinct"] <= FILTERED_DISTINCT_LIMIT:
            values = _common(known, FILTERED_VALUES)
            features += _filtered(event, [f"{name} = {_text(value)}" for value in values])
    return features


def _filtered(event: str, conditions: Iterable[str]) -> list[str]:
    return [
        f"{_windowed('count', event, window)} FILTER (WHERE {condition})"
        for condition in conditions
        for window in ("90d", None)
    ]


def _attributes(attributes: list[dict[str, Any]]) -> list[str]:
    features: list[str] = []
    for known in _short_named(attributes):
        name = f"attr({_quoted(known['name'])})"
        if known["kind"] == "boolean" or (known["kind"] == "number" and not _is_id_or_epoch(known)):
            features.append(name)
        elif known["kind"] == "text" and 2 <= known["distinct"] <= FILTERED_DISTINCT_LIMIT:
            values = _common(known, ATTRIBUTE_VALUES)
            features += [f"{name} = {_text(value)}" for value in values]
    return features


def _common(known: dict[str, Any], limit: int) -> list[str]:
    values = [count["value"] for count in known["values"][:limit]]
    return [value for value in values if _is_short(value)]


def _short_named(columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [known for known in columns if _is_short(known["name"])]


def _is_short(text: str) -> bool:
    return len(text.encode()) <= LONGEST_BYTES


def _is_id_or_epoch(known: dict[str, Any]) -> bool:
    epoch = known["whole"] and known["smallest"] >= EPOCH_SECONDS
    clock = abs(known["time_correlation"] or 0.0) > CLOCK_CORRELATION
    return epoch or clock or _is_id(known["name"])


def _is_id(name: str) -> bool:
    words = _CAMEL.sub("_", name).lower()
    return bool(_ID.search(words) or _RUN_TOGETHER.search(words))


def _windowed(function: str, subject: str, window: str | None) -> str:
    return f"{function}({subject})" if window is None else f"{function}({subject}, '{window}')"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
