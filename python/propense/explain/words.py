"""Values in words, beside what is usual: "4 visits in 7 days, usually 1"."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Phrase:
    """How a feature is said: a text with ``{}`` for the value, and how the value is written."""

    text: str
    one: str = ""
    """The text where the value is 1, if it is another."""
    missing: str = ""
    """What is said where there is no value."""
    write: Callable[[float], str] = lambda value: number(value)

    def of(self, value: float | None) -> str:
        """Say a value."""
        if value is None or math.isnan(value):
            return self.missing.format() if self.missing else self.text.format("unknown")
        written = self.write(value)
        return (
            (self.one or self.text).format(written) if written == "1" else self.text.format(written)
        )

    def short(self, value: float | None) -> str:
        """Say a value by itself, to be compared with."""
        return "none" if value is None or math.isnan(value) else self.write(value)


STARTS = "where everyone starts"
REST = "all other features"


def change_sentence(phrase: Phrase, before: float | None, after: float | None) -> str:
    """Say a value, and what it was before."""
    then, said = phrase.short(before), phrase.of(after)
    return f"{said}, as before" if then == phrase.short(after) else f"{said}, was {then}"


def sentence(phrase: Phrase, value: float | None, usual: float | None, *, known: bool) -> str:
    """Say a value and, if it is ``known`` and another, what is usual."""
    said = phrase.of(value)
    usually = phrase.short(usual)
    same = phrase.short(value) == usually
    return said if same or not known else f"{said}, usually {usually}"


def number(value: float) -> str:
    """Write a number as briefly as it can be told from others: 4, 0.25, 12.5, 1,204.

    What has decayed to less than a thousandth is almost 0.
    """
    value += 0.0  # zero has no sign
    size = abs(value)
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == round(value) or size >= 100:
        return f"{value:,.0f}" if size < 1e9 else f"{value:.3g}"
    if size < 1e-3:
        return "almost 0"
    return f"{value:.1f}" if size >= 10 else f"{value:.2g}"


def percent(value: float) -> str:
    """Write a share."""
    return f"{100 * value:.0f} %"


def truth(value: float) -> str:
    """Write a condition."""
    return "yes" if value else "no"
