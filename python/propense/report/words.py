"""Goals and numbers in words that need no code to read."""

from __future__ import annotations

import re

from propense.explain.forms import phrase
from propense.goal import Goal

_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
_COUNT = re.compile(r'count\((\*|\w+|"(?:[^"]|"")+")\)\s*(>=|>|=|<=|<)\s*(\d+)')
TIER_WORDS = {
    "most_likely": "most likely",
    "moderately_likely": "moderately likely",
    "least_likely": "least likely",
    "all": "everyone",
}


def goal_sentence(goal: Goal) -> str:
    """Say a goal in one sentence."""
    return f"Who will have {condition(goal.when)} within {interval(goal.horizon)}?"


def audience_sentence(goal: Goal) -> str:
    """Say who is meant."""
    audience = goal.audience
    active = (
        f"an event in the last {interval(audience.active_within)}"
        if audience.active_within
        else "any event"
    )
    where = f" and {audience.where}" if audience.where else ""
    return f"everyone with {active} before the date{where}"


def condition(when: str) -> str:
    """Say a goal's condition: ``count(purchase) >= 1`` is "at least one purchase"."""
    parts = re.split(r"\s+AND\s+", when, flags=re.IGNORECASE)
    said = [_COUNT.fullmatch(part.strip()) for part in parts]
    if any(match is None for match in said):
        return f"“{when}”"
    return " and ".join(_counted(match) for match in said if match is not None)


def interval(text: str) -> str:
    """Say an interval: ``30d`` is "30 days"."""
    found = re.fullmatch(r"(\d+)([smhdw])", text.strip())
    if found is None:
        return text
    number, unit = int(found[1]), _UNITS[found[2]]
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def rule_sentence(goal: Goal) -> str:
    """Say the rule that scores are compared with."""
    return f"had {condition(goal.when)} in the {interval(goal.horizon)} before"


def _counted(match: re.Match[str]) -> str:
    event, sign, number = match[1].strip('"').replace('""', '"'), match[2], int(match[3])
    name = "event" if event == "*" else event.replace("_", " ")
    if sign == ">":
        sign, number = ">=", number + 1
    elif sign == "<":
        sign, number = "<=", number - 1
    if number == 0 and sign in ("=", "<="):
        return f"no {name}"
    amount = "one" if number == 1 else str(number)
    head = {">=": "at least ", "=": "exactly ", "<=": "at most "}[sign]
    return f"{head}{amount} {name}" if number == 1 else f"{head}{amount} × {name}"


def feature_words(expression: str) -> str:
    """Say a feature without a value: ``count(view_item, '7d')`` is "view items in 7 days"."""
    said = phrase(expression).text.replace("{}", "…").replace(" … in ", " in ")
    bare = re.sub(r"^…\s+|\s*[:=]?\s*…$", "", said.strip())
    bare = f"share {bare}" if bare.startswith("of ") else bare
    return bare.replace("{{", "{").replace("}}", "}")
