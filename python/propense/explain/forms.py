"""Features in words: ``count(visit, '7d')`` is said as "4 visits in 7 days"."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from propense.explain.words import Phrase, percent, truth

_EVENT = r'(?P<event>\*|\w+|"(?:[^"]|"")+")'
_PROPERTY = r'\.(?P<property>\w+|"(?:[^"]|"")+")'
_WINDOW = r"(?:, '(?P<window>\d+[a-z])')?"
_FILTER = r"(?: FILTER \(WHERE (?P<filter>.+)\))?"
_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
_AGAIN = r"(?P=event)"
_BETWEEN = rf"\(tenure\({_AGAIN}\) - recency\({_AGAIN}\)\) / \(active_days\({_AGAIN}\) - 1\)"


def phrase(expression: str, vocabulary: Mapping[int, str] | None = None) -> Phrase:
    """Give the words of a feature from its text; ``vocabulary`` has the texts of its codes."""
    if vocabulary is not None:
        return _coded(expression, vocabulary)
    for pattern, words in _FORMS:
        found = pattern.fullmatch(expression)
        if found is not None:
            return words(_Parts(found))
    return Phrase(f"{_escaped(expression)} = {{}}")


@dataclass(frozen=True)
class _Parts:
    """The parts of an expression, as nouns."""

    found: re.Match[str]

    def _get(self, name: str) -> str | None:
        return self.found.groupdict().get(name)

    @property
    def event(self) -> str:
        name = self._get("event") or ""
        return "event" if name == "*" else _plain(name)

    @property
    def events(self) -> str:
        return _plural(self.event)

    @property
    def an_event(self) -> str:
        return f"{'an' if self.event[:1].lower() in 'aeiou' else 'a'} {self.event}"

    @property
    def what(self) -> str:
        """The property, with its event: ``purchase price``."""
        name = _plain(self._get("property") or "")
        return f"{self.event} {name}" if self._get("event") else name

    @property
    def when(self) -> str:
        """Window and filter, with a space in front; nothing if neither is there."""
        window, condition = self._get("window"), self._get("filter")
        text = f" in {_interval(window)}" if window else ""
        return text + (f" with {_condition(condition)}" if condition else "")


def _plain(name: str) -> str:
    unquoted = name[1:-1].replace('""', '"') if name.startswith('"') else name
    return _escaped(unquoted.replace("_", " "))


def _plural(noun: str) -> str:
    if noun.endswith(("ed", "s")):  # push opened, sales
        return noun
    if re.search(r"[^aeiou]y$", noun):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("x", "ch", "sh")) else f"{noun}s"


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _interval(text: str) -> str:
    count, unit = text[:-1], _UNITS.get(text[-1], text[-1])
    return f"{count} {unit}{'' if count == '1' else 's'}"


def _condition(text: str) -> str:
    return _escaped(text.replace("'", "").replace('"', ""))


def _coded(expression: str, vocabulary: Mapping[int, str]) -> Phrase:
    name = re.fullmatch(r"attr\((.+)\)", expression)
    said = _plain(name[1]) if name else _condition(expression)

    def text_of(code: float) -> str:
        return vocabulary.get(int(code), "another")

    return Phrase(f"{said} {{}}", missing=f"{said} unknown", write=text_of)


def _count(parts: _Parts) -> Phrase:
    return Phrase(f"{{}} {parts.events}{parts.when}", one=f"{{}} {parts.event}{parts.when}")


def _days(parts: _Parts) -> Phrase:
    return Phrase(
        f"{{}} days with {parts.an_event}{parts.when}",
        one=f"{{}} day with {parts.an_event}{parts.when}",
    )


def _form(
    pattern: str, words: Callable[[_Parts], Phrase]
) -> tuple[re.Pattern[str], Callable[[_Parts], Phrase]]:
    return re.compile(pattern), words


_HOW = {
    "sum": "total",
    "mean": "mean",
    "min": "lowest",
    "max": "highest",
    "first": "first",
    "last": "last",
}

_FORMS = [
    _form(rf"count\({_EVENT}{_WINDOW}\){_FILTER}", _count),
    _form(rf"active_days\({_EVENT}{_WINDOW}\){_FILTER}", _days),
    _form(
        rf"recency\({_EVENT}\)",
        lambda p: Phrase(
            f"last {p.event} {{}} days ago", f"last {p.event} {{}} day ago", f"no {p.event} so far"
        ),
    ),
    _form(
        rf"tenure\({_EVENT}\)",
        lambda p: Phrase(
            f"first {p.event} {{}} days ago",
            f"first {p.event} {{}} day ago",
            f"no {p.event} so far",
        ),
    ),
    _form(
        rf"decayed_count\({_EVENT}, '(?P<half>\w+)'\)",
        lambda p: Phrase(f"{{}} {p.events} of late (half-life {_interval(p.found['half'])})"),
    ),
    _form(
        rf"gap_mean\({_EVENT}{_WINDOW}\)",
        lambda p: Phrase(
            f"{{}} days between {p.events}{p.when}", missing=f"fewer than two {p.events}"
        ),
    ),
    _form(
        rf"gap_std\({_EVENT}{_WINDOW}\)",
        lambda p: Phrase(
            f"time between {p.events} varies by {{}} days", missing=f"fewer than three {p.events}"
        ),
    ),
    _form(
        rf"hour_share\({_EVENT}, (?P<from>\d+), (?P<to>\d+)\)",
        lambda p: Phrase(
            f"{{}} of {p.events} from {p.found['from']}:00 to {p.found['to']}:59",
            missing=f"no {p.event} so far",
            write=percent,
        ),
    ),
    _form(
        rf"weekday_share\({_EVENT}, 6, 7\)",
        lambda p: Phrase(
            f"{{}} of {p.events} at the weekend", missing=f"no {p.event} so far", write=percent
        ),
    ),
    _form(
        rf"distinct\({_EVENT}{_PROPERTY}{_WINDOW}\){_FILTER}",
        lambda p: Phrase(
            f"{{}} different values of {p.what}{p.when}", f"{{}} value of {p.what}{p.when}"
        ),
    ),
    _form(
        rf"(?P<how>sum|mean|min|max|first|last)\({_EVENT}{_PROPERTY}{_WINDOW}\){_FILTER}",
        lambda p: Phrase(
            f"{_HOW[p.found['how']]} {p.what} {{}}{p.when}", missing=f"no {p.what} known{p.when}"
        ),
    ),
    _form(
        rf"std\({_EVENT}{_PROPERTY}{_WINDOW}\)",
        lambda p: Phrase(f"{p.what} varies by {{}}{p.when}", missing=f"fewer than two of {p.what}"),
    ),
    _form(
        r"attr\((?P<property>[^()]+)\)",
        lambda p: Phrase(f"{p.what} {{}}", missing=f"{p.what} unknown"),
    ),
    _form(
        r"attr\((?P<property>[^()]+)\) = '(?P<value>(?:[^']|'')*)'",
        lambda p: Phrase(f"{p.what} is {_condition(p.found['value'])}: {{}}", write=truth),
    ),
    _form(
        rf"recency\({_EVENT}\) / \({_BETWEEN}\)",
        lambda p: Phrase(
            f"quiet for {{}} times the usual gap between {p.events}",
            missing=f"fewer than two days with {p.an_event}",
        ),
    ),
    _form(
        rf"\(tenure\({_EVENT}\) - recency\({_AGAIN}\)\) / \(active_days\({_AGAIN}\) - 1\)",
        lambda p: Phrase(
            f"{{}} days between days with {p.an_event}",
            missing=f"fewer than two days with {p.an_event}",
        ),
    ),
    _form(
        rf"recency\({_EVENT}\) / tenure\({_AGAIN}\)",
        lambda p: Phrase(
            f"quiet for {{}} of the time since the first {p.event}",
            missing=f"no {p.event} so far",
            write=percent,
        ),
    ),
    _form(
        rf"active_days\({_EVENT}\) / tenure\({_AGAIN}\)",
        lambda p: Phrase(
            f"{p.an_event} on {{}} of days", missing=f"no {p.event} so far", write=percent
        ),
    ),
    _form(
        rf"count\({_EVENT}\) / active_days\({_AGAIN}\)",
        lambda p: Phrase(f"{{}} {p.events} on a day with any", missing=f"no {p.event} so far"),
    ),
    _form(
        rf"last\({_EVENT}{_PROPERTY}\) / mean\({_AGAIN}\.(?P=property)\)",
        lambda p: Phrase(f"last {p.what} {{}} times the mean", missing=f"no {p.what} known"),
    ),
    _form(
        rf"sum\({_EVENT}{_PROPERTY}\) / active_days\({_AGAIN}\)",
        lambda p: Phrase(
            f"{p.what} of {{}} on a day with {p.an_event}", missing=f"no {p.event} so far"
        ),
    ),
]
